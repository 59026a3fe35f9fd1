package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

func TestSecretIsNeverShown(t *testing.T) {
	s := NewSecret("geheim")
	var logged bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&logged, nil))
	log.Info("m", "direct", s, "inside", struct{ Password Secret }{s}, "value", Value[Secret]{V: s})
	raw, err := json.Marshal(map[string]any{"a": s, "b": Value[Secret]{V: s}, "c": ServerTLS{KeyPassword: Value[Secret]{V: s}}})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%s %s %v %+v %#v %q %x %d", logged.String(), raw, s, s, s, s, s, s) +
		fmt.Sprintf("%v %+v %#v", Value[Secret]{V: s}, &ServerTLS{KeyPassword: Value[Secret]{V: s}}, []Secret{s})
	if strings.Contains(all, "geheim") || strings.Contains(all, fmt.Sprintf("%x", "geheim")) {
		t.Error(all)
	}
	if n := strings.Count(all, "***"); n < 12 {
		t.Errorf("only %d masks in %s", n, all)
	}
}

func TestSecretNotation(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("HOME", ".")
	writeHere(t, "pw", "geheim\r\n")
	writeHere(t, "empty", "\n")
	for text, want := range map[string]string{"": "", "geheim": "geheim", "@@home": "@home", "@pw": "geheim", "@~/pw": "geheim", "two\nlines": "two\nlines"} {
		got, err := NewSecret(text).Resolve()
		if err != nil || string(got) != want {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	_, err := NewSecret("@missing").Resolve()
	if err == nil || !strings.Contains(err.Error(), "/missing: no such file") || !strings.Contains(strings.Join(hint.Of(err), ""), "@@") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := NewSecret("@empty").Resolve(); err == nil {
		t.Error("an empty file is no password")
	}
	if NewSecret("").IsSet() || !NewSecret("@x").IsSet() || NewSecret("@x").File() != "x" {
		t.Error("IsSet or File")
	}
}

func TestPathsExpandHome(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	t.Chdir(t.TempDir())
	writeHere(t, "c.yaml", onePlugin+"server_settings: {tls: {certfile: ~/s.crt, keyfile: \"~/s.key\", ca_bundle: a~/ca}}\n")
	s, err := LoadServer("c.yaml", Options{Env: env("PLUGINS_SERVER_SSL_CA_CERTS", "~/ca.crt")})
	if err != nil {
		t.Fatal(err)
	}
	if s.TLS.CertFile.V != "/home/me/s.crt" || s.TLS.KeyFile.V != "/home/me/s.key" || s.TLS.CABundle.V != "/home/me/ca.crt" {
		t.Errorf("%+v", s.TLS)
	}
	if got := expandHome("~other/x"); got != "~other/x" {
		t.Error(got)
	}
}

func TestProblemsCarryTheirHints(t *testing.T) {
	err := error(Problems{{Message: "a", Hint: "do a"}, {File: "f", Line: 2, Column: 3, Message: "b", Hint: "do b"}, {File: "f", Message: "c"}})
	if got := err.Error(); got != "a\nf:2:3: b\nf: c" {
		t.Error(got)
	}
	if got := strings.Join(hint.Of(err), "; "); got != "do a; do b" {
		t.Error(got)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"missing.yaml", "."} {
		for name, load := range map[string]func() error{
			"server": func() error { _, err := LoadServer(path, Options{}); return err },
			"client": func() error { _, err := LoadClient(path, Options{}); return err },
			"names":  func() error { _, err := PluginNames(path); return err },
			"show":   func() error { _, err := Show(path, Options{}); return err },
		} {
			if err := load(); err == nil || !strings.Contains(err.Error(), "reading the configuration file /") {
				t.Errorf("%s of %s: %v", name, path, err)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"certfile", "keyfile", "ca_bundle", "mode"}
	for word, want := range map[string]string{"certfle": "certfile", "Keyfile": "keyfile", "keyfiel": "keyfile", "ca-bundle": "ca_bundle", "mod": "mode", "x": "", "hostname": "", "": ""} {
		if got := nearest(word, words); got != want {
			t.Errorf("nearest(%q) is %q, want %q", word, got, want)
		}
	}
}
