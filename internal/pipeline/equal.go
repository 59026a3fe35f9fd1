package pipeline

import (
	"bytes"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"strings"
)

// equal reports whether two values mean the same: strings by code units,
// numbers as sameNumber has it, objects as sets of members.
func equal(a, b *node) bool {
	if a.kind != b.kind || a.hash != b.hash {
		return false
	}
	switch a.kind {
	case kindNull:
		return true
	case kindBool:
		return bytes.Equal(a.raw, b.raw)
	case kindNumber:
		return sameNumber(a.raw, b.raw)
	case kindString:
		return slices.Equal(a.text, b.text)
	case kindArray:
		return slices.EqualFunc(a.elems, b.elems, equal)
	default:
		return sameMembers(a, b)
	}
}

func sameMembers(a, b *node) bool {
	if len(a.members) != len(b.members) {
		return false
	}
	index := make(map[string]*node, len(b.members))
	for _, m := range b.members {
		index[m.name] = m.val
	}
	for _, m := range a.members {
		if other := index[m.name]; other == nil || !equal(m.val, other) {
			return false
		}
	}
	return true
}

// sameNumber compares decimal values by digits and exponent, never expanded.
// When either is written with a point or an exponent, the same finite double is
// the same number too: that is what a peer with doubles only would have read.
func sameNumber(a, b []byte) bool {
	if bytes.Equal(a, b) || decimalOf(a) == decimalOf(b) {
		return true
	}
	if !bytes.ContainsAny(a, ".eE") && !bytes.ContainsAny(b, ".eE") {
		return false
	}
	x, errX := strconv.ParseFloat(string(a), 64)
	y, errY := strconv.ParseFloat(string(b), 64)
	return errX == nil && errY == nil && x == y && !math.IsInf(x, 0)
}

// decimal is a number in normal form: ±0.digits × 10^exp, no zeros at either
// end of digits. Zero has no digits and no sign.
type decimal struct {
	negative bool
	digits   string
	exp      string // "" unless the exponent does not fit an int64, then its text
	exp64    int64
}

func decimalOf(text []byte) decimal {
	s := string(text)
	var d decimal
	s, d.negative = strings.CutPrefix(s, "-")
	mantissa, exponent := s, ""
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		mantissa, exponent = s[:i], strings.TrimPrefix(s[i+1:], "+")
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := whole + fraction
	trimmed := strings.TrimLeft(digits, "0")
	shift := int64(len(whole)) - int64(len(digits)-len(trimmed))
	d.digits = strings.TrimRight(trimmed, "0")
	if d.digits == "" {
		return decimal{}
	}
	if exponent != "" {
		e, err := strconv.ParseInt(exponent, 10, 64)
		if err != nil || e > math.MaxInt64/2 || e < math.MinInt64/2 {
			d.exp = strings.TrimLeft(strings.TrimPrefix(exponent, "-"), "0")
			if strings.HasPrefix(exponent, "-") {
				d.exp = "-" + d.exp
			}
			d.exp64 = shift
			return d
		}
		shift += e
	}
	d.exp64 = shift
	return d
}

// numberHash is the same for numbers that sameNumber calls equal: equal
// decimals round to the same double. What overflows a double can only be equal
// as a decimal.
func numberHash(seed maphash.Seed, text []byte) uint64 {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil {
		return maphash.Comparable(seed, decimalOf(text))
	}
	if f == 0 {
		f = 0 // -0 and 0 are one number
	}
	return maphash.Comparable(seed, f)
}
