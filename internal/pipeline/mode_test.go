package pipeline

import "testing"

// Both vocabularies of modes (plugin protocol §2).
func TestParseMode(t *testing.T) {
	for in, want := range map[string]Mode{
		"enforce": Enforce, "sequential": Enforce, "enforce_ignore_error": EnforceIgnoreError,
		"permissive": Permissive, "transform": Permissive, "audit": Audit, "concurrent": Concurrent,
		"fire_and_forget": FireAndForget, "disabled": Disabled,
	} {
		if got, ok := ParseMode(in); got != want || !ok {
			t.Errorf("%s: %q, %v, want %q", in, got, ok, want)
		}
	}
	for _, in := range []string{"", "Enforce", "enforce ", "off"} {
		if got, ok := ParseMode(in); ok {
			t.Errorf("%q is taken for %q", in, got)
		}
	}
}
