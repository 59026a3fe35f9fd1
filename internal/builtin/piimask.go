package builtin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// The ways to mask.
const (
	maskRedact   = "redact"
	maskPartial  = "partial"
	maskHash     = "hash"
	maskTokenize = "tokenize"
	maskRemove   = "remove"
)

// masker puts something else in place of personal data.
type masker struct {
	otherwise string // for types that have no way of their own
	redaction string
	tokenKey  []byte // so that a token says nothing about its value
}

// mask gives what replaces value, which stands at s.
func (m *masker) mask(value string, s span) string {
	way := s.mask
	if way == "" {
		if way = m.otherwise; s.kind <= piiPhone {
			way = maskPartial
		}
	}
	switch way {
	case maskPartial:
		if s.merged { // no longer a value of its kind: its end may be another's
			return m.redaction
		}
		return m.partial(value, s.kind)
	case maskHash:
		sum := sha256.Sum256([]byte(value))
		return "[HASH:" + hex.EncodeToString(sum[:4]) + "]"
	case maskTokenize:
		mac := hmac.New(sha256.New, m.tokenKey)
		mac.Write([]byte(value))
		return "[TOKEN:" + hex.EncodeToString(mac.Sum(nil)[:4]) + "]"
	case maskRemove:
		return ""
	default:
		return m.redaction
	}
}

// partial shows a little of a value, by its type.
func (m *masker) partial(value string, kind int) string {
	switch kind {
	case piiSSN:
		return m.tail("***-**-", value)
	case piiBSN:
		return m.tail("*****", value)
	case piiCreditCard:
		return m.tail("****-****-****-", value)
	case piiPhone:
		return m.tail("***-***-", value)
	case piiEmail:
		name, host, ok := strings.Cut(value, "@")
		switch {
		case !ok || strings.Contains(host, "@"):
			return m.redaction
		case utf8.RuneCountInString(name) <= 2:
			return "***@" + host
		}
		return firstRune(name) + "***" + lastRune(name) + "@" + host
	}
	n := utf8.RuneCountInString(value)
	if n <= 2 {
		return m.redaction
	}
	return firstRune(value) + strings.Repeat("*", n-2) + lastRune(value)
}

// tail shows the last four characters. A separator among them would show that
// many digits less, as in the reference.
func (m *masker) tail(stars, value string) string {
	n := utf8.RuneCountInString(value)
	if n < 4 {
		return m.redaction
	}
	for ; n > 4; n-- {
		_, size := utf8.DecodeRuneInString(value)
		value = value[size:]
	}
	return stars + value
}

func firstRune(s string) string {
	_, size := utf8.DecodeRuneInString(s)
	return s[:size]
}

func lastRune(s string) string {
	_, size := utf8.DecodeLastRuneInString(s)
	return s[len(s)-size:]
}
