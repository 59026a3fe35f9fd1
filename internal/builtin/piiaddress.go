package builtin

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// email looks at both sides of an @.
func (t *piiText) email(at int) {
	text := t.text
	start := at
	for start > 0 && localChars[text[start-1]] {
		start--
	}
	for start < at && strings.IndexByte(".%+-'", text[start]) >= 0 {
		start++
	}
	dot, end, ok := domain(text, at)
	if start == at || !ok || isMasked(text, start, at) {
		return
	}
	switch strings.ToLower(text[dot+1 : end]) {
	case "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js": // logo@2x.png
		return
	}
	if text[start:at] == "git" && end+1 < len(text) && text[end] == ':' && isWord(text[end+1]) {
		return // git@host:path is no one's
	}
	t.add(piiEmail, start, end, rankSure)
}

// domain passes the name of a host behind an @, up to the last part of it that
// can be a top level: what follows, as in a@b.example-c or a@b.example.7, is
// another word.
func domain(text string, at int) (dot, end int, ok bool) {
	end = at + 1
	for end < len(text) && domainChars[text[end]] && !strings.HasPrefix(text[end:], "..") {
		end++
	}
	for {
		dot = at + 1 + strings.LastIndexByte(text[at+1:end], '.')
		if dot <= at+1 {
			return 0, 0, false
		}
		last := dot + 1
		for last < end && (isUpper(text[last]) || isLower(text[last]) || text[last] >= 0x80) {
			last++
		}
		if last-dot > 2 && !wordAfter(text, last) {
			return dot, last, true
		}
		end = dot
	}
}

// isMasked reports whether the name of an address is what a mask of ours leaves of
// it. Stars alone are how Markdown says that something matters.
func isMasked(text string, start, at int) bool {
	head, ok := strings.CutSuffix(text[:start], "***")
	return ok && utf8.RuneCountInString(text[start:at]) == 1 && head != "" && strings.IndexByte(" \t\n*", head[len(head)-1]) < 0
}

var (
	localChars  = withHighBytes(uppers + lowers + digits + "._%+-'")
	domainChars = withHighBytes(uppers + lowers + digits + ".-")
)

// withHighBytes adds all that is beyond ASCII: addresses have letters of any
// script.
func withHighBytes(bytes string) *class {
	c := classOf(bytes)
	for b := 0x80; b < 0x100; b++ {
		c[b] = true
	}
	return c
}

// maxIPv6 is more than an address has: each colon of a text may start the look
// at one, so that none may go on to the end.
const maxIPv6 = 64

var ipv6Chars = classOf(digits + "abcdefABCDEF:.")

// ipv6 looks at the address around its first colon.
func (t *piiText) ipv6(colon int) {
	if !t.on[piiIPAddress] {
		return
	}
	text := t.text
	start := colon
	for start > 0 && hexChars[text[start-1]] {
		start--
	}
	end := colon
	for end < len(text) && end-start < maxIPv6 && ipv6Chars[text[end]] {
		end++
	}
	end = start + len(strings.TrimRight(text[start:end], ".:"))
	if start > 0 && (isWord(text[start-1]) || text[start-1] == ':') || wordAfter(text, end) || end < colon+2 {
		return
	}
	s := text[start:end]
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() {
		return
	}
	// dead::beef is as likely a name in C++.
	if strings.ContainsAny(s, digits) && (strings.Count(s, ":") > 2 || strings.HasPrefix(s, "::") || len(s) > 5) {
		t.add(piiIPAddress, start, end, rankSure)
	}
}
