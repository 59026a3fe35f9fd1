//go:build unix

package conformance

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// TestAServerThatOnlyReportsProgress does not keep the checks from ending.
func TestAServerThatOnlyReportsProgress(t *testing.T) {
	script := filepath.Join(t.TempDir(), "server.sh")
	const text = `read -r probe
echo '{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","content":[]}}'
read -r request
while echo '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1}}'; do sleep 0.02; done
`
	if err := os.WriteFile(script, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startProcess(&Command{Script: script}, 500*time.Millisecond, nil)
	defer s.close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := s.request(ctx, wire.MethodToolsList, []byte(`{}`), nil)
	if err == nil || !strings.Contains(err.Error(), "no answer within 500ms") {
		t.Errorf("got %v", err)
	}
}
