package pyre

import (
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"
)

// ErrLimit is a search that took more time or memory than it may. Nothing is
// known about the text then: neither that it matches nor that it does not.
var ErrLimit = errors.New("the pattern takes too long on this text")

// Sub replaces what a pattern matches, as re.sub does. It is safe for
// concurrent use.
type Sub struct {
	re       *Regexp
	template []piece
}

// Replace replaces each match in text; where there is none, it returns text.
// Lone surrogates, in the three bytes that package plugin gives them, count as
// one character that is neither letter nor space, and are kept. The error is
// [ErrLimit] or ctx's, which is looked at before each backtracking search.
func (s *Sub) Replace(ctx context.Context, text string) (string, error) {
	var b strings.Builder
	copied := 0
	err := s.re.search(ctx, standIn(text), func(loc []int) bool {
		if copied == 0 {
			b.Grow(len(text) + 64)
		}
		b.WriteString(text[copied:loc[0]])
		copied = loc[1]
		for _, piece := range s.template {
			if piece.text != "" {
				b.WriteString(piece.text)
			} else if from, to := loc[2*piece.group], loc[2*piece.group+1]; from >= 0 {
				b.WriteString(text[from:to])
			}
		}
		return true
	})
	if err != nil {
		return "", err
	}
	if b.Len() == 0 && copied == 0 {
		return text, nil
	}
	b.WriteString(text[copied:])
	return b.String(), nil
}

// FindAll calls found with each match in text, in order, as re.finditer does:
// its first and the offset after its last byte. The error is like that of
// [Sub.Replace].
func (re *Regexp) FindAll(ctx context.Context, text string, found func(start, end int)) error {
	return re.search(ctx, standIn(text), func(loc []int) bool {
		found(loc[0], loc[1])
		return true
	})
}

// MatchIn reports whether the pattern matches anywhere in text, as re.search
// does. The error is like that of [Sub.Replace].
func (re *Regexp) MatchIn(ctx context.Context, text string) (bool, error) {
	text = standIn(text)
	if re.word == nil && re.fits(text) {
		return re.possible(text) && re.fast.MatchString(text), nil
	}
	matched := false
	err := re.search(ctx, text, func([]int) bool {
		matched = true
		return false
	})
	return matched, err
}

// standIn gives a text of the same offsets whose lone surrogates are U+FFFD: in
// both they take three bytes, and the engines see one character.
func standIn(text string) string {
	if utf8.ValidString(text) {
		return text
	}
	b := []byte(text)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == 0xed && b[i+1]&0xe0 == 0xa0 {
			copy(b[i:], string(utf8.RuneError))
		}
	}
	return string(b)
}

// possible reports whether re may match in text at all.
func (re *Regexp) possible(text string) bool {
	if re.needle == nil {
		return true
	}
	_, _, ok := re.needle.next(text, 0)
	return ok
}

// search calls found with each match in order, until it says no. loc holds the
// byte offsets of group 0, 1, … as pairs, -1 for a group that took no part; it is
// reused.
func (re *Regexp) search(ctx context.Context, text string, found func(loc []int) bool) error {
	if re.word != nil {
		re.word.search(text, found)
		return nil
	}
	if !re.possible(text) {
		return nil
	}
	if re.fits(text) {
		for _, loc := range re.fast.FindAllStringSubmatchIndex(text, -1) {
			if !found(loc) {
				break
			}
		}
		return nil
	}
	return re.backtrack(ctx, text, found)
}

// backtrack is search with the engine that does.
func (re *Regexp) backtrack(ctx context.Context, text string, found func(loc []int) bool) error {
	runes := []rune(text)
	offsets := byteOffsets(text, len(runes))
	loc := make([]int, 2*(re.groups+1))
	pos, engine := 0, re.slow
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return err
		}
		more = false
		err := engine.FindRunesMatches(runes, pos, func(v regexp2.MatchView) bool {
			pos = fill(loc, v, offsets)
			more = found(loc)
			return false
		})
		if err != nil {
			return ErrLimit // the engine's own error holds the whole text
		}
		// As in Python, an empty match may be followed by another one at the
		// same place, which must then take something.
		engine = re.slow
		if loc[0] == loc[1] {
			engine = re.advance
		}
	}
	return nil
}

// fill puts the offsets of v's groups into loc and returns the match's end in
// characters.
func fill(loc []int, v regexp2.MatchView, offsets []int) (end int) {
	for group := range len(loc) / 2 {
		from, length, ok := v.GroupRange(group)
		if !ok {
			loc[2*group], loc[2*group+1] = -1, -1
			continue
		}
		loc[2*group], loc[2*group+1] = offsets[from], offsets[from+length]
	}
	from, length, _ := v.GroupRange(0)
	return from + length
}

// byteOffsets gives the offset of each character and of the end.
func byteOffsets(text string, runes int) []int {
	offsets := make([]int, 0, runes+1)
	for i := range text {
		offsets = append(offsets, i)
	}
	return append(offsets, len(text))
}
