package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScore(t *testing.T) {
	const out = `Running …

=== SUMMARY ===
✓ ping: 2 passed, 0 failed
✗ tools-list: 1 passed, 2 failed
✗ tasks-lifecycle: 0 passed, 1 failed

Total: 3 passed, 3 failed

Not scored for 2025-11-25: 1 scenario(s) run, 1 failing. These do not affect conformance.
  ✗ tasks-lifecycle (extension)
`
	got, ok := scoreOf(out)
	if want := "3 passed, 3 failed; 1 of 2 required scenarios fail: tools-list"; !ok || got.String() != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, ok := scoreOf("Error: fetch failed"); ok {
		t.Error("a run that failed has a score")
	}
}

// What the comparison forgives, and what it does not.
func TestEqual(t *testing.T) {
	result := func(s string) *answer { return &answer{result: []byte(s)} }
	for name, c := range map[string]struct {
		want, got *answer
		revision  string
		equal     bool
	}{
		"the same":                    {result(`{"a":1}`), result(`{"a":1}`), legacy, true},
		"a number in another form":    {result(`{"a":1}`), result(`{"a":1.0}`), legacy, false},
		"another order":               {result(`{"a":1,"b":2}`), result(`{"b":2,"a":1}`), legacy, false},
		"what the new revision needs": {result(`{"a":1}`), result(`{"resultType":"complete","a":1}`), modern, true},
		"the same to an old client":   {result(`{"a":1}`), result(`{"resultType":"complete","a":1}`), legacy, false},
		"what it needs is missing":    {result(`{"a":1}`), result(`{"a":1}`), modern, false},
		"a read resource":             {result(`{"a":1}`), result(`{"cacheScope":"private","ttlMs":0,"resultType":"complete","a":1}`), modern, true},
		"an error for a result":       {result(`{"a":1}`), &answer{fault: []byte(`{"code":1}`)}, legacy, false},
		"another error":               {&answer{fault: []byte(`{"code":2}`)}, &answer{fault: []byte(`{"code":1}`)}, legacy, false},
		"progress that is missing":    {&answer{result: []byte(`{}`), notes: []string{"1/2"}}, result(`{}`), legacy, false},
	} {
		if err := equal(c.want, c.got, c.revision); (err == nil) != c.equal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheMessageOfACall(t *testing.T) {
	for _, c := range []struct {
		call     call
		revision string
		want     string
	}{
		{tool("echo", `{"a":1.0}`), legacy, `{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"echo","arguments":{"a":1.0}}}`},
		{withProgress(call{method: "m", params: "{}"}), legacy, `{"jsonrpc":"2.0","id":3,"method":"m","params":{"_meta":{"progressToken":"token 3"}}}`},
		{call{method: "m", params: `{"a":1}`}, modern, `{"jsonrpc":"2.0","id":3,"method":"m","params":{"a":1,"_meta":{` +
			`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"interop","version":"1.0.0"}}}}`},
	} {
		if diff := cmp.Diff(c.want, string(request(3, c.call, c.revision))); diff != "" {
			t.Error(diff)
		}
	}
}

// The table in the documentation may have other figures, and nothing else.
func TestSameTable(t *testing.T) {
	row := func(cells ...string) string {
		found := &table{}
		found.add(cells[0], cells[1], cells[2], cells[3], cells[4])
		return found.markdown()
	}
	was := row("a client", "1.2.3", "HTTP", "2025-11-25", "5 tools over 2 connections")
	for name, c := range map[string]struct {
		now  string
		same bool
	}{
		"the same":        {was, true},
		"other figures":   {row("a client", "1.2.3", "HTTP", "2025-11-25", "6 tools over 13 connections"), true},
		"other words":     {row("a client", "1.2.3", "HTTP", "2025-11-25", "5 prompts over 2 connections"), false},
		"another version": {row("a client", "1.2.4", "HTTP", "2025-11-25", "5 tools over 2 connections"), false},
		"one row more":    {was + "| another client | 1 | HTTP | | nothing |\n", false},
	} {
		if sameTable(was, c.now) != c.same {
			t.Errorf("%s: the same is %v", name, !c.same)
		}
	}
}
