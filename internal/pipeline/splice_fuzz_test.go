package pipeline

import (
	"bytes"
	"hash/maphash"
	"slices"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// FuzzSplice: whatever a plugin answers, the result means what the answer means,
// and an answer that means the original is the original to the byte.
func FuzzSplice(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":1.0,"b":[1,2,{"c":null}]}`, `{"b":[1,2,{"c":null},3],"a":1}`},
		{`{"l":[1.0,2.0,3.0,"x"]}`, `{"l":["x",3,1]}`},
		{`{"s":"\ud83d","t":"\u00e9"}`, `{"t":"é","s":"\ufffd"}`},
		{`[9007199254740993,1e400,-0]`, `[9007199254740992,10e399,0]`},
		{`{"name":"t","args":{"a":[]}}`, "{\"args\":{\"a\":[\r\n1]},\"name\":\"t\"}"},
		{`{"prompt_id":"p","result":{"messages":[{"role":"u","content":{"type":"text","text":"a"}}]}}`, `{"prompt_id":"p","result":{"messages":[{"role":"u","content":{"type":"text","text":"b","meta":null}}],"description":null}}`},
		{`{"uri":"u","content":{"mime_type":"a"}}`, `{"uri":"u","content":{"mimeType":"b","_meta":{"x":null}}}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	hooks := append(plugin.Hooks(), "custom")
	f.Fuzz(func(t *testing.T, original, answer []byte) {
		seed := maphash.MakeSeed()
		o, errO := parse(original, seed)
		n, errN := parse(answer, seed)
		for _, hook := range hooks {
			result, dropped, err := splice(hook, original, answer)
			if err != nil {
				continue
			}
			if errO != nil || errN != nil {
				t.Fatalf("%s: spliced what is not JSON: %v, %v", hook, errO, errN)
			}
			if len(dropped) == 0 {
				means(t, hook, result, n, seed)
			}
			differsOnlyThere(t, hook, o, result, seed)
			if equal(o, n) && !bytes.Equal(bytes.TrimSpace(result), o.raw) {
				t.Errorf("%s: an answer that means the original changed it:\n%s\n%s", hook, original, result)
			}
		}
	})
}

func means(t *testing.T, hook plugin.Hook, result []byte, n *node, seed maphash.Seed) {
	t.Helper()
	got, err := parse(result, seed)
	if err != nil {
		t.Fatalf("%s: the result is not JSON: %v\n%s", hook, err, result)
	}
	rules, known := rulesOf(hook)
	var s *shape
	if known {
		s = rules.shape
	}
	if !s.same(got, n) {
		t.Errorf("%s: the result does not mean the answer:\n%s\n%s", hook, n.raw, result)
	}
}

// differsOnlyThere checks that whatever of a result means what the original means
// at the same place has the original's bytes.
func differsOnlyThere(t *testing.T, hook plugin.Hook, o *node, result []byte, seed maphash.Seed) {
	t.Helper()
	r, err := parse(result, seed)
	if err != nil {
		t.Fatalf("%s: the result is not JSON: %v", hook, err)
	}
	var s *shape
	if rules, known := rulesOf(hook); known {
		s = rules.shape
	}
	if where := strange(o, r, s, "$"); where != "" {
		t.Errorf("%s: %s has other bytes, and the same meaning:\n%s\n%s", hook, where, o.raw, result)
	}
}

// strange returns the first place where the bytes differ and the meaning does not.
func strange(o, r *node, s *shape, at string) string {
	switch {
	case s.same(o, r):
		if !bytes.Equal(o.raw, r.raw) {
			return at
		}
	case o.kind == kindObject && r.kind == kindObject:
		return strangeMember(o, r, s, at)
	case o.kind == kindArray && r.kind == kindArray:
		return strangeElement(o.elems, r.elems, s, at)
	}
	return ""
}

func strangeMember(o, r *node, s *shape, at string) string {
	last := -1
	for _, m := range r.members {
		place := slices.IndexFunc(o.members, func(old member) bool { return old.name == m.name })
		if place < 0 && s.isModel() {
			place = slices.IndexFunc(o.members, func(old member) bool { return spelling(old.name) == spelling(m.name) })
		}
		if place < 0 {
			last = len(o.members) // what is new comes last
			continue
		}
		old := o.members[place]
		if place <= last || !bytes.Equal(old.key, m.key) {
			return at + "." + m.name + " (its place or its name)"
		}
		last = place
		if where := strange(old.val, m.val, s.field(spelling(m.name)), at+"."+m.name); where != "" {
			return where
		}
	}
	return ""
}

func strangeElement(o, r []*node, s *shape, at string) string {
	var elem *shape
	if s != nil {
		elem = s.elem
	}
	for i := range min(len(o), len(r)) {
		if len(o) != len(r) && !elem.same(o[i], r[i]) {
			break // from here on elements may have moved
		}
		if where := strange(o[i], r[i], elem, at+"[]"); where != "" {
			return where
		}
	}
	for i := 1; len(o) != len(r) && i <= min(len(o), len(r)); i++ {
		if a, b := o[len(o)-i], r[len(r)-i]; !elem.same(a, b) {
			break
		} else if !bytes.Equal(a.raw, b.raw) {
			return at + "[] from the end"
		}
	}
	return ""
}

// FuzzHeadersAnswer takes any answer of an HTTP hook: the result is the payload
// with the headers that the answer has, less what a plugin may not replace.
func FuzzHeadersAnswer(f *testing.F) {
	const payload = `{"path":"/mcp","method":"POST","headers":{"Accept":"*/*","authorization":"Bearer x","cookie":"c","X-Team":"\u0062lue"},"response_headers":{"X-A":"1"}}`
	for _, seed := range []string{
		`{"accept":"a","x-team":"blue"}`, `{"Authorization":"mine","X-New":"\ud83d"}`, `{}`, `{"a":1}`, `[]`, `{"x-a":"2","X-A":"3"}`,
	} {
		f.Add([]byte(seed))
	}
	p, err := New(nil, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		for _, in := range []string{"headers", "response_headers"} {
			merged, _, err := p.mergeHeaders(&Entry{ExposeHeaders: []string{"authorization", "cookie"}}, []byte(payload), in, answer)
			if err != nil {
				continue
			}
			seed := maphash.MakeSeed()
			o, _ := parse([]byte(payload), seed)
			r, err := parse(merged, seed)
			if err != nil {
				t.Fatalf("not JSON: %v: %s", err, merged)
			}
			for _, m := range o.members {
				if m.name != in && !bytes.Equal(m.val.raw, r.get(m.name).raw) {
					t.Fatalf("%s has changed: %s", m.name, merged)
				}
			}
			for _, name := range []string{"authorization", "cookie"} {
				if got := r.get("headers").get(name); got == nil || !bytes.Equal(got.raw, o.get("headers").get(name).raw) {
					t.Fatalf("the client's %s has changed: %s", name, merged)
				}
			}
			for _, m := range r.get(in).members {
				if m.val.kind != kindString {
					t.Fatalf("%s is no text: %s", m.name, merged)
				}
			}
		}
	})
}

// FuzzCombine puts two changes of a band together: the result is JSON, what only
// one has changed is as that one has it, and nothing depends on who is first.
func FuzzCombine(f *testing.F) {
	f.Add([]byte(`{"a":1.0,"b":{"c":2,"d":[1]}}`), []byte(`{"a":2,"b":{"c":2,"d":[1]}}`), []byte(`{"a":1,"b":{"c":3,"e":null}}`))
	f.Add([]byte(`[1]`), []byte(`[2]`), []byte(`[1]`))
	f.Fuzz(func(t *testing.T, base, one, other []byte) {
		x, _, errX := splice("custom", base, one)
		y, _, errY := splice("custom", base, other)
		if errX != nil || errY != nil {
			return
		}
		xy, at, err := combine(base, x, y)
		yx, back, backErr := combine(base, y, x)
		if err != nil || backErr != nil {
			t.Fatal(err, backErr)
		}
		if (at == "") != (back == "") {
			t.Fatalf("a conflict at %q one way, at %q the other", at, back)
		}
		if at != "" {
			return
		}
		seed := maphash.MakeSeed()
		a, errA := parse(xy, seed)
		b, errB := parse(yx, seed)
		if errA != nil || errB != nil || !equal(a, b) {
			t.Fatalf("%v, %v:\n%s\n%s", errA, errB, xy, yx)
		}
		if alone, _, _ := combine(base, x, base); !bytes.Equal(bytes.TrimSpace(alone), bytes.TrimSpace(x)) {
			t.Fatalf("alone\n%s is\n%s", x, alone)
		}
	})
}
