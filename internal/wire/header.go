package wire

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"
)

const (
	encodedPrefix = "=?base64?"
	encodedSuffix = "?="
)

// EncodeHeader makes the header value for [HeaderName] and [HeaderParam]: value
// itself when it is plain ASCII without surrounding space, else its base64 form
// between "=?base64?" and "?=".
func EncodeHeader(value string) string {
	if isPlain(value) {
		return value
	}
	return encodedPrefix + base64.StdEncoding.EncodeToString([]byte(value)) + encodedSuffix
}

// DecodeHeader is the reverse of [EncodeHeader]. Broken base64, base64 of
// something that is not UTF-8, and bytes that a header may not hold are errors.
func DecodeHeader(value string) (string, error) {
	encoded, ok := strings.CutPrefix(value, encodedPrefix)
	if ok {
		encoded, ok = strings.CutSuffix(encoded, encodedSuffix)
	}
	if !ok {
		for i := range len(value) {
			if c := value[i]; (c < ' ' && c != '\t') || c > '~' {
				return "", errors.New("value holds bytes that are not plain ASCII")
			}
		}
		return value, nil
	}
	text, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || strings.ContainsAny(encoded, "\r\n") {
		return "", errors.New("value is not valid base64")
	}
	if !utf8.Valid(text) {
		return "", errors.New("value is base64 of something that is not UTF-8")
	}
	return string(text), nil
}

func isPlain(value string) bool {
	if strings.TrimSpace(value) != value {
		return false
	}
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return !strings.HasPrefix(value, encodedPrefix) || !strings.HasSuffix(value, encodedSuffix)
}

// SetModern sets the headers of a modern request. name is ignored unless the
// method needs one.
func SetModern(h http.Header, revision, method, name string) {
	h[HeaderRevision] = []string{revision}
	h[HeaderMethod] = []string{method}
	if NeedsName(method) {
		h[HeaderName] = []string{EncodeHeader(name)}
	}
}

// Media types of MCP over HTTP.
const (
	MediaJSON = "application/json"
	MediaSSE  = "text/event-stream"

	// AcceptBoth is the Accept header of every POST that a client sends.
	AcceptBoth = MediaJSON + ", " + MediaSSE
)

// Accepts reports which answers the Accept headers of a request allow. No
// header at all allows both. Quality values other than 0 are not weighed.
func Accepts(h http.Header) (plain, sse bool) {
	values := h["Accept"]
	if len(values) == 0 {
		return true, true
	}
	for _, value := range values {
		if value == AcceptBoth { // what nearly every client sends
			return true, true
		}
		for part := range strings.SplitSeq(value, ",") {
			media, params, _ := strings.Cut(part, ";")
			if isRefusal(params) {
				continue
			}
			switch strings.ToLower(strings.TrimSpace(media)) {
			case "*/*":
				plain, sse = true, true
			case MediaJSON, "application/*":
				plain = true
			case MediaSSE, "text/*":
				sse = true
			}
		}
	}
	return plain, sse
}

// isRefusal finds q=0 among the parameters of a media range.
func isRefusal(params string) bool {
	for param := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "q") && strings.Trim(value, "0.") == "" {
			return true
		}
	}
	return false
}
