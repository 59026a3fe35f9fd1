package plugin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// upper is an edit that leaves some strings alone.
func upper(_ Path, s string) (string, error) { return strings.ToUpper(s), nil }

func TestMapStringsLeavesTheOtherBytes(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"numbers", `{"a":9007199254740993,"b":1.50,"c":-0,"d":1E400,"e":"x"}`, `{"a":9007199254740993,"b":1.50,"c":-0,"d":1E400,"e":"X"}`},
		{"spaces", " {\t\"a\" :\r\n [ \"x\" , null ] } \n", " {\t\"a\" :\r\n [ \"X\" , null ] } \n"},
		{"member names", `{"x":{"\u0078":"x"}}`, `{"x":{"\u0078":"X"}}`},
		{"escapes of unchanged strings", `["\u0041\/\u00e9"," x"]`, `["\u0041\/\u00e9"," X"]`},
		{"a whole string", `"x"`, `"X"`},
		{"duplicate members", `{"a":"x","a":"y"}`, `{"a":"X","a":"Y"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, changed, err := MapStrings(json.RawMessage(tt.in), func(at Path, s string) (string, error) {
				if strings.HasSuffix(s, "é") {
					return s, nil
				}
				return upper(at, s)
			})
			if err != nil || !changed || string(got) != tt.want {
				t.Errorf("got %s, %v, %v\nwant %s", got, changed, err, tt.want)
			}
		})
	}
}

func TestMapStringsThatChangesNothingReturnsItsInput(t *testing.T) {
	in := json.RawMessage(`{ "a" : "\ud83d" }`)
	got, changed, err := MapStrings(in, func(_ Path, s string) (string, error) { return s, nil })
	if err != nil || changed || &got[0] != &in[0] {
		t.Errorf("got %s, %v, %v", got, changed, err)
	}
}

func TestMapStringsEscapesWhatMustBe(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"quote and backslash", `"\/`, `"\"\\/"`},
		{"short escapes", "\b\f\n\r\t", `"\b\f\n\r\t"`},
		{"other controls", "\x00\x1f\x7f", "\"\\u0000\\u001f\x7f\""},
		{"nothing for HTML or JavaScript", "<&>\u2028é𝔸", "\"<&>\u2028é𝔸\""},
		{"lone surrogates", "a\xed\xa0\xbd\xed\xb0\x80", `"a\ud83d\udc00"`},
		{"invalid UTF-8", "a\xff\xed\xa0", "\"a\ufffd\ufffd\ufffd\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, err := MapStrings(json.RawMessage(`"x"`), func(Path, string) (string, error) { return tt.text, nil })
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestMapStringsDecodes(t *testing.T) {
	tests := map[string]string{
		`"\"\\\/\b\f\n\r\t"`:   "\"\\/\b\f\n\r\t",
		`"\u00e9\u00E9"`:       "éé",
		`"\ud835\udd38"`:       "𝔸",
		`"\ud83d"`:             "\xed\xa0\xbd",
		`"\ud83d\ud835\udd38"`: "\xed\xa0\xbd𝔸",
		`"\udc00\ud83dx"`:      "\xed\xb0\x80\xed\xa0\xbdx",
		`"\ud83d\n"`:           "\xed\xa0\xbd\n",
	}
	for in, want := range tests {
		var got string
		_, _, err := MapStrings(json.RawMessage(in), func(_ Path, s string) (string, error) { got = s; return s, nil })
		if err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestMapStringsSaysWhere(t *testing.T) {
	var got []string
	in := `{"a":[1,"x",{"b.c":"y"}],"d":"z"}`
	_, _, err := MapStrings(json.RawMessage(in), func(at Path, s string) (string, error) {
		got = append(got, at.String()+"="+s)
		return s, nil
	})
	if want := "a[1]=x a[2].b.c=y d=z"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %s, %v, want %s", strings.Join(got, " "), err, want)
	}
}

func TestMapStringsOfAnAbsentField(t *testing.T) {
	if got, changed, err := MapStrings(nil, upper); got != nil || changed || err != nil {
		t.Errorf("got %s, %v, %v", got, changed, err)
	}
}

func TestMapStringsPassesErrorsOn(t *testing.T) {
	mine := errors.New("mine")
	got, _, err := MapStrings(json.RawMessage(`["a","b"]`), func(Path, string) (string, error) { return "", mine })
	if !errors.Is(err, mine) || got != nil {
		t.Errorf("got %s, %v", got, err)
	}
}

func TestMapStringsRefusesWhatIsNotJSON(t *testing.T) {
	tests := map[string]string{
		` `:                             "json: unexpected end",
		`{`:                             "json: unexpected end",
		`{"a"}`:                         "json: no colon at offset 4",
		`{"a":1,}`:                      "json: no member name at offset 7",
		`[1 2]`:                         "json: no comma or bracket after an element at offset 3",
		`{"a":1 "b"}`:                   "json: no comma or brace after a member at offset 7",
		`[1]]`:                          "json: text after the value at offset 3",
		`"\x"`:                          "json: bad escape at offset 2",
		`"\u12g4"`:                      "json: bad escape at offset 5",
		"\"\n\"":                        "json: control character in a string at offset 1",
		"\"\xff\"":                      "json: invalid UTF-8 in the string at offset 0",
		`01`:                            "json: text after the value at offset 1",
		`-`:                             "json: unexpected end",
		`1.e1`:                          "json: no value at offset 2",
		`nul`:                           "json: unexpected end",
		strings.Repeat("[", maxDepth+2): "json: too deep at offset 10001",
	}
	for in, want := range tests {
		if _, _, err := MapStrings(json.RawMessage(in), upper); err == nil || err.Error() != want {
			t.Errorf("%.20q: got %v, want %s", in, err, want)
		}
	}
}

// FuzzMapStrings edits whatever is JSON and compares with what encoding/json
// makes of the same texts: the same strings, changed as asked, and outside of
// them not a byte of difference.
func FuzzMapStrings(f *testing.F) {
	for _, seed := range []string{
		`{"name":"t","args":{"a":[1,"x",{"b":null}]}}`, `"\ud83d\ude00\ud83d"`, ` [ "é\u00e9\/" , 1e5 ] `, `{"":""}`, `01`, "\"\xff\"",
	} {
		f.Add([]byte(seed), uint8(3), "y\"\\\x00é")
	}
	f.Fuzz(func(t *testing.T, in []byte, which uint8, with string) {
		with = strings.ToValidUTF8(with, "?")
		var seen []string
		out, changed, err := MapStrings(in, func(_ Path, s string) (string, error) {
			seen = append(seen, s)
			if (len(seen)-1)%4 == int(which)%4 {
				return with, nil
			}
			return s, nil
		})
		if want := len(in) == 0 || json.Valid(in) && utf8.Valid(in); (err == nil) != want {
			if err != nil && strings.Contains(err.Error(), "too deep") {
				return
			}
			t.Fatalf("%q: err is %v, encoding/json says %v", in, err, want)
		}
		if err != nil {
			return
		}
		wantSpans, wantStrings := stringValues(t, in)
		if len(seen) != len(wantStrings) {
			t.Fatalf("%q: %d strings, want %d", in, len(seen), len(wantStrings))
		}
		// Put the output together from the input's own pieces.
		rest, copied, any := out, 0, false
		for i, span := range wantSpans {
			if asUTF16(seen[i]) != wantStrings[i] {
				t.Fatalf("%q: string %d is %q, want %q", in, i, seen[i], wantStrings[i])
			}
			if i%4 != int(which)%4 || seen[i] == with {
				continue
			}
			any = true
			rest = cut(t, rest, in[copied:span[0]])
			var got string
			dec := json.NewDecoder(strings.NewReader(string(rest)))
			if err := dec.Decode(&got); err != nil || got != with {
				t.Fatalf("%q: wrote %q (%v), want %q", in, got, err, with)
			}
			rest = rest[dec.InputOffset():]
			copied = span[1]
		}
		if rest = cut(t, rest, in[copied:]); len(rest) > 0 || any != changed {
			t.Fatalf("%q: %q is left over, changed %v", in, rest, changed)
		}
	})
}

func cut(t *testing.T, b json.RawMessage, prefix []byte) json.RawMessage {
	t.Helper()
	rest, ok := strings.CutPrefix(string(b), string(prefix))
	if !ok {
		t.Fatalf("%q does not start with %q", b, prefix)
	}
	return json.RawMessage(rest)
}

// asUTF16 writes lone surrogates as encoding/json reads them.
func asUTF16(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if _, ok := surrogateAt(s); ok {
			r, size = utf8.RuneError, 3
		}
		b.WriteRune(r)
		s = s[size:]
	}
	return b.String()
}

// stringValues finds the string values of valid JSON with encoding/json.
func stringValues(t *testing.T, in []byte) (spans [][2]int, texts []string) {
	t.Helper()
	type frame struct{ object, wantValue bool }
	var stack []frame
	dec := json.NewDecoder(strings.NewReader(string(in)))
	for {
		before := int(dec.InputOffset())
		token, err := dec.Token()
		if err != nil {
			return spans, texts
		}
		top := len(stack) - 1
		isKey := top >= 0 && stack[top].object && !stack[top].wantValue
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				if top >= 0 {
					stack[top].wantValue = false
				}
				stack = append(stack, frame{object: v == '{'})
			} else {
				stack = stack[:top]
			}
			continue
		case string:
			if isKey {
				stack[top].wantValue = true
				continue
			}
			end := int(dec.InputOffset())
			start := before + strings.IndexByte(string(in[before:end]), '"')
			spans, texts = append(spans, [2]int{start, end}), append(texts, v)
		}
		if top >= 0 {
			stack[top].wantValue = false
		}
	}
}
