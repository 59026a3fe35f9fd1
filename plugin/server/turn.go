package server

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/front"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// lateGrace is how long after its time a plugin that heeds its context may still
// return by itself.
const lateGrace = 50 * time.Millisecond

// turn is one HTTP request whose plugin runs in the request's own goroutine: to
// hand a call to another one and back costs more than most plugins. When a
// plugin does not return in time, a watchdog answers in the handler's place; the
// handler then holds its connection, and nothing else, until the plugin returns.
type turn struct {
	s     *Server
	w     http.ResponseWriter
	plain bool
	id    []byte
	era   wire.Era

	state    atomic.Int32
	answered chan struct{} // closed when the watchdog has answered
}

// The states of a turn: who leaves turnOpen first gives the answer.
const (
	turnOpen    int32 = iota
	turnHandler       // the plugin has returned, or was not called yet
	turnTaken         // the watchdog answers
)

// errTaken is returned through the handler when the watchdog has answered.
var errTaken = errors.New("answered by the watchdog")

// invoke is served.invoke without a goroutine.
func (t *turn) invoke(ctx context.Context, p *served, log *slog.Logger, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	if err := p.crowded(log, hook); err != nil {
		return nil, err
	}
	limited := &lazyContext{Context: ctx, deadline: time.Now().Add(p.Timeout)}
	defer limited.end()
	t.state.Store(turnOpen)
	p.running.Add(1)
	watchdog := time.AfterFunc(p.Timeout+lateGrace, func() { t.take(p, log, hook) })
	defer func() { // also when the plugin ends this goroutine
		watchdog.Stop()
		if !t.state.CompareAndSwap(turnOpen, turnHandler) {
			p.late.Add(-1)
		}
		p.running.Add(-1)
	}()
	result, err := p.call(limited, log, hook, payload, c)
	if t.state.Load() == turnTaken {
		return nil, errTaken
	}
	return result, p.inTime(limited, log, hook, err)
}

// take answers for a plugin that has not returned. The connection ends with
// this answer, as the handler still stands between it and the next request.
func (t *turn) take(p *served, log *slog.Logger, hook plugin.Hook) {
	p.late.Add(1)
	if !t.state.CompareAndSwap(turnOpen, turnTaken) {
		p.late.Add(-1)
		return
	}
	defer close(t.answered)
	text := wire.AppendString([]byte(`{"plugin_name":`), p.Name)
	text = append(appendFailure(append(text, `,"error":`...), p.wireError(p.tooLate(log, hook))), '}')
	t.w.Header().Set("Connection", "close")
	front.Write(t.w, http.StatusOK, t.s.appendToolText(nil, t.id, t.era, text, false), t.plain)
	_ = http.NewResponseController(t.w).Flush() // the client has gone: there is nobody to tell
}

// mine reports whether the handler gives the answer. When it does not, mine
// waits until the watchdog has done so.
func (t *turn) mine() bool {
	if t.state.Load() != turnTaken {
		return true
	}
	<-t.answered
	return false
}
