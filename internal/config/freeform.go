package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Free-form values (config:, applied_to:) become JSON: numbers as they are
// written, keys in file order, aliases and merge keys resolved.

// freeform writes v as JSON twice: plain, and with what must not be shown
// masked. path names the value in messages.
func (d *decoder) freeform(v *value, path string) (plain, shown json.RawMessage) {
	w := &jsonWriter{decoder: d}
	w.value(v.node, path, false)
	if !json.Valid(w.plain.Bytes()) || !json.Valid(w.shown.Bytes()) {
		return nil, nil // at fault, which has been reported
	}
	return w.plain.Bytes(), w.shown.Bytes()
}

type jsonWriter struct {
	*decoder
	plain, shown bytes.Buffer
}

func (w *jsonWriter) both(s string) {
	w.plain.WriteString(s)
	w.shown.WriteString(s)
}

// value writes n. secret says that it stands under a key like a secret's.
func (w *jsonWriter) value(n *yaml.Node, path string, secret bool) {
	n, ok := w.follow(n)
	if !ok {
		w.both("null")
		return
	}
	defer func() { w.depth-- }()
	if !knownTag(n) {
		w.add(w.pos(n), fmt.Sprintf("%s: the tag %s is not supported", path, n.Tag), "")
	}
	switch n.Kind {
	case yaml.MappingNode:
		w.both("{")
		for i, e := range w.entries(n, path) {
			if i > 0 {
				w.both(",")
			}
			w.both(quoteJSON(e.key))
			w.both(":")
			w.value(e.value, join(path, e.key), secret || secretKey(e.key))
		}
		w.both("}")
	case yaml.SequenceNode:
		w.both("[")
		for i, item := range n.Content {
			if i > 0 {
				w.both(",")
			}
			w.value(item, fmt.Sprintf("%s[%d]", path, i), secret)
		}
		w.both("]")
	default:
		w.scalarValue(n, path, secret)
	}
}

func (w *jsonWriter) scalarValue(n *yaml.Node, path string, secret bool) {
	s := w.scalar(n)
	out, problem := scalarJSON(s, n)
	if problem != "" {
		w.add(w.pos(n), fmt.Sprintf("%s: %s: %s", path, s.quoted(), problem), "put it in quotes")
	}
	w.plain.WriteString(out)
	// null, true and false tell nothing: `slack_token: true` is a switch.
	telling := out != "null" && out != "true" && out != "false" && out != `""`
	if s.template || telling && (secret || secretText(s.text)) {
		out = `"` + masked + `"`
	}
	w.shown.WriteString(out)
}

// secretValues finds what is a secret whatever its key is called: a URL with a
// user, private keys, JSON Web Tokens, keys of AWS, tokens of Slack, GitHub,
// GitLab and OpenAI, and Slack's webhooks.
var secretValues = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s@]+@` +
	`|-----BEGIN [A-Z0-9 ]*PRIVATE KEY` +
	`|\beyJ[A-Za-z0-9_-]{8,}\.` +
	`|\b(AKIA|ASIA)[A-Z0-9]{16}\b` +
	`|\bxox[a-z]-[A-Za-z0-9-]{8,}|\bxapp-[A-Za-z0-9-]{8,}` +
	`|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_|\bglpat-[A-Za-z0-9_-]{16,}|\bsk-[A-Za-z0-9_-]{20,}` +
	`|hooks\.slack\.com/(services|workflows|triggers)/`)

func secretText(s string) bool { return secretValues.MatchString(s) }

// scalarJSON is a scalar as JSON. Untagged yes, no, on, off are booleans, as in
// the YAML 1.1 that ContextForge reads.
func scalarJSON(s *scalar, n *yaml.Node) (out, problem string) {
	switch s.tag {
	case "!!null":
		return "null", ""
	case "!!bool":
		if b, ok := parseBool(s.text); ok {
			return strconv.FormatBool(b), ""
		}
	case "!!int":
		if out, ok := intJSON(s.text); ok {
			return out, ""
		}
	case "!!float":
		return floatJSON(s.text)
	case "!!str":
		plain := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle|yaml.TaggedStyle) == 0
		if plain && oldBool(s.text) {
			b, _ := parseBool(s.text)
			return strconv.FormatBool(b), ""
		}
	}
	return quoteJSON(s.text), ""
}

// oldBool knows the further booleans of YAML 1.1, in its three spellings.
func oldBool(s string) bool {
	switch s {
	case "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF":
		return true
	}
	return false
}

// jsonNumber is the grammar of a JSON number.
var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// intJSON keeps a decimal as it is written and converts the other notations:
// +1, 1_000, 0x1F, 0o17, 0b1, and 017, which YAML 1.1 reads as octal.
func intJSON(s string) (string, bool) {
	if jsonNumber.MatchString(s) {
		return s, true
	}
	digits := strings.ReplaceAll(strings.TrimPrefix(s, "+"), "_", "")
	n, ok := new(big.Int).SetString(digits, 0)
	if !ok {
		return "", false
	}
	return n.String(), true
}

// floatJSON is intJSON for numbers with a point or an exponent.
func floatJSON(s string) (out, problem string) {
	if jsonNumber.MatchString(s) {
		return s, ""
	}
	digits := strings.ReplaceAll(strings.TrimPrefix(s, "+"), "_", "")
	if !strings.ContainsAny(digits, ".eE") { // 08: no octal, and no float in YAML 1.1
		return quoteJSON(s), ""
	}
	sign := ""
	if rest, minus := strings.CutPrefix(digits, "-"); minus {
		sign, digits = "-", rest
	}
	if strings.HasPrefix(digits, ".") {
		digits = "0" + digits
	}
	whole, rest, _ := strings.Cut(digits, ".")
	if rest == "" || rest[0] == 'e' || rest[0] == 'E' {
		rest = "0" + rest
	}
	if strings.ContainsAny(whole, "eE") { // 1e3 with a sign or _ before it
		digits = whole
	} else {
		digits = whole + "." + rest
	}
	if trimmed := strings.TrimLeft(digits, "0"); trimmed != "" && digits[0] == '0' {
		if digits = trimmed; trimmed[0] == '.' || trimmed[0] == 'e' || trimmed[0] == 'E' {
			digits = "0" + trimmed
		}
	}
	if out = sign + digits; jsonNumber.MatchString(out) {
		return out, ""
	}
	if strings.Contains(strings.ToLower(s), "inf") || strings.Contains(strings.ToLower(s), "nan") {
		return "null", "there is no such number in JSON"
	}
	return quoteJSON(s), ""
}

func quoteJSON(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// secretKey reports whether a value under key is to be masked.
func secretKey(key string) bool {
	k := strings.ToLower(key)
	k = strings.NewReplacer("-", "", "_", "", " ", "", ".", "").Replace(k)
	for _, part := range []string{
		"password", "passwd", "passphrase", "secret", "token", "apikey", "privatekey", "accesskey",
		"credential", "authorization", "bearer", "cookie", "connectionstring", "encryptionkey", "signingkey",
	} {
		if strings.Contains(k, part) {
			return true
		}
	}
	return k == "auth" || k == "pwd" || k == "pass" || k == "dsn"
}

// At maps a path below config:, as a plugin.ConfigError has it ("words[2].search"),
// to the place in the file. Where the path leads nowhere (a missing key), it is
// the place of what should hold it.
func (p *Plugin) At(path string) Position {
	if p.config == nil {
		return p.at
	}
	at, n := p.config.pos, p.config.node
	for depth := 0; path != "" && depth < maxDepth; depth++ {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		switch n.Kind {
		case yaml.MappingNode:
			next, path = stepKey(n, strings.TrimPrefix(path, "."), 0)
		case yaml.SequenceNode:
			next, path = stepIndex(n, path)
		default: // the path leads further than the file
		}
		if next == nil {
			return at
		}
		n = next
		at = Position{p.at.File, n.Line, n.Column}
	}
	return at
}

// stepKey takes the key that path begins with; keys may hold dots themselves,
// so the longest that fits is taken.
func stepKey(n *yaml.Node, path string, depth int) (*yaml.Node, string) {
	var next *yaml.Node
	best := -1
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind == yaml.ScalarNode && k.Tag == "!!merge" {
			if found, rest := stepMerged(v, path, depth); found != nil && len(path)-len(rest) > best {
				next, best = found, len(path)-len(rest)
			}
			continue
		}
		rest, ok := strings.CutPrefix(path, k.Value)
		if ok && len(k.Value) >= best && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			next, best = v, len(k.Value)
		}
	}
	if next == nil {
		return nil, path
	}
	return next, path[best:]
}

func stepMerged(n *yaml.Node, path string, depth int) (*yaml.Node, string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if depth > maxDepth {
		return nil, path
	}
	switch n.Kind {
	case yaml.MappingNode:
		return stepKey(n, path, depth+1)
	case yaml.SequenceNode:
		for _, one := range n.Content {
			if found, rest := stepMerged(one, path, depth+1); found != nil {
				return found, rest
			}
		}
	default: // has been refused
	}
	return nil, path
}

func stepIndex(n *yaml.Node, path string) (*yaml.Node, string) {
	inside, rest, ok := strings.Cut(strings.TrimPrefix(path, "["), "]")
	i, err := strconv.Atoi(inside)
	if !ok || err != nil || i < 0 || i >= len(n.Content) {
		return nil, path
	}
	return n.Content[i], rest
}
