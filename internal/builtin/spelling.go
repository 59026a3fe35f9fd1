package builtin

import (
	"strings"
	"unicode/utf8"
)

// spelling is a text as its reader takes it: without the characters that do not
// show, and with plain spaces, hyphens and digits for those that look the same.
// Whoever writes a number or a key with them has it read, by people and by models,
// but not found.
type spelling struct {
	text string
	at   []int // where in the original each byte of text stands
	to   []int // and where what it stands for ends
}

// spell gives the spelling of s; ok is false where that is s itself.
func spell(s string) (_ *spelling, ok bool) {
	first := strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf && plainRune(r) != r })
	if first < 0 {
		return nil, false
	}
	p := &spelling{at: make([]int, 0, len(s)), to: make([]int, 0, len(s))}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch plain := plainRune(r); {
		case r == utf8.RuneError || plain == r:
			b = append(b, s[i:i+size]...)
		case plain >= 0:
			b = append(b, byte(plain))
		}
		for len(p.at) < len(b) {
			p.at, p.to = append(p.at, i), append(p.to, i+size)
		}
		i += size
	}
	p.text = string(b)
	return p, true
}

// original makes of a span of p.text one of the text that it was made from.
func (p *spelling) original(s span) span {
	s.start, s.end = p.at[s.start], p.to[s.end-1]
	return s
}

// spelled is s as a reader takes it.
func spelled(s string) string {
	if p, ok := spell(s); ok {
		return p.text
	}
	return s
}

// plainRune is the ASCII character that r looks like, -1 when it does not show, and
// r itself else.
func plainRune(r rune) rune {
	switch {
	case r == 0xad, r == 0x34f, r == 0x180e, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e,
		r >= 0x2060 && r <= 0x206f, r >= 0xfe00 && r <= 0xfe0f, r == 0xfeff, r >= 0xe0000 && r <= 0xe01ef:
		return -1
	case r == 0xa0, r >= 0x2000 && r <= 0x200a, r == 0x202f, r == 0x205f, r == 0x3000:
		return ' '
	case r >= 0x2010 && r <= 0x2013, r == 0x2212, r == 0xfe63:
		return '-'
	case r >= 0xff01 && r <= 0xff5e: // full width
		return r - 0xff01 + '!'
	case r >= 0x1d7ce && r <= 0x1d7ff: // of mathematics, in five kinds
		return '0' + (r-0x1d7ce)%10
	case r >= 0x660 && r <= 0x669, r >= 0x6f0 && r <= 0x6f9: // Arabic
		return '0' + r&0xf
	}
	return r
}
