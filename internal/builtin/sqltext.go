package builtin

import (
	"regexp"
	"slices"
	"strings"
)

// dialect is what differs between databases in where a comment or a literal
// ends. A text is judged under both, because which one will read it is not
// known, and what is harmless in one can be a whole statement in the other.
type dialect struct {
	nested    bool // /* /* */ */ is one comment
	backslash bool // a backslash escapes the quote that follows
	hash      bool // # starts a comment
}

var (
	standardSQL = dialect{nested: true}
	mySQL       = dialect{backslash: true, hash: true}
)

// sqlSpan is a part of a text: a comment or a literal.
type sqlSpan struct {
	from, to int
	comment  bool
	open     bool // goes to the end of the text, and has no end of its own
}

// spans finds the comments and literals of s, in order.
func (d dialect) spans(s string) []sqlSpan {
	var out []sqlSpan
	for i := 0; i < len(s); {
		end, comment := 0, true
		switch c := s[i]; {
		case c == '\'' || c == '"' || c == '`':
			end, comment = d.literal(s, i), false
		case strings.HasPrefix(s[i:], "--"), c == '#' && d.hash && !isOperator(s[i+1:]):
			if end = strings.IndexByte(s[i:], '\n'); end >= 0 {
				end += i // the newline stays
			} else {
				end = len(s)
			}
		case strings.HasPrefix(s[i:], "/*"):
			end = d.block(s, i)
		default:
			i++
			continue
		}
		at := sqlSpan{from: i, to: end, comment: comment}
		if end < 0 {
			at.to, at.open = len(s), true
		}
		out = append(out, at)
		i = at.to
	}
	return out
}

// isOperator reports whether a # goes on as one of PostgreSQL's operators.
func isOperator(rest string) bool {
	return rest != "" && strings.ContainsRune(">-#=", rune(rest[0]))
}

// literal returns where the literal or quoted name at i ends, -1 if nowhere. A
// doubled quote ends one and begins another, which comes to the same.
func (d dialect) literal(s string, i int) int {
	for j := i + 1; j < len(s); j++ {
		switch {
		case s[j] == s[i]:
			return j + 1
		case s[j] == '\\' && d.backslash:
			j++
		}
	}
	return -1
}

// block returns where the comment at i ends, -1 if nowhere.
func (d dialect) block(s string, i int) int {
	depth := 1
	for j := i + 2; j+1 < len(s); j++ {
		switch {
		case s[j] == '*' && s[j+1] == '/':
			if depth--; depth == 0 {
				return j + 2
			}
			j++
		case d.nested && s[j] == '/' && s[j+1] == '*':
			depth++
			j++
		}
	}
	return -1
}

// code returns s with its comments blank and its literals empty: what is left
// are the words that a database acts on. Offsets stay.
func (d dialect) code(s string) string {
	b := []byte(s)
	for _, at := range d.spans(s) {
		from, to := at.from, at.to
		if !at.comment { // the quotes stay, so that a quoted name is one
			from, to = from+1, max(from+1, to-1)
		}
		for i := from; i < to; i++ {
			b[i] = ' '
			if !at.comment {
				b[i] = '_'
			}
		}
	}
	return string(b)
}

// stripComments takes the comments out of s. Those in literals are none, and
// one without an end stays. Where two words would grow together, a space comes
// between them: to a database a comment is one.
func stripComments(s string) string {
	if !strings.Contains(s, "--") && !strings.Contains(s, "/*") {
		return s
	}
	var b strings.Builder
	copied := 0
	// With backslashes, and without nesting: an error here leaves a comment in,
	// and does not take data out.
	for _, at := range (dialect{backslash: true}).spans(s) {
		if !at.comment || at.open {
			continue
		}
		b.WriteString(s[copied:at.from])
		if b.Len() > 0 && at.to < len(s) && isWordByte(s[at.from-1]) && isWordByte(s[at.to]) {
			b.WriteByte(' ')
		}
		copied = at.to
	}
	b.WriteString(s[copied:])
	return b.String()
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// The words that begin a statement which needs a WHERE, and with them the tokens
// that say whether it has one.
var (
	deleteFrom = newNeedy(`\bDELETE\s+FROM\b`)
	updateSome = newNeedy("\\bUPDATE\\s+[\\w\"`\\[\\x{80}-\\x{10ffff}]")
	whereWord  = regexp.MustCompile(`(?i)\bWHERE\b`)
)

// needy is a statement that needs a WHERE.
type needy struct {
	begins *regexp.Regexp
	tokens *regexp.Regexp // group 1: it begins
}

func newNeedy(begins string) needy {
	return needy{regexp.MustCompile(`(?i)` + begins), regexp.MustCompile(`(?i)(` + begins + `)|\bWHERE\b|[();]`)}
}

// lacks reports whether sql has such a statement and no WHERE for it. What looks
// like a literal may be the apostrophes of a sentence, so that text, which is
// sql without comments, is also judged without regard to them: a statement
// anywhere, and no WHERE at all.
func (n needy) lacks(sql, text string) bool {
	if n.begins.MatchString(text) && !whereWord.MatchString(text) {
		return true
	}
	return n.lacksIn(standardSQL.code(sql)) || n.lacksIn(mySQL.code(sql))
}

// lacksIn reports whether code has such a statement without a WHERE of its own:
// one on its level, not in a subquery, and not in another statement.
func (n needy) lacksIn(code string) bool {
	if !n.begins.MatchString(code) {
		return false
	}
	waiting := []bool{false} // for a WHERE, by level of parentheses
	for _, at := range n.tokens.FindAllStringSubmatchIndex(code, -1) {
		top := len(waiting) - 1
		switch token := code[at[0]:at[1]]; {
		case at[2] >= 0:
			waiting[top] = true
		case token == "(":
			waiting = append(waiting, false)
		case token == ")" && top > 0 && !waiting[top]:
			waiting = waiting[:top]
		case token == ")" || token == ";":
			if waiting[top] {
				return true
			}
		default:
			waiting[top] = false
		}
	}
	return slices.Contains(waiting, true)
}
