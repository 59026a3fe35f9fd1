package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// binding is an argument that HTTP repeats in a header, as x-mcp-header in the
// tool's schema says.
type binding struct {
	path   []string // of the property
	header string   // Mcp-Param-…, in canonical form
}

// bindings reads a tool's input schema. An annotation that the specification
// does not allow is an error: such a tool is not to be listed.
func bindings(schema json.RawMessage) ([]binding, error) {
	seen := map[string]bool{}
	return bindingsIn(wire.Member(schema, "properties"), nil, seen)
}

func bindingsIn(properties json.RawMessage, prefix []string, seen map[string]bool) (found []binding, err error) {
	for name, property := range wire.Members(properties) {
		path := append(slices.Clone(prefix), string(name))
		if raw := wire.Member(property, "x-mcp-header"); raw != nil {
			header, ok := wire.String(raw)
			kind, _ := wire.String(wire.Member(property, "type"))
			key := http.CanonicalHeaderKey(wire.HeaderParam + header)
			switch {
			case !ok || header == "" || strings.ContainsFunc(header, notToken):
				return nil, fmt.Errorf("x-mcp-header of %s is not the name of a header", strings.Join(path, "."))
			case kind != "string" && kind != "integer" && kind != "boolean":
				return nil, fmt.Errorf("x-mcp-header of %s is on a property of type %q", strings.Join(path, "."), clip(kind))
			case seen[key]:
				return nil, fmt.Errorf("x-mcp-header %s is there twice", clip(header))
			}
			seen[key] = true
			found = append(found, binding{path, key})
		}
		inner, err := bindingsIn(wire.Member(property, "properties"), path, seen)
		if err != nil {
			return nil, err
		}
		found = append(found, inner...)
	}
	return found, nil
}

// notToken reports whether a header's name may not hold r.
func notToken(r rune) bool {
	return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
}

// argument finds the argument.
func (b *binding) argument(arguments json.RawMessage) json.RawMessage {
	for _, name := range b.path {
		arguments = wire.Member(arguments, name)
	}
	return arguments
}

// headerText is what the header of an argument says; ok is false when there must
// be no header.
func headerText(value json.RawMessage) (text string, ok bool) {
	switch wire.Kind(value) {
	case '"':
		return wire.String(value)
	case 't', 'f':
		return string(value), true
	case '0':
		return integer(value)
	}
	return "", false
}

// maxSafe is the largest integer that all parsers read as itself.
const maxSafe = 1<<53 - 1

// integer is a number without fraction in its plainest form.
func integer(number []byte) (string, bool) {
	if n, err := strconv.ParseInt(string(number), 10, 64); err == nil {
		return strconv.FormatInt(n, 10), n >= -maxSafe && n <= maxSafe
	}
	f, err := strconv.ParseFloat(string(number), 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > maxSafe {
		return "", false
	}
	return strconv.FormatInt(int64(f), 10), true
}

// checkParams compares the headers of a modern tools/call with its arguments as
// they came.
func checkParams(h http.Header, params []binding, arguments json.RawMessage) *wire.Error {
	for i := range params {
		b := &params[i]
		value := b.argument(arguments)
		want, expected := headerText(value)
		values := h[b.header]
		switch {
		case len(values) == 0 && !expected:
			continue
		case len(values) != 1 || !expected:
			return wire.Errorf(wire.CodeHeaderMismatch, "Header mismatch: %s header is there %d times, and argument %s says otherwise",
				b.header, len(values), strings.Join(b.path, "."))
		}
		got, err := wire.DecodeHeader(values[0])
		if number, ok := integer([]byte(got)); ok && wire.Kind(value) == '0' {
			got = number // 42.0 is 42
		}
		if err != nil || got != want {
			return wire.Errorf(wire.CodeHeaderMismatch, "Header mismatch: %s header value %q does not match argument %s",
				b.header, clip(values[0]), strings.Join(b.path, "."))
		}
	}
	return nil
}

// paramHeaders are the Mcp-Param-* headers to the upstream: those that the tool
// has, by the arguments as they are now, and the others as plugins left them.
// Those of former tools, which the client set, tell of arguments as they were.
func paramHeaders(left json.RawMessage, former, params []binding, arguments json.RawMessage) http.Header {
	h := http.Header{}
	for name, value := range wire.Members(left) {
		key := http.CanonicalHeaderKey(string(name))
		if text, ok := wire.String(value); ok && strings.HasPrefix(key, wire.HeaderParam) && isHeader(key, text) {
			h[key] = []string{text}
		}
	}
	for i := range former {
		delete(h, former[i].header)
	}
	for i := range params {
		delete(h, params[i].header)
		if text, ok := headerText(params[i].argument(arguments)); ok {
			h[params[i].header] = []string{wire.EncodeHeader(text)}
		}
	}
	return h
}

// hopHeaders are the client's connection's, or describe its body: they mean
// nothing to plugins.
var hopHeaders = []string{
	"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Keep-Alive",
	"Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// shownHeaders are the client's headers as plugins are given them, by name. The
// pipeline withholds the secret ones.
func shownHeaders(client http.Header) map[string]string {
	shown := make(map[string]string, len(client))
	for name, values := range client {
		if !slices.Contains(hopHeaders, name) {
			shown[name] = strings.Join(values, ", ")
		}
	}
	return shown
}

// appendHeaders adds headers as a JSON object, sorted by name.
func appendHeaders(dst []byte, headers map[string]string) []byte {
	dst = append(dst, '{')
	for i, name := range slices.Sorted(maps.Keys(headers)) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(wire.AppendString(dst, name), ':')
		dst = wire.AppendString(dst, headers[name])
	}
	return append(dst, '}')
}

// setByPlugins are the headers of a payload that a plugin added or changed: only
// they go to the upstream. What the client sent to us, its token above all, was
// not meant for anybody else.
func setByPlugins(before, after json.RawMessage) http.Header {
	was := map[string]string{}
	for name, value := range wire.Members(before) {
		was[http.CanonicalHeaderKey(string(name))] = string(value)
	}
	set := http.Header{}
	for name, value := range wire.Members(after) {
		key := http.CanonicalHeaderKey(string(name))
		text, ok := wire.String(value)
		if old, there := was[key]; !ok || (there && old == string(value)) || strings.HasPrefix(key, "Mcp-") || !isHeader(key, text) {
			continue
		}
		set.Set(key, text)
	}
	return set
}

// isHeader reports whether name and value can be sent at all.
func isHeader(name, value string) bool {
	return name != "" && !strings.ContainsFunc(name, notToken) && !strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}
