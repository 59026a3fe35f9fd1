package builtin

import (
	"strings"
	"testing"
)

// TestWhatDoesNotShowHidesNothing: a reader takes each of these for what is
// written plainly in it.
func TestWhatDoesNotShowHidesNothing(t *testing.T) {
	scan := piiScan{on: [piiTypes]bool{piiSSN: true, piiEmail: true, piiCreditCard: true}}
	p := &piiFilter{scan: scan, masks: masker{otherwise: maskPartial, redaction: "[REDACTED]"}}
	for text, want := range map[string]string{
		"a 123\u200b-45-6789 b":                                 "a ***-**-6789 b",
		"123\u201345\u20116789":                                 "***-**-6789",
		"\uff11\uff12\uff13-45-\u0666\u0667\u0668\u0669":        "***-**-6789",
		"al\u00adice@exam\ufeffple.com\u200b.":                  "a***e@example.com.",
		"4111\u00a01111\u20021111\u00a01111":                    "****-****-****-1111",
		"\u00e9 \U0001f468\u200d\U0001f469 a\u00a0b \U0001d7d8": "\u00e9 \U0001f468\u200d\U0001f469 a\u00a0b \U0001d7d8",
	} {
		spans, err := p.find(t.Context(), text, "")
		if err != nil {
			t.Fatal(err)
		}
		got := replaceSpans(text, spans, func(s span) string { return p.masks.mask(spelled(text[s.start:s.end]), s) })
		if got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	secrets := secretScan{}
	secrets.on[githubToken] = true
	const key = "ghp_0123456789abcdef0123456789abcdef0123"
	text := "x " + strings.ReplaceAll(key, "9", "9\u200b") + " y"
	if spans := secrets.find(text, ""); len(spans) != 1 || spelled(text[spans[0].start:spans[0].end]) != key {
		t.Errorf("in %q found %v", text, spans)
	}
}

// TestWhereDetectorsLook: nothing that a client gets hides behind something else.
func TestWhereDetectorsLook(t *testing.T) {
	p := mustPlugin(t, "plugins.pii_filter.pii_filter.PIIFilterPlugin", `{}`)
	for payload, want := range map[string]string{
		`{"name":"t","result":{"content":[{"type":"text","text":"{\"alice@example.com\" : [\"carol@example.com\", {\"x\":1, \"erin\\u0040example.com\":2}]}"}]}}`: `{"name":"t","result":{"content":[{"type":"text","text":"{\"a***e@example.com\" : [\"c***l@example.com\", {\"x\":1, \"e***n@example.com\":2}]}"}]}}`,
		`{"name":"t","result":{"content":[{"type":"text","text":"x"}],"_meta":{"data":{"type":"alice@example.com"}}}}`:                                            `{"name":"t","result":{"content":[{"type":"text","text":"x"}],"_meta":{"data":{"type":"a***e@example.com"}}}}`,
		`{"name":"t","result":{"content":[{"type":"image","data":"alice@example.com"}]}}`:                                                                         "",
	} {
		if modified, _, _ := verdict(t, p, "tool_post_invoke", payload, nil); modified != want {
			t.Errorf("%s became %s\nwant %s", payload, modified, want)
		}
	}
}
