package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// oddArguments and oddResult hold what parsers like to lose: integers over 2^53,
// spellings of numbers, order, unknown members and content types, escapes, a
// lone surrogate, space between tokens.
const (
	oddArguments = `{ "z":9007199254740993, "a":1.0,"e":1e2 ,"neg":-0.0,"text":"\u00e9<>\/","lone":"\ud83d","nested":{"b":[1,{"y":1,"x":null}],"a":{}}, "word":"here"}`
	oddResult    = `{"unknown":{"b":1.0,"a":9007199254740993},"content":[{"type":"hologram","frames":[1e2,1.50],"x":null},{"text":"\u00e9 \ud83d","word":"here","type":"text","_meta":{"k":1.0}}] , "structuredContent":{"n":9007199254740993,"word":"here"},"isError":false,"_meta":{"z":1,"a":2}}`
)

// answering makes a fake answer one method with these bytes.
func answering(result string) func(f *fakeServer, w http.ResponseWriter, r *http.Request, m *wire.Message) bool {
	return func(f *fakeServer, w http.ResponseWriter, _ *http.Request, m *wire.Message) bool {
		f.result(w, m, result)
		return true
	}
}

// reencode does to a payload what a plugin in Python would: decode all of it and
// encode it again, with spaces, sorted keys, escapes and doubles; and change one
// word.
func reencode(payload json.RawMessage) json.RawMessage {
	var v any
	const lone = "a lone surrogate" // which Go would replace, and Python keeps
	d := json.NewDecoder(strings.NewReader(strings.ReplaceAll(string(payload), `\ud83d`, lone)))
	d.UseNumber() // Python keeps large integers, too
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	out, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	return json.RawMessage(strings.NewReplacer("here", "there", "1e2", "100.0", lone, `\ud83d`).Replace(string(out)))
}

// tight drops the space between tokens: where a plugin has changed something,
// objects and arrays around it are put together anew.
func tight(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// What nobody has changed passes as the bytes it was, both ways; what a plugin
// has changed is all that differs.
func TestBytesPass(t *testing.T) {
	typed := &fakePlugin{plugin.Hooks()[:2], func(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		if hook == plugin.ToolPostInvoke {
			var p plugin.ToolPost
			if err := json.Unmarshal(payload, &p); err != nil {
				return nil, err
			}
			p.Result = json.RawMessage(strings.ReplaceAll(string(p.Result), "here", "there"))
			return plugin.Modified(&p)
		}
		var p plugin.ToolPre
		if err := json.Unmarshal(payload, &p); err != nil {
			return nil, err
		}
		p.Args = json.RawMessage(strings.ReplaceAll(string(p.Args), "here", "there"))
		return plugin.Modified(&p)
	}}
	python := &fakePlugin{plugin.Hooks()[:2], func(_ context.Context, _ plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		return &plugin.Result{Continue: true, ModifiedPayload: reencode(payload)}, nil
	}}
	for name, c := range map[string]struct {
		entries []pipeline.Entry
		word    string
	}{
		"no plugin":                   {nil, "here"},
		"a plugin in Go":              {entryOf(typed), "there"},
		"a plugin that encodes again": {entryOf(python), "there"},
	} {
		for _, modern := range []bool{false, true} {
			f := startFake(t, &fakeServer{modern: modern, answer: answering(oddResult)})
			s := serve(t, Config{}, c.entries, f)
			session := s.open(t, wire.Revision2025_11)
			params := `{"unknown":[1.0,{"b":1,"a":2}], "arguments":` + oddArguments + `,"name":"echo"}`
			a := s.legacy(t, session, "tools/call", params)
			space := func(text string) string { return text }
			if c.entries != nil {
				space = func(text string) string { return tight(t, text) }
			}
			if want := strings.ReplaceAll(oddResult, "here", c.word); space(string(a.message(t).Result)) != space(want) {
				t.Errorf("%s: the client got\n%s, want\n%s", name, a.message(t).Result, want)
			}
			if calls := f.calls(); len(calls) != 1 {
				t.Fatalf("%s: %d calls: %s", name, len(calls), a.body)
			}
			got := f.calls()[0].params
			if modern {
				got = string(wire.SetMember(nil, []byte(got), "_meta", nil))
			}
			if want := strings.ReplaceAll(params, "here", c.word); space(got) != space(want) {
				t.Errorf("%s: the upstream got\n%s, want\n%s", name, got, want)
			}
		}
	}
}

// Prompts and resources pass like that, too.
func TestBytesOfPromptsAndResourcesPass(t *testing.T) {
	post := &fakePlugin{plugin.Hooks()[2:6], func(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
		if hook == plugin.PromptPreFetch || hook == plugin.ResourcePreFetch {
			return plugin.Continue(), nil
		}
		return &plugin.Result{Continue: true, ModifiedPayload: reencode(payload)}, nil
	}}
	for method, c := range map[string][2]string{
		"prompts/get":    {`{"name":"greet"}`, `{"x":1.0,"description":"d","messages":[{"role":"user","content":{"type":"hologram","n":9007199254740993,"word":"here"},"new":1e2}]}`},
		"resources/read": {`{"uri":"mem://a"}`, `{"x":1.0,"contents":[{"uri":"mem://a","n":9007199254740993,"text":"here"}, {"uri":"mem://b","blob":"QUJD","f":1.0}],"_meta":{"b":1,"a":1e2}}`},
	} {
		for word, entries := range map[string][]pipeline.Entry{"here": nil, "there": entryOf(post)} {
			f := startFake(t, &fakeServer{answer: answering(c[1])})
			s := serve(t, Config{}, entries, f)
			a := s.legacy(t, s.open(t, wire.Revision2025_11), method, c[0])
			want := strings.ReplaceAll(c[1], "here", word)
			if entries != nil {
				want = strings.ReplaceAll(want, "}, {", "},{") // the array was put together anew
			}
			if got := string(a.message(t).Result); got != want {
				t.Errorf("%s: got\n%s, want\n%s", method, a.body, want)
			}
		}
	}
}

// Numbers, order and unknown members of a list pass as well, also under a prefix.
func TestBytesOfListsPass(t *testing.T) {
	tool := `{"inputSchema":{"type":"object","maximum":9007199254740993,"multipleOf":1.0},"x":[1e2], "name":"echo" ,"title":"\u00e9"}`
	lists := map[string]string{"tools/list": tool}
	a, b := startFake(t, &fakeServer{lists: lists}), startFake(t, &fakeServer{modern: true, lists: lists})
	s := serve(t, Config{}, nil, a, b)
	got := s.modern(t, "tools/list", `{}`, "").message(t)
	want := "[" + strings.Replace(tool, `"echo"`, `"up__echo"`, 1) + "," + strings.Replace(tool, `"echo"`, `"up2__echo"`, 1) + "]"
	if list := string(wire.Member(got.Result, "tools")); list != want {
		t.Errorf("got\n%s, want\n%s", list, want)
	}
}
