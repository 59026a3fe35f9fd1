package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// loaded reads a server file of testdata.
func loaded(t *testing.T, name string, vars ...string) *Server {
	t.Helper()
	s, err := LoadServer("testdata/"+name, Options{Env: env(vars...), Kinds: kinds()})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConfigKeepsNumbersAndKeyOrder(t *testing.T) {
	got := string(loaded(t, "json-values.good.yml").Plugins[0].Config)
	want := `{"big":9007199254740993,"tiny":1.10,"exp":1e3,"hex":31,"octal":15,"old_octal":511,"no_octal":"08","underscore":1000,` +
		`"plus":5,"point":0.5,"trailing":5.0,"date":"2024-01-01","yes_plain":true,"no_quoted":"no","nothing":null,"empty":null,"tagged":"12",` +
		`"1":"one","true":"two","html":"<a&b>","text":"two\nlines\n"}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnchorsAndMergeKeysAreResolved(t *testing.T) {
	s := loaded(t, "anchors.good.yml")
	p, q := s.Plugins[0], s.Plugins[1]
	if p.Mode != "enforce" || p.Priority != 5 || q.Mode != "permissive" || q.Priority != 5 || q.Author != "me" {
		t.Errorf("merged: %+v, %+v", p, q)
	}
	if want := `{"words":[{"search":"a","replace":"b"}]}`; string(p.Config) != want {
		t.Errorf("P: %s", p.Config)
	}
	if want := `{"words":[{"search":"a","replace":"b"}],"extra":[{"words":[{"search":"a","replace":"b"}]},1]}`; string(q.Config) != want {
		t.Errorf("Q: %s", q.Config)
	}
	// The place is where the text stands, also through an alias.
	if got := p.At("words[0].replace").String(); got != "testdata/anchors.good.yml:2:32" {
		t.Error(got)
	}
	if got := q.At("words[0].search").String(); got != "testdata/anchors.good.yml:2:20" {
		t.Error(got)
	}
}

func TestTemplatesAreData(t *testing.T) {
	s := loaded(t, "templates.good.yml", "NAME", "P", "PORT", "8443", "WORD", `cr"ap: [}`, "HOST", "localhost")
	p := s.Plugins[0]
	if s.Port.V != 8443 || s.Host.V != "localhost" || p.Name != "P" {
		t.Errorf("%+v", s)
	}
	want := `{"words":[{"search":"cr\"ap: [}","replace":"yikes"}],"level":3,"text":"3","flow":["localhost","localhost"],"mixed":"redis://localhost:6379/0"}`
	if diff := cmp.Diff(want, string(p.Config)); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	want = `{"words":[{"search":"***","replace":"***"}],"level":"***","text":"***","flow":["***","***"],"mixed":"***"}`
	if diff := cmp.Diff(want, string(p.Masked)); diff != "" {
		t.Errorf("masked (-want +got):\n%s", diff)
	}
}

// TestAValueCannotInjectStructure puts hostile values everywhere a template can
// stand: the shape of the file must not change, and the value arrive unchanged.
func TestAValueCannotInjectStructure(t *testing.T) {
	for _, hostile := range []string{
		"a\nmode: disabled", "\"\nmode: disabled\nx: \"", "'", "]", "}, mode: disabled, x: {", "# comment", "*alias", "&anchor x", "!!binary x",
		"{{ env.OTHER }}", "null", "~", "- a", "<<", "\U000F0000\U000F0001", "\x00", "| block", "é\u2028",
	} {
		t.Chdir(t.TempDir())
		writeHere(t, "c.yaml", `plugins:
  - name: P
    kind: search_replace
    config:
      bare: {{ env.X }}
      single: '{{ env.X }}'
      double: "{{ env.X }}"
      flow: [{{ env.X }}, {k: {{ env.X }}}]
      block: |
        {{ env.X }}
`)
		s, err := LoadServer("c.yaml", Options{Env: env("X", hostile, "OTHER", "leak")})
		if err != nil {
			t.Errorf("%q: %v", hostile, err)
			continue
		}
		var got struct {
			Bare, Single, Double, Block string
			Flow                        []any
		}
		if err := json.Unmarshal(s.Plugins[0].Config, &got); err != nil {
			t.Fatalf("%q: %v", hostile, err)
		}
		flow := got.Flow[1].(map[string]any)["k"]
		if got.Bare != hostile || got.Single != hostile || got.Double != hostile || got.Block != hostile+"\n" || got.Flow[0] != hostile || flow != hostile {
			t.Errorf("%q arrived as %q", hostile, got)
		}
		if s.Plugins[0].Mode != "enforce" {
			t.Errorf("%q changed the mode", hostile)
		}
	}
}

func TestMasked(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "c.yaml", `plugins:
  - name: P
    kind: search_replace
    config:
      db: {password: geheim, Api-Key: geheim, host: h}
      tokens: [geheim, {any: geheim}]
      url: redis://user:geheim@host/0
      plain_url: https://host/a:b@c
      max_tokens: 5
      secret: null
      enabled: {slack_token: true}
      words: [{search: crap}]
      clientSecret: geheim
`)
	s, err := LoadServer("c.yaml", Options{Env: env()})
	if err != nil {
		t.Fatal(err)
	}
	masked := string(s.Plugins[0].Masked)
	want := `{"db":{"password":"***","Api-Key":"***","host":"h"},"tokens":["***",{"any":"***"}],"url":"***","plain_url":"https://host/a:b@c",` +
		`"max_tokens":"***","secret":null,"enabled":{"slack_token":true},"words":[{"search":"crap"}],"clientSecret":"***"}`
	if diff := cmp.Diff(want, masked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := strings.Count(string(s.Plugins[0].Config), "geheim"); n != 6 {
		t.Errorf("the plugin itself is given %d of 6 secrets", n)
	}
}

func TestAt(t *testing.T) {
	t.Chdir(t.TempDir())
	writeHere(t, "c.yaml", `plugins:
  - name: P
    kind: search_replace
    config:
      words:
        - {search: a}
        - search: b
          replace: c
      a.b: {c: 1}
      a:
        b: 2
  - {name: Q, kind: search_replace}
`)
	s, err := LoadServer("c.yaml", Options{Env: env()})
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":                    "c.yaml:5:7",
		"words":               "c.yaml:6:9",
		"words[1]":            "c.yaml:7:11",
		"words[1].replace":    "c.yaml:8:20",
		"words[1].missing":    "c.yaml:7:11",
		"words[7]":            "c.yaml:6:9",
		"words[x]":            "c.yaml:6:9",
		"nothing.at.all":      "c.yaml:5:7",
		"a.b.c":               "c.yaml:9:16",
		"a":                   "c.yaml:11:9",
		"words[0].search.far": "c.yaml:6:20",
	} {
		if got := s.Plugins[0].At(path).String(); got != want {
			t.Errorf("At(%q) is %s, want %s", path, got, want)
		}
	}
	if got := s.Plugins[1].At("words").String(); got != "c.yaml:12:5" {
		t.Errorf("without config: %s", got)
	}
}

func TestNumbersOfYAMLAsJSON(t *testing.T) {
	for yaml, want := range map[string]string{
		"-0": "-0", "0": "0", "-17": "-17", "0b101": "5", "-0x10": "-16", "+0x10": "16", "00": "0", "1_0": "10",
	} {
		if got, ok := intJSON(yaml); !ok || got != want {
			t.Errorf("integer %s is %s, want %s", yaml, got, want)
		}
	}
	for yaml, want := range map[string]string{
		"-.5": "-0.5", "+1.5": "1.5", "1.": "1.0", "1.e3": "1.0e3", "007.5": "7.5", "0.0": "0.0", "00.0": "0.0", "1_0.5": "10.5", "-1E+2": "-1E+2",
		"+1e3": "1e3", "09": `"09"`,
	} {
		got, problem := floatJSON(yaml)
		if got != want || problem != "" {
			t.Errorf("float %s is %s (%s), want %s", yaml, got, problem, want)
		}
	}
	for _, yaml := range []string{".inf", "-.inf", "+.Inf", ".nan", ".NaN"} {
		if _, problem := floatJSON(yaml); problem == "" {
			t.Errorf("%s is a number in JSON", yaml)
		}
	}
}
