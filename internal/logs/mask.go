package logs

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// minSecret is how long a configured value has to be for its occurrences in what
// somebody says to be masked: shorter ones are words such as "warn".
const minSecret = 8

// Mask returns a function that replaces these values in a text by ***, and the
// words of those that have several ("Bearer …", a key in lines). A text is masked
// before it is cut, for half a secret is one too.
func Mask(values iter.Seq[string]) func(string) string {
	var secrets []string
	for value := range values {
		for _, secret := range append(strings.Fields(value), value) {
			if len(secret) >= minSecret {
				secrets = append(secrets, secret)
			}
		}
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	pairs := make([]string, 0, 2*len(secrets))
	for _, secret := range slices.Compact(secrets) {
		pairs = append(pairs, secret, "***")
	}
	return strings.NewReplacer(pairs...).Replace
}
