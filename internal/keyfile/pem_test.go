package keyfile

import (
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// A key that has come through an environment variable or a copy and paste has
// often lost its line breaks. The error says so, and not what the key is.
func TestLostLineBreaksDoNotTellTheKey(t *testing.T) {
	leaf := pkitest.NewCA(t).Gateway(t)
	key := strings.TrimSpace(string(leaf.KeyPEM))
	secret := strings.Split(key, "\n")[1]
	for name, text := range map[string]string{
		"none":               strings.ReplaceAll(key, "\n", ""),
		"spaces":             strings.ReplaceAll(key, "\n", " "),
		"two characters":     strings.ReplaceAll(key, "\n", `\n`),
		"CR alone":           strings.ReplaceAll(key, "\n", "\r"),
		"CR alone, cut off":  strings.ReplaceAll(key, "\n", "\r")[:200],
		"the label is a key": "-----BEGIN " + secret + "-----\nAAAA\n-----END " + secret + "-----\n",
		"inside a block":     string(leaf.CertPEM[:100]) + "\n" + strings.ReplaceAll(key, "\n", " "),
	} {
		_, keyErr := ParseKey([]byte(text), nil)
		_, certErr := ParseCertificates([]byte(text))
		for what, err := range map[string]error{"key": keyErr, "certificates": certErr} {
			if err == nil || strings.Contains(err.Error(), secret[:20]) || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%s, as %s: %v", name, what, err)
			}
			whole := strings.Contains(text, "-----END PRIVATE") && name != "inside a block"
			if whole && (!errors.Is(err, ErrDamaged) || !strings.HasSuffix(err.Error(), "the line breaks have been lost") || len(hint.Of(err)) == 0) {
				t.Errorf("%s, as %s: %v", name, what, err)
			}
		}
	}
}
