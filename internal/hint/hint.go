// Package hint attaches to an error what a person can do about it: the next
// command to run or the setting to change.
package hint

import "errors"

type hinted struct {
	error
	hint string
}

func (h *hinted) Unwrap() error { return h.error }

// Add returns err with a hint attached. The text of err does not change;
// a nil err stays nil.
func Add(err error, hint string) error {
	if err == nil {
		return nil
	}
	return &hinted{err, hint}
}

// Of returns the hints in err's tree, outermost first, each once.
func Of(err error) []string {
	var hints []string
	seen := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if err == nil {
			return
		}
		if h, ok := err.(*hinted); ok && !seen[h.hint] { //nolint:errorlint // walks the tree by hand
			seen[h.hint] = true
			hints = append(hints, h.hint)
		}
		switch e := err.(type) { //nolint:errorlint // walks the tree by hand
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		case interface{ Unwrap() error }:
			walk(errors.Unwrap(err))
		}
	}
	walk(err)
	return hints
}
