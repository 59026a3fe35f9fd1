package server

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/plugin"
)

var update = flag.Bool("update", false, "rewrite the answers in testdata/transcripts")

// TestTranscripts replays what clients of each era send. In the files lines
// with "> " are the client's, those with "< " ours; -update rewrites the latter.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d transcripts, error %v", len(files), err)
	}
	polite := entry(func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		if strings.Contains(string(payload), "rude") {
			return plugin.Refuse(&plugin.Violation{Reason: "Not polite", Description: "a rude word", Code: "RUDE"}), nil
		}
		return &plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(`{"name":"please"}`)}, nil
	})
	polite.Description, polite.Version, polite.Tags = "says please", "1.0", []string{"tone"}
	polite.Mode, polite.OnError = "sequential", "ignore"
	polite.Config = json.RawMessage(`{"token":"***","limit":9007199254740993}`)
	base := start(t, nil, polite)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, base, string(text))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(text), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// replay sends the client's side of a transcript and returns all of it with the
// answers that come now.
func replay(t *testing.T, base, text string) string {
	var out strings.Builder
	var request []string
	flush := func() {
		if len(request) == 0 {
			return
		}
		for _, line := range request {
			fmt.Fprintln(&out, strings.TrimSuffix("> "+line, " "))
		}
		method, path, _ := strings.Cut(request[0], " ")
		var headers []string
		i := 1
		for ; i < len(request) && request[i] != ""; i++ {
			headers = append(headers, request[i])
		}
		body := ""
		if i < len(request) {
			body = strings.Join(request[i+1:], "\n")
		}
		a := send(t, method, base+path, body, headers...)
		fmt.Fprintf(&out, "< %d\n", a.status)
		for _, name := range []string{"Content-Type", "Allow", "Cache-Control", "X-Accel-Buffering"} {
			if v := a.header.Get(name); v != "" {
				fmt.Fprintf(&out, "< %s: %s\n", name, v)
			}
		}
		fmt.Fprintln(&out, "<")
		for line := range strings.Lines(a.body) {
			fmt.Fprintln(&out, strings.TrimSuffix("< "+strings.TrimSuffix(line, "\n"), " "))
		}
		request = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, ">"):
			request = append(request, strings.TrimPrefix(strings.TrimPrefix(line, ">"), " "))
		case strings.HasPrefix(line, "<"):
			flush()
		default: // a remark, or the space between two exchanges
			flush()
			fmt.Fprintln(&out, line)
		}
	}
	flush()
	return out.String()
}
