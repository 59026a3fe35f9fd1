package builtin

import "strings"

// nameList is a list of what a thing may be called, in lower case.
type nameList struct {
	number int // its place in piiText.asked
	words  []string
	byLast *wordList
}

// The lists that are asked for in front of things.
var (
	ssnNames      = newNameList(0, "ssn", "social security", "social_security", "socialsecurity")
	bsnNames      = newNameList(1, "bsn", "burgerservice", "citizen service", "sofi")
	passportNames = newNameList(2, "passport", "reisepass", "paspoort")
	passportName  = newNameList(3, "passport")
	birthNames    = newNameList(4, "dob", "date of birth", "date_of_birth", "dateofbirth", "birth", "born")
	accountNames  = newNameList(5, "account", "acct", "a/c", "routing", "konto", "rekening", "bank")
	phoneNames    = newNameList(6, "phone", "tel", "telefon", "mobile", "cell", "fax", "call", "whatsapp", "handy")
)

// nameLists is how many there are.
const nameLists = 7

func newNameList(number int, words ...string) *nameList {
	return &nameList{number, words, newWordList(words)}
}

// answer is whether a thing at start-1 is called one of a list.
type answer struct {
	start int // 0: not asked yet
	named bool
}

// named reports whether one of the names stands right before i, or names the
// member that holds the text. It is asked of one number in many ways, so that it
// keeps the last answer for each list.
func (t *piiText) named(i int, names *nameList) bool {
	a := &t.asked[names.number]
	if a.start != i+1 {
		*a = answer{i + 1, names.in(t.before(i)) || t.key != "" && names.in(t.key)}
	}
	return a.named
}

// before gives what stands in front of i, as named looks at it.
func (t *piiText) before(i int) string {
	if t.nameAt != i+1 {
		t.nameAt, t.name = i+1, before(t.text, i, 32)
	}
	return t.name
}

// in reports whether s has one of the names. Short ones must not be parts of
// others, where they stand last.
func (l *nameList) in(s string) bool {
	for end := len(s); end > 0; end-- {
		for _, w := range l.byLast[s[end-1]] {
			if strings.HasSuffix(s[:end], w) && !strings.Contains(s[end-len(w)+1:], w) && isName(s, w, end-len(w)) {
				return true
			}
		}
	}
	return false
}

func hasName(s string, words []string) bool {
	for _, w := range words {
		if i := strings.LastIndex(s, w); i >= 0 && isName(s, w, i) {
			return true
		}
	}
	return false
}

// isName reports whether w, which is in s at i, stands for itself.
func isName(s, w string, i int) bool {
	return len(w) > 4 || (i == 0 || !isLower(s[i-1])) && (i+len(w) == len(s) || !isLower(s[i+len(w)]))
}
