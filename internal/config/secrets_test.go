package config

import (
	"strings"
	"testing"
)

// A secret under a key that says nothing is known by what it is.
func TestSecretsByValue(t *testing.T) {
	for text, want := range map[string]bool{
		"-----BEGIN RSA PRIVATE KEY-----\nabc":     true,
		"-----BEGIN PRIVATE KEY-----":              true,
		"-----BEGIN CERTIFICATE-----":              false,
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc": true,
		"Bearer eyJhbGciOiJIUzI1NiJ9.e30.x":        true,
		"eyJ":                                      false,
		"AKIA" + strings.Repeat("A", 16):           true,
		"AKIA is how AWS's keys begin":             false,
		"redis://:pw@h/0":                          true,
		"https://token@h/x":                        true,
		"https://h/@user":                          false,
		"me@example.com":                           false,
		"xoxb-" + strings.Repeat("1", 12):          true,
		"https://hooks.slack.com/services/T0/B0/x": true,
		"ghp_" + strings.Repeat("a", 36):           true,
		"sk-" + strings.Repeat("a", 40):            true,
		"risk-averse":                              false,
		"an ordinary sentence: nothing":            false,
	} {
		if got := secretText(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	t.Chdir(t.TempDir())
	writeHere(t, "c.yaml", "plugins: [{name: P, kind: search_replace, config: {odd: [\"eyJhbGciOiJIUzI1NiJ9.e30.x\"]}}]\n")
	s, err := LoadServer("c.yaml", Options{Env: env()})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(s.Plugins[0].Masked); got != `{"odd":["***"]}` {
		t.Errorf("masked: %s", got)
	}
}

// What a variable holds may be a secret, and keys are shown.
func TestTemplatesAreNoKeys(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "c.yaml", "plugins: [{name: P, kind: search_replace, config: {\"{{ env.SECRET }}\": 1}}]\n")
	_, err := LoadServer("c.yaml", Options{Env: env("SECRET", "geheim")})
	if err == nil || !strings.Contains(err.Error(), "a template cannot be a key") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("error %v", err)
	}
}
