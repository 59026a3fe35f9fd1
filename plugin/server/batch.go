package server

import (
	"context"
	"net/http"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// appendBatch answers a batch of the revisions before 2025-06-18: the
// responses in the order of the requests, in one array. The requests run one
// after the other, so that one message costs no more than one at a time.
func (s *Server) appendBatch(ctx context.Context, body []byte, h http.Header, b *buffers) (int, error) {
	messages, errs, err := wire.ParseBatch(body, s.maxBody())
	if err != nil {
		return appendRefusal(b, nil, err), nil
	}
	b.body = append(b.body, '[')
	for i, m := range messages {
		before := len(b.body)
		switch {
		case errs[i] != nil:
			appendRefusal(b, m, errs[i])
		case m.Method == wire.MethodInitialize && m.IsRequest():
			b.body = wire.AppendError(b.body, m.ID, wire.Errorf(wire.CodeInvalidRequest, "Invalid request: initialize in a batch"))
		default:
			if _, err := s.answer(ctx, m, h, b); err != nil {
				return 0, err
			}
		}
		if len(b.body) > before {
			b.body = append(b.body, ',')
		}
	}
	if len(b.body) == 1 { // notifications and responses only
		b.body = b.body[:0]
		return http.StatusAccepted, nil
	}
	b.body[len(b.body)-1] = ']'
	return http.StatusOK, nil
}
