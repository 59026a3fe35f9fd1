package logs

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Printable makes somebody else's text fit for one line of a terminal: what
// would steer it, break the line or turn its direction is written as an escape.
// Quotes and backslashes stay, so that what was printable is unchanged.
func Printable(text string) string {
	if !strings.ContainsFunc(text, steers) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i, r := range text {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case steers(r):
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func steers(r rune) bool { return !strconv.IsPrint(r) }

// PrintableJSON is Printable for JSON, whose meaning does not change: beside
// what JSON wants escaped, it escapes DEL, the C1 controls and what turns the
// direction of text. The line breaks between its values stay.
func PrintableJSON(text []byte) []byte {
	if !bytes.ContainsFunc(text, steersRaw) {
		return text
	}
	out := make([]byte, 0, len(text)+64)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if steersRaw(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, text[:size]...)
		}
		text = text[size:]
	}
	return out
}

func steersRaw(r rune) bool {
	switch {
	case r < 0x7f:
		return false
	case r <= 0x9f, r == 0x200e, r == 0x200f, r == 0x061c:
		return true
	}
	return r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// jsonWriter escapes what slog leaves as it is.
type jsonWriter struct{ io.Writer }

func (w jsonWriter) Write(line []byte) (int, error) {
	if _, err := w.Writer.Write(PrintableJSON(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// maxValue bounds one text in a log line, in bytes: an error may quote an answer
// of megabytes, and whoever gave it could fill a disk.
const maxValue = 16 << 10

// bounded cuts a text that is too long. It is a ReplaceAttr.
func bounded(_ []string, a slog.Attr) slog.Attr {
	var text string
	if kind := a.Value.Kind(); kind == slog.KindString {
		text = a.Value.String()
	} else if kind == slog.KindAny { // an error, or a list of names
		text = fmt.Sprint(a.Value.Any())
	}
	if len(text) > maxValue {
		kept := strings.ToValidUTF8(text[:maxValue], "")
		a.Value = slog.StringValue(fmt.Sprintf("%s… (%d bytes)", kept, len(text)))
	}
	return a
}
