package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Clients of either era list and call upstreams of either era.
func TestAnyClientEraOverAnyUpstreamEra(t *testing.T) {
	for _, modern := range []bool{false, true} {
		f := startFake(t, &fakeServer{modern: modern})
		s := serve(t, Config{}, nil, f)
		session := s.open(t, wire.Revision2025_11)
		for method, params := range map[string]string{
			"tools/list": `{}`, "prompts/list": `{}`, "resources/list": `{}`, "resources/templates/list": `{}`,
			"tools/call": `{"name":"echo","arguments":{}}`, "prompts/get": `{"name":"greet"}`, "resources/read": `{"uri":"mem://a"}`,
			"completion/complete": `{"ref":{"type":"ref/prompt","name":"greet"},"argument":{"name":"a","value":"o"}}`,
		} {
			want := "original"
			if items, ok := plainLists[method]; ok {
				want = items
			}
			if a := s.legacy(t, session, method, params); a.status != http.StatusOK || !strings.Contains(a.body, want) || string(a.message(t).ID) != "7" {
				t.Errorf("upstream modern %v, legacy client: %s: %d %s", modern, method, a.status, a.body)
			}
			a := s.modern(t, method, params, "")
			if a.status != http.StatusOK || !strings.Contains(a.body, want) || string(a.message(t).ID) != `"m1"` ||
				string(wire.Member(a.message(t).Result, "resultType")) != `"complete"` {
				t.Errorf("upstream modern %v, modern client: %s: %d %s", modern, method, a.status, a.body)
			}
			if strings.HasSuffix(method, "list") || method == "resources/read" {
				if wire.Member(a.message(t).Result, "ttlMs") == nil || string(wire.Member(a.message(t).Result, "cacheScope")) != `"private"` {
					t.Errorf("upstream modern %v: %s lacks ttlMs and cacheScope: %s", modern, method, a.body)
				}
			}
		}
	}
}
