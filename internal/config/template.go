package config

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// A file may hold `{{ env.X }}`, `{{ env['X'] }}` and, nested, `| default(…)`.
// They are found in the text before it is parsed as YAML, and each is replaced
// by a placeholder: a word of as many characters, so that every line and column
// stays true, that YAML can only read as part of a scalar. Its value is put in
// after parsing, as data: whatever a variable holds, it cannot add a key, end a
// quotation or be parsed again.

// template is one `{{…}}` of a file.
type template struct {
	pos    Position
	source string // as written, braces included
	expr   *expr  // nil for a text that is no env expression: it stays as it is
	err    string // an env expression that cannot be understood
}

// expr is an operand: a variable or a literal, with a default.
type expr struct {
	name    string // of the variable; empty for a literal
	literal string
	def     *expr
}

// eval returns the expression's value. An empty variable counts as unset, as it
// does everywhere; missing is the variable that has no value and no default.
func (e *expr) eval(env func(string) (string, bool)) (value, missing string) {
	if e.name == "" {
		return e.literal, ""
	}
	if v, ok := env(e.name); ok {
		return v, ""
	}
	if e.def != nil {
		return e.def.eval(env)
	}
	return "", e.name
}

// templates are those of one file, by placeholder.
type templates struct {
	list        []*template
	open, close rune // delimit a placeholder; they occur nowhere in the file
}

// Placeholders are delimited by two private-use characters, the first that the
// file itself does not use. The digits between them are the template's index.
func newTemplates(text string) *templates {
	t := &templates{}
	for r := rune(0xF0000); t.close == 0; r++ {
		if strings.ContainsRune(text, r) {
			continue
		}
		if t.open == 0 {
			t.open = r
		} else {
			t.close = r
		}
	}
	return t
}

// maxTemplate bounds a template in bytes, and with it what scanning costs.
const maxTemplate = 4096

// replace returns text with each template replaced by its placeholder.
func (t *templates) replace(file, text string) string {
	var out strings.Builder
	pos := Position{file, 1, 1}
	for text != "" {
		if strings.HasPrefix(text, "{{") {
			if found := scanTemplate(text[:min(len(text), maxTemplate)], pos); found != nil {
				out.WriteString(t.placeholder(found))
				pos.Column += utf8.RuneCountInString(found.source)
				text = text[len(found.source):]
				continue
			}
		}
		r, n := utf8.DecodeRuneInString(text)
		out.WriteString(text[:n])
		text = text[n:]
		if pos.Column++; endsLine(r, text) {
			pos.Line, pos.Column = pos.Line+1, 1
		}
	}
	return out.String()
}

// placeholder registers found and returns a word of as many characters.
func (t *templates) placeholder(found *template) string {
	index := strconv.FormatInt(int64(len(t.list)), 36)
	t.list = append(t.list, found)
	fill := utf8.RuneCountInString(found.source) - len(index) - 2
	return string(t.open) + index + strings.Repeat(string(t.close), max(fill, 0)+1)
}

// split cuts s into literal text and templates, in order.
func (t *templates) split(s string, text func(string), tmpl func(*template)) {
	for {
		before, rest, found := strings.Cut(s, string(t.open))
		if before != "" {
			text(before)
		}
		if !found {
			return
		}
		n := max(strings.IndexRune(rest, t.close), 0)
		index, err := strconv.ParseInt(rest[:n], 36, 32)
		s = strings.TrimLeft(rest[n:], string(t.close))
		if err == nil && index < int64(len(t.list)) {
			tmpl(t.list[index])
		}
	}
}

// holds reports whether s has a placeholder in it.
func (t *templates) holds(s string) bool { return strings.ContainsRune(s, t.open) }

// restore returns s with the templates as they were written.
func (t *templates) restore(s string) string {
	if !t.holds(s) {
		return s
	}
	var out strings.Builder
	t.split(s, func(text string) { out.WriteString(text) }, func(one *template) { out.WriteString(one.source) })
	return out.String()
}

// scanTemplate reads the template that text begins with. It returns nil when
// `{{` begins none: YAML and regular expressions have uses for it too.
func scanTemplate(text string, pos Position) *template {
	line := text
	if end := strings.IndexAny(text, "\n\r\u0085\u2028\u2029"); end >= 0 {
		line = text[:end]
	}
	p := &exprParser{rest: strings.TrimPrefix(strings.TrimPrefix(line, "{{"), "-")}
	p.space()
	if !p.word("env") {
		return scanOther(line, pos)
	}
	e, err := p.variable()
	if err == "" {
		e, err = p.filters(e)
	}
	if err == "" {
		p.space()
		p.eat("-")
		if !p.eat("}}") {
			err = "expected }} or | default(…)"
		}
	}
	if err == "" {
		return &template{pos: pos, source: line[:len(line)-len(p.rest)], expr: e}
	}
	end := strings.Index(line, "}}")
	if end < 0 { // what follows may close a quotation: it is left alone
		return &template{pos: pos, source: line[:strings.Index(line, "env")+len("env")], err: "the template has no }} on its line"}
	}
	return &template{pos: pos, source: line[:end+2], err: err}
}

// scanOther reads a `{{…}}` that is no env expression: it stays text. One with
// quotes, braces or backslashes in it is left to YAML altogether, because
// its meaning there depends on what surrounds it.
func scanOther(line string, pos Position) *template {
	end := strings.Index(line, "}}")
	if end < 0 || strings.ContainsAny(line[2:end], "{}'\"\\") || strings.TrimSpace(line[2:end]) == "" {
		return nil
	}
	return &template{pos: pos, source: line[:end+2]}
}

// exprParser reads one expression: variable, then filters.
type exprParser struct {
	rest  string
	depth int
}

func (p *exprParser) space() { p.rest = strings.TrimLeft(p.rest, " \t") }

func (p *exprParser) eat(s string) bool {
	rest, ok := strings.CutPrefix(p.rest, s)
	if ok {
		p.rest = rest
	}
	return ok
}

// word eats s where it is a whole identifier.
func (p *exprParser) word(s string) bool {
	if p.identifierLen() != len(s) {
		return false
	}
	return p.eat(s)
}

func (p *exprParser) identifierLen() int {
	n := 0
	for n < len(p.rest) && (p.rest[n] == '_' || p.rest[n] >= 'a' && p.rest[n] <= 'z' || p.rest[n] >= 'A' && p.rest[n] <= 'Z' || n > 0 && p.rest[n] >= '0' && p.rest[n] <= '9') {
		n++
	}
	return n
}

// variable reads what follows env: .NAME or ['NAME'].
func (p *exprParser) variable() (*expr, string) {
	p.space()
	switch {
	case p.eat("."):
		n := p.identifierLen()
		if n == 0 {
			return nil, "expected the name of a variable after env."
		}
		name := p.rest[:n]
		p.rest = p.rest[n:]
		return &expr{name: name}, ""
	case p.eat("["):
		p.space()
		name, ok := p.text()
		p.space()
		if !ok || name == "" || !p.eat("]") {
			return nil, "expected env['NAME']"
		}
		return &expr{name: name}, ""
	}
	return nil, "expected env.NAME or env['NAME']"
}

// filters reads any number of | default(…) and gives each to e.
func (p *exprParser) filters(e *expr) (*expr, string) {
	// The depth limit keeps a hostile file from exhausting the stack.
	if p.depth++; p.depth > 20 {
		return nil, "defaults are nested too deeply"
	}
	defer func() { p.depth-- }()
	last := e
	for {
		p.space()
		if !p.eat("|") {
			return e, ""
		}
		p.space()
		if !p.word("default") && !p.word("d") {
			return nil, "the only filter known is default(…)"
		}
		p.space()
		if !p.eat("(") {
			return nil, "expected default(…)"
		}
		def, err := p.argument()
		if err != "" {
			return nil, err
		}
		last.def, last = def, innermost(def)
	}
}

// argument reads what stands in default(…), closing parenthesis included. A
// second argument (Jinja's "also when empty") is read: here it is always so.
func (p *exprParser) argument() (*expr, string) {
	p.space()
	var e *expr
	if text, ok := p.text(); ok {
		e = &expr{literal: text}
	} else if p.word("env") {
		var err string
		if e, err = p.variable(); err != "" {
			return nil, err
		}
		if e, err = p.filters(e); err != "" {
			return nil, err
		}
	} else if n := strings.IndexAny(p.rest, "),| \t"); n > 0 && !strings.ContainsAny(p.rest[:n], "([{'\"") {
		e = &expr{literal: p.rest[:n]} // a number, true, false
		p.rest = p.rest[n:]
	} else {
		return nil, "expected a text in quotes or env.NAME in default(…)"
	}
	p.space()
	if p.eat(",") {
		p.space()
		_ = p.word("boolean") && p.eat("=")
		if !p.word("true") && !p.word("True") && !p.word("false") && !p.word("False") {
			return nil, "the second argument of default(…) is true or false"
		}
		p.space()
	}
	if !p.eat(")") {
		return nil, "expected ) after the default"
	}
	return e, ""
}

// text reads a quoted text.
func (p *exprParser) text() (string, bool) {
	if p.rest == "" || p.rest[0] != '\'' && p.rest[0] != '"' {
		return "", false
	}
	quote := p.rest[0]
	var out strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == quote:
			p.rest = p.rest[i+1:]
			return out.String(), true
		case c == '\\' && i+1 < len(p.rest):
			i++
			switch p.rest[i] {
			case 'n':
				out.WriteByte('\n')
			case 't':
				out.WriteByte('\t')
			case '\\', '\'', '"':
				out.WriteByte(p.rest[i])
			default:
				out.WriteByte('\\')
				out.WriteByte(p.rest[i])
			}
		default:
			out.WriteByte(c)
		}
	}
	return "", false
}

// innermost is where a further default belongs: a|default(b)|default(c) is
// a|default(b|default(c)).
func innermost(e *expr) *expr {
	for e.def != nil {
		e = e.def
	}
	return e
}
