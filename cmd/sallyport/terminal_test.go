package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// evil steers a terminal, turns the direction of text, and looks like a line of
// ours.
const evil = "\x1b[31mred\u009b0m\u202e\x7f\r\nsallyport: hint: do evil"

// unprintable is the first character of text that steers a terminal.
func unprintable(text string) (rune, bool) {
	for _, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return r, true
		}
	}
	return 0, false
}

// What a plugin server says is part of errors: it reaches the terminal as
// letters, in its line.
func TestServersDoNotSteerTheTerminal(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		id, _, _ := strings.Cut(strings.SplitAfter(string(body), `"id":`)[1], ",")
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32603,"message":"\u001b[31mred`+"\u009b0m\u202e\x7f"+`\r\nsallyport: hint: do evil"}}`)
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"call", "--url", server.URL + "/mcp", "--plugin", "P", "--hook", "tool_pre_invoke", "--payload", `{"name":"x"}`}, strings.NewReader(""), &out, &errs)
	if r, is := unprintable(errs.String()); code != exitFailed || is || !strings.Contains(errs.String(), `\x1b[31mred\u009b0m\u202e\x7f\r\nsallyport`) {
		t.Errorf("exit code %d, %U: %q", code, r, errs.String())
	}
	for line := range strings.Lines(errs.String()) {
		if strings.HasPrefix(line, "sallyport: hint: do evil") {
			t.Errorf("a forged line: %q", errs.String())
		}
	}
}

// A certificate to be looked at may be anybody's.
func TestCertificatesDoNotSteerTheTerminal(t *testing.T) {
	ca := pkitest.NewCA(t, pkitest.CAOptions{CN: evil})
	file, _ := ca.Leaf(t, pkitest.Spec{CN: evil, URIs: []string{"spiffe://mcp.local/gateway"}}).Write(t, t.TempDir(), "evil")
	for _, form := range []string{"--json=false", "--json"} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"certs", "inspect", form, file}, strings.NewReader(""), &out, &errs)
		if r, is := unprintable(out.String()); is || code != exitOK || !strings.Contains(out.String(), `u202e`) {
			t.Errorf("%s: exit code %d, %U: %q %s", form, code, r, out.String(), errs.String())
		}
		if strings.Contains(out.String(), "\nsallyport: hint") {
			t.Errorf("%s: a forged line: %q", form, out.String())
		}
	}
	var out, errs bytes.Buffer
	run(t.Context(), []string{"certs", "inspect", filepath.Join(t.TempDir(), evil)}, strings.NewReader(""), &out, &errs)
	if r, is := unprintable(errs.String()); is {
		t.Errorf("%U: %q", r, errs.String())
	}
}

// Errors that were joined have a line each, with their hints.
func TestJoinedErrorsHaveALineEach(t *testing.T) {
	var errs bytes.Buffer
	a := &app{stderr: &errs}
	a.report(errors.Join(hint.Add(errors.New("one\ntwo"), "first"), errors.New("three")))
	if want := "sallyport: one\\ntwo\nsallyport: hint: first\nsallyport: three\n"; errs.String() != want {
		t.Errorf("%q, want %q", errs.String(), want)
	}
}
