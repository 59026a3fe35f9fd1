package builtin

import (
	"os"
	"strings"
	"testing"
)

// sample is a line of a corpus.
type sample struct {
	line            int
	kind, key, text string // kind is "-" where nothing is to be found
}

// readCorpus reads a file of testdata: kind, member name and text, by tabs.
func readCorpus(t *testing.T, name string) []sample {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var samples []sample
	for i, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, "\t", 3)
		if len(parts) != 3 {
			t.Fatalf("%s:%d: %d parts", name, i+1, len(parts))
		}
		samples = append(samples, sample{i + 1, parts[0], parts[1], strings.ReplaceAll(parts[2], `\n`, "\n")})
	}
	return samples
}

// score prints how many of the findings were right, and how many of those that
// there are were found, and holds both against what they have been.
func score(t *testing.T, name string, find func(text, key string) []string, precision, recall float64) {
	t.Helper()
	var right, wrong, missed int
	for _, s := range readCorpus(t, name) {
		hit := false
		for _, kind := range find(s.text, s.key) {
			if kind == s.kind && !hit {
				hit = true
				continue
			}
			wrong++
			t.Logf("%s:%d: found %s, want %s: %q", name, s.line, kind, s.kind, s.text)
		}
		switch {
		case hit:
			right++
		case s.kind != "-":
			missed++
			t.Logf("%s:%d: missed %s: %q", name, s.line, s.kind, s.text)
		}
	}
	p, r := float64(right)/float64(right+wrong), float64(right)/float64(right+missed)
	t.Logf("%s: %d right, %d wrong, %d missed: precision %.3f, recall %.3f", name, right, wrong, missed, p, r)
	if p < precision || r < recall {
		t.Errorf("precision %.3f, want %.3f; recall %.3f, want %.3f", p, precision, r, recall)
	}
}

func TestSecretsCorpus(t *testing.T) {
	var d secretScan
	for kind := range d.on {
		d.on[kind] = true
	}
	score(t, "secrets.tsv", func(text, key string) []string {
		var kinds []string
		for _, s := range d.find(text, key) {
			kinds = append(kinds, secretNames[s.kind])
		}
		return kinds
	}, 0.98, 0.98)
}

func TestPIICorpus(t *testing.T) {
	var d piiScan
	for kind := range d.on {
		d.on[kind] = true
	}
	score(t, "pii.tsv", func(text, key string) []string {
		var kinds []string
		for _, s := range settle(d.find(text, key)) {
			kinds = append(kinds, piiNames[s.kind])
		}
		return kinds
	}, 0.98, 0.98)
}
