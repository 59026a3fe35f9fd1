package builtin

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// benchText makes a payload of a hook, of about size bytes, that repeats text.
func benchText(b *testing.B, hook plugin.Hook, size int, text string) json.RawMessage {
	b.Helper()
	text = strings.Repeat(text, size/len(text))
	switch hook {
	case plugin.ToolPreInvoke:
		return encode(map[string]any{"name": "t", "args": map[string]string{"text": text}})
	case plugin.ToolPostInvoke:
		return encode(map[string]any{"name": "t", "result": map[string]any{"content": []any{map[string]string{"type": "text", "text": text}}}})
	case plugin.ResourcePostFetch:
		return encode(map[string]any{"uri": "file:///t", "content": map[string]string{"uri": "file:///t", "text": text}})
	default:
		b.Fatalf("no payload of %s", hook)
		return nil
	}
}

func benchInvoke(b *testing.B, p plugin.Plugin, hook plugin.Hook, payload json.RawMessage) {
	b.Helper()
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Invoke(context.Background(), hook, payload, &plugin.Context{}); err != nil {
			b.Fatal(err)
		}
	}
}
