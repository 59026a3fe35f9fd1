package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// A violation beside continue_processing: true passes, as in the reference, but
// not in silence: somebody may have meant to refuse.
func TestAViolationThatPassesIsLogged(t *testing.T) {
	for continues, want := range map[bool]int{true: 1, false: 0} {
		var log bytes.Buffer
		p := mustNew(t, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}, Entry{
			Mode: Enforce, Plugin: fake(func(context.Context, json.RawMessage, *plugin.Context) (*plugin.Result, error) {
				return &plugin.Result{Continue: continues, Violation: &plugin.Violation{Code: "DENY"}}, nil
			}),
		})
		out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(payload), &Request{})
		if (out.Refusal == nil) != continues {
			t.Errorf("continue %v: refusal %v", continues, out.Refusal)
		}
		if got := strings.Count(log.String(), "reports a violation and lets the call go on"); got != want || !continues && log.Len() > 0 {
			t.Errorf("continue %v: %s", continues, &log)
		}
	}
}
