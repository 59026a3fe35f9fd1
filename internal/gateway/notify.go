package gateway

import (
	"encoding/json"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// notify relays a notification that belongs to the call. It comes before the
// result, so no plugin has judged it: see the package comment.
func (j *job) notify(message json.RawMessage) {
	method, _ := wire.String(wire.Member(message, "method"))
	params := wire.Member(message, "params")
	switch method {
	case methodProgress:
		token := j.q.c.Meta.ProgressToken
		if token == nil || string(wire.Member(params, "progressToken")) != string(token) {
			return
		}
		if j.judged {
			message = numbersOf(params, token)
		}
	case methodLog:
		level, _ := wire.String(wire.Member(params, "level"))
		if j.judged || !j.q.wantsLog(level) {
			return
		}
	default:
		return // not about this call, or nothing that this client could use
	}
	j.q.reply.notify(message)
}

// numbersOf is a progress notification without words.
func numbersOf(params, token json.RawMessage) []byte {
	dst := append([]byte(`{"progressToken":`), token...)
	for _, name := range []string{"progress", "total"} {
		if value := wire.Member(params, name); wire.Kind(value) == '0' {
			dst = append(append(append(dst, `,"`+name+`":`...), value...), ""...)
		}
	}
	return wire.AppendRequest(nil, nil, methodProgress, append(dst, '}'))
}
