package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzLoad feeds the reader arbitrary files: it must not crash or run away, and
// every problem stands within the file.
func FuzzLoad(f *testing.F) {
	files, err := filepath.Glob("testdata/*.yml")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lookup := env("X", "a: [\n", "EMPTY", "", "PORT", "1", "PLUGINS_CLIENT_MTLS_CA_BUNDLE", "ca", "PLUGINS_SERVER_SSL_CERT_REQS", "1")
		for _, names := range []bool{false, true} {
			d := &decoder{document: newDocument("f", lookup), namesOnly: names}
			if names {
				d.env = nil
			}
			d.parse(data)
			l := d.loader(Options{Env: lookup, Kinds: kinds()}, gatewayKey(d.top) != nil)
			if !names {
				judge(t, l)
			}
			if len(l.problems()) == 0 && l.root == nil {
				t.Fatal("nothing was read and nothing reported")
			}
			within(t, string(data), l.problems())
		}
	})
}

// judge reads the file as everything and checks what came of it.
func judge(t *testing.T, l *loader) {
	if l.gatewayFile {
		judgeGateway(t, l)
		return
	}
	s, c := l.server(), l.client()
	for _, p := range append(s.Plugins, c.Plugins...) {
		if !json.Valid(p.Config) || !json.Valid(p.Masked) {
			t.Fatalf("config is no JSON: %s, %s", p.Config, p.Masked)
		}
		p.At("words[0].search")
		p.At("a.b[1].c")
	}
	if len(l.problems().Errors()) == 0 && len(s.Plugins) == 0 {
		t.Fatal("a server without plugins was accepted")
	}
	w := &shower{loader: l, over: map[string]Setting{}}
	if l.root != nil {
		w.object(l.root, fileShape, "")
	}
	if _, err := json.Marshal(w.out); err != nil {
		t.Fatal(err)
	}
}

func judgeGateway(t *testing.T, l *loader) {
	g := l.gateway()
	if len(l.problems().Errors()) == 0 {
		for _, u := range g.Upstreams {
			if !upstreamName.MatchString(u.Name) || (u.URL.V == "") == (u.Command.V == "") {
				t.Fatalf("upstream %+v was accepted", u)
			}
		}
	}
	w := &shower{loader: l, over: map[string]Setting{}}
	if l.root != nil {
		w.object(l.root, gatewayShape, "")
	}
	if _, err := json.Marshal(w.out); err != nil {
		t.Fatal(err)
	}
}

// within checks that each problem stands in the file: on a line that it has,
// and at most one column behind that line's end.
func within(t *testing.T, text string, found Problems) {
	// YAML knows more line ends than \n.
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(strings.TrimPrefix(text, "\ufeff"))
	lines := strings.Split(text, "\n")
	for _, p := range found {
		if p.Line == 0 || p.File != "f" {
			continue
		}
		if p.Line < 1 || p.Line > len(lines) || p.Column < 1 {
			t.Fatalf("%v: the file has %d lines", p, len(lines))
		}
		if p.Column > utf8.RuneCountInString(lines[p.Line-1])+1 {
			t.Fatalf("%v: line %d is %q", p, p.Line, lines[p.Line-1])
		}
	}
}
