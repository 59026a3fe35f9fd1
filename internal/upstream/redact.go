package upstream

import (
	"cmp"
	"iter"
	"slices"
	"strings"
)

// minSecret is how long a configured value has to be for its occurrences in what
// an upstream says to be masked: shorter ones are words such as "warn".
const minSecret = 8

// redactor masks configured values in a text, and the words of those that have
// several ("Bearer …", a key in lines). Texts are masked before they are cut, for
// half a secret is one too.
func redactor(values iter.Seq[string]) func(string) string {
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
