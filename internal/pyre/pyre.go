// Package pyre is Python's re on Python's str, as far as search and replace
// need it.
package pyre

import (
	"context"
	"regexp"
	"strings"
)

// Regexp is a compiled pattern, safe for concurrent use.
type Regexp struct{ re *regexp.Regexp }

// Compile reads a pattern in Python's syntax.
func Compile(pattern string) (*Regexp, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	return &Regexp{re}, nil
}

// Sub replaces what a pattern matches. It is safe for concurrent use.
type Sub struct {
	re       *regexp.Regexp
	template string
}

var reference = regexp.MustCompile(`\\(\d+)|\\g<(\w+)>`)

// NewSub reads a replacement in Python's syntax.
func (r *Regexp) NewSub(replacement string) (*Sub, error) {
	return &Sub{r.re, reference.ReplaceAllString(strings.ReplaceAll(replacement, "$", "$$"), "$${$1$2}")}, nil
}

// Replace replaces each match in s.
func (s *Sub) Replace(_ context.Context, text string) (string, error) {
	return s.re.ReplaceAllString(text, s.template), nil
}
