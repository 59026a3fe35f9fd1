package builtin

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport-mcp/sallyport/internal/pyre"
)

// dialect is what differs between databases in where a comment or a literal
// ends. A text is judged under all of them, because which one will read it is not
// known, and what is harmless in one can be a whole statement in the other.
type dialect struct {
	nested    bool // /* /* */ */ is one comment
	backslash bool // a backslash escapes the quote that follows
	hash      bool // # starts a comment, and -- only with space after it
	versions  bool // what is in /*! or /*!50000 runs
	dollars   bool // $$ and $name$ are quotes, and E'' has backslashes
	brackets  bool // q'[' and the like are quotes
}

var (
	mySQL    = dialect{backslash: true, hash: true, versions: true}
	dialects = []dialect{
		{nested: true}, // the standard's, and SQL Server's
		mySQL,
		{nested: true, dollars: true}, // PostgreSQL's
		{},                            // SQLite's
		{brackets: true},              // Oracle's
	}
)

// sqlSpan is a part of a text: a comment or a literal.
type sqlSpan struct {
	from, to int
	comment  bool
	open     bool // goes to the end of the text, and has no end of its own
}

// spans calls found with the comments and literals of s, in order.
func (d dialect) spans(s string, found func(at sqlSpan)) {
	for i := 0; i < len(s); {
		if !sqlStarts[s[i]] {
			i++
			continue
		}
		end, comment := 0, true
		switch c := s[i]; {
		case c == '\'' || c == '"' || c == '`':
			end, comment = d.literal(s, i), false
		case c == '$':
			if end = d.dollar(s, i); end == 0 {
				i++
				continue
			}
			comment = false
		case d.versions && strings.HasPrefix(s[i:], "/*!"):
			for end = i + len("/*!"); end < len(s) && end < i+len("/*!000000") && isDigit(s[end]); end++ {
			}
		case strings.HasPrefix(s[i:], "--") && (!d.hash || i+2 == len(s) || s[i+2] <= ' '), c == '#' && d.hash && !isOperator(s[i+1:]):
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
		found(at)
		i = at.to
	}
}

// sqlStarts are the bytes that comments and literals start with.
var sqlStarts = classOf("'\"`-#/$")

// isOperator reports whether a # goes on as one of PostgreSQL's operators.
func isOperator(rest string) bool {
	return rest != "" && strings.ContainsRune(">-#=", rune(rest[0]))
}

// literal returns where the literal or quoted name at i ends, -1 if nowhere. A
// doubled quote ends one and begins another, which comes to the same.
func (d dialect) literal(s string, i int) int {
	if d.brackets && s[i] == '\'' && prefixedBy(s, i, 'q') && i+1 < len(s) {
		closing := s[i+1]
		if at := strings.IndexByte("[{(<", closing); at >= 0 {
			closing = "]})>"[at]
		}
		end := strings.Index(s[i+2:], string([]byte{closing, '\''}))
		if end < 0 {
			return -1
		}
		return i + 2 + end + 2
	}
	backslash := d.backslash || d.dollars && s[i] == '\'' && prefixedBy(s, i, 'e')
	for j := i + 1; j < len(s); j++ {
		switch {
		case s[j] == s[i]:
			return j + 1
		case s[j] == '\\' && backslash:
			j++
		}
	}
	return -1
}

// prefixedBy reports whether a letter, in any case, stands by itself before i.
func prefixedBy(s string, i int, letter byte) bool {
	return i > 0 && s[i-1]|0x20 == letter && !wordBefore(s, i-1)
}

// dollar returns where the literal that a $ at i starts ends, -1 if nowhere; 0 says
// that it starts none.
func (d dialect) dollar(s string, i int) int {
	if !d.dollars || wordBefore(s, i) {
		return 0
	}
	end := i + 1
	for end < len(s) && end-i < 64 && (isWord(s[end]) || s[end] >= utf8.RuneSelf) {
		end++
	}
	if end == len(s) || s[end] != '$' || isDigit(s[i+1]) {
		return 0
	}
	end++
	at := strings.Index(s[end:], s[i:end])
	if at < 0 {
		return -1
	}
	return end + at + end - i
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
func (d dialect) code(s string) []byte {
	b := []byte(s)
	d.spans(s, func(at sqlSpan) {
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
	})
	return b
}

// withoutComments are the readings of a text in which a comment is not looked
// into: as it will be sent on, and with nothing where each comment is.
func withoutComments(sql string) []string {
	if !strings.Contains(sql, "--") && !strings.Contains(sql, "/*") {
		return []string{sql}
	}
	var stripped, joined strings.Builder
	copied := 0
	last := byte(' ') // in stripped
	// With backslashes, and without nesting: an error here leaves a comment in,
	// and does not take data out.
	(dialect{backslash: true}).spans(sql, func(at sqlSpan) {
		if !at.comment || at.open {
			return
		}
		if copied < at.from {
			stripped.WriteString(sql[copied:at.from])
			joined.WriteString(sql[copied:at.from])
			last = sql[at.from-1]
		}
		if copied = at.to; at.to < len(sql) && growTogether(last, sql[at.to]) {
			stripped.WriteByte(' ')
			last = ' '
		}
	})
	if copied == 0 {
		return []string{sql}
	}
	stripped.WriteString(sql[copied:])
	joined.WriteString(sql[copied:])
	return []string{stripped.String(), joined.String()}
}

// withVersions are the readings of a text in which comments stay: as it is, and as
// MySQL reads it, which runs what is in a comment that names a version.
func withVersions(sql string) []string {
	if !strings.Contains(sql, "/*!") {
		return []string{sql}
	}
	b := []byte(sql)
	mySQL.spans(sql, func(at sqlSpan) {
		if strings.HasPrefix(sql[at.from:], "/*!") {
			for i := at.from; i < at.to; i++ {
				b[i] = ' '
			}
		}
	})
	return []string{sql, string(b)}
}

// growTogether reports whether two bytes mean something else side by side than
// with a comment between them: one word, or the start or end of a comment.
func growTogether(a, b byte) bool {
	return isWordByte(a) && isWordByte(b) || a == '-' && b == '-' || a == '/' && b == '*' || a == '*' && b == '/'
}

func isWordByte(c byte) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// sqlText is a text that may be SQL, as it is judged.
type sqlText struct {
	sql      string
	readings []string // see withoutComments; sql alone where comments stay
	codes    []string // by dialect, as far as they differ; nil until wanted
}

// inDialects gives the code of the text as it came and as it is sent on: what
// one database took for a comment may be none to the other.
func (t *sqlText) inDialects() []string {
	if t.codes != nil {
		return t.codes
	}
	texts := []string{t.sql}
	if t.readings[0] != t.sql {
		texts = append(texts, t.readings[0])
	}
	for _, text := range texts {
		for _, d := range dialects {
			if code := string(d.code(text)); !slices.Contains(t.codes, code) {
				t.codes = append(t.codes, code)
			}
		}
	}
	return t.codes
}

// needy is a statement that needs a WHERE.
type needy struct {
	verb   *pyre.Regexp // without which there is none
	begins func(s string, i int) (end int, ok bool)

	// glued is begins for a name in quotes without a space before it; nil is never.
	// It holds for code alone: what is quoted in JSON or Markdown looks the same.
	glued func(s string, i int) (end int, ok bool)
}

var (
	deleteFrom = needy{verb: mustWord("DELETE"), begins: func(s string, i int) (int, bool) {
		end, ok := verbAt(s, i, "DELETE")
		if ok {
			end, ok = wordAt(s, passModifiers(s, end), "FROM")
		}
		return end, ok && !wordAfter(s, end)
	}}
	updateSome = needy{verb: mustWord("UPDATE"), begins: func(s string, i int) (int, bool) {
		end, ok := verbAt(s, i, "UPDATE")
		if !ok || end == len(s) || !isWord(s[end]) && s[end] < utf8.RuneSelf && strings.IndexByte("\"`[", s[end]) < 0 {
			return 0, false
		}
		_, size := utf8.DecodeRuneInString(s[end:])
		return end + size, true
	}, glued: func(s string, i int) (int, bool) {
		end, ok := wordAt(s, i, "UPDATE")
		return end, ok && !wordBefore(s, i) && end < len(s) && strings.IndexByte("\"`", s[end]) >= 0
	}}
)

// modifiers may stand between DELETE and FROM in MySQL and SQL Server, and a
// number after TOP.
var modifiers = []string{"LOW_PRIORITY", "QUICK", "IGNORE", "TOP", "PERCENT"}

// passModifiers passes the modifiers at i, and what belongs to them.
func passModifiers(s string, i int) int {
	for start := i; ; {
		end := i
		for end < len(s) && (isWord(s[end]) || s[end] == '@') {
			end++
		}
		word := s[i:end]
		switch {
		case end == i && i > start && i < len(s) && s[i] == '(':
			if end = strings.IndexByte(s[i:min(len(s), i+maxTop)], ')'); end < 0 {
				return i
			}
			end += i + 1
		case end == i, !isDigit(word[0]) && word[0] != '@' && !slices.ContainsFunc(modifiers, func(m string) bool { return strings.EqualFold(m, word) }):
			return i
		}
		i = passSpace(s, end)
	}
}

// maxTop bounds what is looked through after a TOP.
const maxTop = 256

// mustWord compiles a word that is found in any case.
func mustWord(word string) *pyre.Regexp {
	re, err := pyre.CompileIgnoreCase(word)
	if err != nil {
		panic(err)
	}
	return re
}

// wordAt passes a word of ASCII letters, in any case.
func wordAt(s string, i int, word string) (end int, ok bool) {
	end = i + len(word)
	if end > len(s) {
		return 0, false
	}
	for j := range len(word) {
		if s[i+j]&^0x20 != word[j] {
			return 0, false
		}
	}
	return end, true
}

// verbAt passes a verb that starts a word, and space after it.
func verbAt(s string, i int, verb string) (end int, ok bool) {
	from, ok := wordAt(s, i, verb)
	if !ok || wordBefore(s, i) {
		return 0, false
	}
	end = passSpace(s, from)
	return end, end > from
}

// passSpace passes what databases take for space: for some of them that is
// every control character, and what Unicode calls so.
func passSpace(s string, i int) int {
	for i < len(s) {
		r, size := utf8.DecodeRuneInString(s[i:])
		if r > ' ' && !unicode.IsSpace(r) {
			break
		}
		i += size
	}
	return i
}

// whereAt passes a WHERE.
func whereAt(s string, i int) (end int, ok bool) {
	end, ok = wordAt(s, i, "WHERE")
	return end, ok && !wordBefore(s, i) && !wordAfter(s, end) && !isNameAt(s, i)
}

// isNameAt reports whether what stands before a keyword makes it a name: of a
// variable, of a column of something, of what an AS names.
func isNameAt(s string, i int) bool {
	if i > 0 && strings.IndexByte("@:$.[", s[i-1]) >= 0 {
		return true
	}
	rest := strings.TrimRightFunc(s[:i], func(r rune) bool { return r <= ' ' || unicode.IsSpace(r) })
	n := len(rest) - len("AS")
	return n >= 0 && len(rest) < i && strings.EqualFold(rest[n:], "AS") && !wordBefore(rest, n)
}

// lacks reports whether a text has such a statement and no WHERE for it. What
// looks like a literal may be the apostrophes of a sentence, so that the text
// without comments is also judged without regard to them: a statement anywhere,
// and no WHERE at all.
func (n needy) lacks(t *sqlText) bool {
	text := t.readings[0]
	if n.mayBeIn(text) && n.standsAlone(text) {
		return true
	}
	return (n.mayBeIn(t.sql) || n.mayBeIn(text)) && slices.ContainsFunc(t.inDialects(), n.lacksIn)
}

func (n needy) isGlued(code string, i int) (end int, ok bool) {
	if n.glued == nil {
		return 0, false
	}
	return n.glued(code, i)
}

func (n needy) mayBeIn(s string) bool {
	ok, _ := n.verb.MatchIn(context.Background(), s) // a word takes no time
	return ok
}

// needyStarts are the bytes that its tokens start with.
var needyStarts = classOf("();dDuUwW")

// standsAlone reports whether s has such a statement, but no WHERE.
func (n needy) standsAlone(s string) bool {
	found := false
	for i := range len(s) {
		if !needyStarts[s[i]] {
			continue
		}
		if _, ok := whereAt(s, i); ok {
			return false
		}
		if !found {
			_, found = n.begins(s, i)
		}
	}
	return found
}

// lacksIn reports whether code has such a statement without a WHERE of its own:
// one on its level, not in a subquery, and not in another statement.
func (n needy) lacksIn(code string) bool {
	waiting := []bool{false} // for a WHERE, by level of parentheses
	for i := 0; i < len(code); {
		top := len(waiting) - 1
		c := code[i]
		if !needyStarts[c] {
			i++
			continue
		}
		end := i + 1
		switch {
		case c == '(':
			waiting = append(waiting, false)
		case c == ')' && top > 0 && !waiting[top]:
			waiting = waiting[:top]
		case c == ')', c == ';':
			if waiting[top] {
				return true
			}
		default:
			if at, ok := n.begins(code, i); ok {
				waiting[top], end = true, at
			} else if at, ok := n.isGlued(code, i); ok {
				waiting[top], end = true, at
			} else if at, ok := whereAt(code, i); ok {
				waiting[top], end = false, at
			}
		}
		i = end
	}
	return slices.Contains(waiting, true)
}
