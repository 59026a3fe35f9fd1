package config

import (
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a file. They bound what a hostile file can cost; no real one comes
// near.
const (
	maxFileBytes = 4 << 20
	maxDepth     = 100     // nesting, aliases followed
	maxNodes     = 200_000 // values, each alias counted at full size
)

// document is one parsed file and the problems found in it so far.
type document struct {
	file     string
	lines    []string
	ends     []int      // the column behind each line
	top      *yaml.Node // nil when the file could not be parsed
	tmpl     *templates
	env      func(string) (string, bool) // nil leaves templates as they stand
	found    Problems
	seen     map[Problem]bool
	warned   map[*template]bool
	nodes    int
	resolved map[*yaml.Node]*scalar
}

// readDocument reads and parses the file at path. Problems are in the
// document; its top is nil when there is nothing to go on with.
func readDocument(path string, env func(string) (string, bool)) *document {
	d := newDocument(path, env)
	data, err := readFile(path, maxFileBytes, "a configuration file")
	if err != nil {
		abs, absErr := filepath.Abs(expandHome(path))
		if absErr != nil {
			abs = path
		}
		d.found = append(d.found, &Problem{Message: fmt.Sprintf("reading the configuration file %s: %s", abs, pathless(err)),
			Hint: "paths are relative to the working directory; name the file with --config"})
		return d
	}
	d.parse(data)
	return d
}

func newDocument(file string, env func(string) (string, bool)) *document {
	return &document{file: file, env: env, seen: map[Problem]bool{}, warned: map[*template]bool{}, resolved: map[*yaml.Node]*scalar{}}
}

func (d *document) parse(data []byte) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if !d.checkText(text) {
		return
	}
	d.lines = splitLines(text)
	for _, line := range d.lines {
		d.ends = append(d.ends, utf8.RuneCountInString(line)+1)
	}
	d.tmpl = newTemplates(text)
	replaced := d.tmpl.replace(d.file, text)
	loader, err := yaml.NewLoader(strings.NewReader(replaced))
	if err != nil {
		d.syntax(err)
		return
	}
	var first yaml.Node
	switch err := loader.Load(&first); {
	case errors.Is(err, io.EOF):
		d.add(Position{File: d.file}, "the file is empty", "a plugin file holds at least plugins: with one entry")
		return
	case err != nil:
		d.syntax(err)
		return
	}
	var second yaml.Node
	switch err := loader.Load(&second); {
	case err == nil:
		d.add(d.pos(&second), "a second YAML document starts here: a plugin file is one document", "remove the --- line, or move what follows to a file of its own")
		return
	case !errors.Is(err, io.EOF):
		d.syntax(err)
		return
	}
	if len(first.Content) == 1 {
		d.top = first.Content[0]
	}
}

// checkText refuses bytes that are no YAML text, at their line and column: the
// parser has no position for them.
func (d *document) checkText(text string) bool {
	if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
		d.add(Position{d.file, 1, 1}, "the file is UTF-16: YAML is read as UTF-8", "save the file as UTF-8")
		return false
	}
	line, column := 1, 1
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			d.add(Position{d.file, line, column}, fmt.Sprintf("byte 0x%02x is not UTF-8", text[i]), "save the file as UTF-8")
			return false
		case !printable(r):
			d.add(Position{d.file, line, column}, fmt.Sprintf("control character U+%04X", r), "in a double-quoted text it is written as an escape")
			return false
		}
		i, column = i+n, column+1
		if endsLine(r, text[i:]) {
			line, column = line+1, 1
		}
	}
	return true
}

// printable says which characters YAML allows in a file.
func printable(r rune) bool {
	switch r {
	case '\t', '\n', '\r', 0x85:
		return true
	case 0xFEFF:
		return false
	}
	return r >= 0x20 && r < 0x7F || r >= 0xA0 && r <= 0xD7FF || r >= 0xE000 && r <= 0xFFFD || r >= 0x10000
}

// syntax adds the parser's error, at its place and with what usually causes it.
func (d *document) syntax(err error) {
	var le *yaml.LoadError
	if !errors.As(err, &le) {
		d.add(Position{File: d.file}, d.tmpl.restore(err.Error()), "")
		return
	}
	pos := d.at(le.Mark.Line, le.Mark.Column)
	message := le.Message
	if le.ContextMsg != "" && le.ContextMark.Line > 0 && le.ContextMark.Line != le.Mark.Line {
		message += fmt.Sprintf(" (%s that starts on line %d)", le.ContextMsg, le.ContextMark.Line)
	} else if le.ContextMsg != "" {
		message += " (" + le.ContextMsg + ")"
	}
	line := d.lines[pos.Line-1]
	hint := ""
	indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
	switch {
	case strings.Contains(indent, "\t"):
		hint = "YAML is indented with spaces: this line has a tab"
	case strings.Contains(line, "{%"):
		hint = "template statements ({% … %}) are not supported, only {{ env.NAME | default('…') }}"
	case strings.HasPrefix(le.Message, "mapping values are not allowed"):
		hint = "check the indentation, and put a text with a colon in it in quotes"
	}
	d.add(pos, "not valid YAML: "+d.tmpl.restore(message), hint)
}

// endsLine reports whether r, before rest, ends a line as YAML counts lines.
func endsLine(r rune, rest string) bool {
	switch r {
	case '\n', 0x85, 0x2028, 0x2029:
		return true
	case '\r':
		return !strings.HasPrefix(rest, "\n")
	}
	return false
}

// splitLines returns the lines of text, without their ends.
func splitLines(text string) []string {
	var lines []string
	start := 0
	for i, r := range text {
		if endsLine(r, text[i+utf8.RuneLen(r):]) {
			lines = append(lines, strings.TrimSuffix(text[start:i], "\r"))
			start = i + utf8.RuneLen(r)
		}
	}
	return append(lines, text[start:])
}

// add reports an error; the same one is reported once.
func (d *document) add(pos Position, message, hint string) {
	d.report(&Problem{File: pos.File, Line: pos.Line, Column: pos.Column, Message: message, Hint: hint})
}

// warn reports a warning.
func (d *document) warn(pos Position, message, hint string) {
	d.report(&Problem{File: pos.File, Line: pos.Line, Column: pos.Column, Message: message, Hint: hint, Warning: true})
}

func (d *document) report(p *Problem) {
	if !d.seen[*p] {
		d.seen[*p] = true
		d.found = append(d.found, p)
	}
}

// problems returns what was found, in file order.
func (d *document) problems() Problems {
	sorted := slices.Clone(d.found)
	slices.SortStableFunc(sorted, func(a, b *Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return sorted
}

func (d *document) pos(n *yaml.Node) Position { return d.at(n.Line, n.Column) }

// at is a place that the parser names. It sees the end of the file from behind
// its last line: here that is the end of the last line.
func (d *document) at(line, column int) Position {
	if line > len(d.lines) {
		line, column = len(d.lines), math.MaxInt
	}
	line = max(line, 1)
	end := 1
	if line <= len(d.ends) {
		end = d.ends[line-1]
	}
	return Position{d.file, line, min(max(column, 1), end)}
}

// scalar is the text of a node with its templates resolved.
type scalar struct {
	text     string
	shown    string // for messages: templates as they were written
	template bool   // an env template gave (part of) it: its value is not shown
	tag      string // of the text; of a bare template's value
	ok       bool   // false when a template has no value; that has been reported
}

// scalar resolves the node's templates. Each node is resolved, and its
// problems reported, once.
func (d *document) scalar(n *yaml.Node) *scalar {
	if s := d.resolved[n]; s != nil {
		return s
	}
	s := &scalar{text: n.Value, shown: n.Value, tag: n.Tag, ok: true}
	d.resolved[n] = s
	if !d.tmpl.holds(n.Value) {
		if strings.Contains(n.Value, "{{") && strings.Contains(n.Value, "}}") && d.env != nil {
			d.warn(d.pos(n), "{{…}} is no env template here: it stays as it is", "")
		}
		return s
	}
	var text, shown strings.Builder
	d.tmpl.split(n.Value, func(part string) {
		text.WriteString(part)
		shown.WriteString(part)
	}, func(t *template) {
		shown.WriteString(t.source)
		text.WriteString(d.value(t, s))
	})
	s.text, s.shown = text.String(), shown.String()
	// A bare template is typed by its value, as it would be had the value
	// been written in its place. Only a scalar can come of it.
	if s.template && n.Style == 0 && n.Tag == "!!str" {
		s.tag = scalarTag(s.text)
	}
	return s
}

// value gives what takes the place of one template in s.
func (d *document) value(t *template, s *scalar) string {
	switch {
	case t.err != "" && d.env != nil:
		hint := "templates are {{ env.NAME }}, {{ env['NAME'] }} and {{ env.NAME | default('…') }}, on one line"
		if strings.Contains(t.source, `\"`) {
			hint = `in a text in double quotes, a template's own texts stand in single quotes: "{{ env.NAME | default('…') }}"`
		}
		d.add(t.pos, fmt.Sprintf("template %s: %s", t.source, t.err), hint)
		s.ok = false
		return t.source
	case t.expr == nil || d.env == nil:
		if t.expr != nil || t.err != "" {
			s.template = true
		} else if d.env != nil && !d.warned[t] {
			d.warned[t] = true
			d.warn(t.pos, fmt.Sprintf("%s is no env template: it stays as it is", t.source), "")
		}
		return t.source
	}
	s.template = true
	v, missing := t.expr.eval(d.env)
	if missing != "" {
		d.add(t.pos, fmt.Sprintf("template %s: the environment variable %s is not set", t.source, missing),
			fmt.Sprintf("set %s, or write {{ env.%s | default('…') }}", missing, missing))
		s.ok = false
	}
	return v
}

// scalarTag is the YAML tag that text would have as a plain scalar.
func scalarTag(text string) string {
	var n yaml.Node
	if strings.ContainsAny(text, "\n:#&*!|>'\"%@`{}[],") || yaml.Load([]byte(text), &n) != nil ||
		len(n.Content) != 1 || n.Content[0].Kind != yaml.ScalarNode || n.Content[0].Value != text {
		return "!!str"
	}
	switch tag := n.Content[0].Tag; tag {
	case "!!int", "!!float", "!!bool":
		return tag
	}
	return "!!str"
}
