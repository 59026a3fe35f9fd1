package server

import (
	"context"
	"net/http"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// appendBatch answers a batch of the revisions before 2025-06-18: the
// responses in the order of the requests, in one array. The requests run one
// after the other, so that one message costs no more than one at a time. None
// begins when the batch has taken the time of one call: the answer to all must
// be here while the client still waits, see [Server.batchTime].
func (s *Server) appendBatch(ctx context.Context, body []byte, h http.Header, b *buffers) (int, error) {
	messages, errs, err := wire.ParseBatch(body, s.maxBody())
	if err != nil {
		return appendRefusal(b, nil, err), nil
	}
	b.body = append(b.body, '[')
	longest := s.longest()
	end := time.Now().Add(longest)
	for i, m := range messages {
		before := len(b.body)
		switch {
		case errs[i] != nil:
			appendRefusal(b, m, errs[i])
		case m.Method == wire.MethodInitialize && m.IsRequest():
			b.body = wire.AppendError(b.body, m.ID, wire.Errorf(wire.CodeInvalidRequest, "Invalid request: initialize in a batch"))
		case m.IsRequest() && !time.Now().Before(end):
			b.body = wire.AppendError(b.body, m.ID, wire.Errorf(wire.CodeInternal, "not run: the batch has taken %s already", longest))
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

// batchTime is the longest time of a batch: a call may begin just before the
// time of one call is over.
func (s *Server) batchTime() time.Duration { return 2*s.longest() + lateGrace }
