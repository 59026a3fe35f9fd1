package builtin

import "strings"

// number looks at what starts with a digit or plus at i and gives where to go
// on: behind the digits, with what separates and groups them, that it has read.
func (t *piiText) number(i int) int {
	text := t.text
	start := i
	if end, ok := t.short(i); ok {
		return end
	}
	if text[i] == '+' {
		i++
		if i == len(text) || !isDigit(text[i]) {
			return i
		}
	}
	n := numbers{start: i, plus: start < i, text: text}
	end := n.read()
	n.all = n.digits
	if wordBefore(text, start) || strings.HasSuffix(text[:start], "****") { // masked before; fewer stars are Markdown's
		return n.ends[0]
	}
	most := n.count
	if wordAfter(text, end) { // 12ab
		if most--; most == 0 {
			for wordAfter(text, end) {
				end++
			}
			if w := text[start:end]; len(w) > 5 && len(w) < 12 && all(w, upperDigits) && t.named(start, passportName) {
				t.add(piiPassport, start, end, rankNamed)
			}
			return end
		}
	}
	if most == 1 && n.groups[0] < 6 {
		return n.ends[0]
	}
	// What follows a number need not be of it: the longest that is one counts.
	for _, look := range []func(*numbers){t.dotted, t.grouped, t.phoneNamed} {
		for count := most; count > 0; count-- {
			found := len(t.found)
			if n.cut(count); !n.partOfMore() {
				look(&n)
			}
			if len(t.found) > found {
				return n.ends[count-1]
			}
		}
	}
	return n.ends[0]
}

// short passes up to 5 digits that stand alone, which are nothing: most numbers.
func (t *piiText) short(start int) (end int, ok bool) {
	text := t.text
	for end = start; end < len(text) && isDigit(text[end]); end++ {
	}
	if n := end - start; n == 0 || n > 5 || wordAfter(text, end) {
		return 0, false
	}
	for i := end; i < len(text) && i < end+4; i++ { // at most a bracket, a separator and a bracket
		if isDigit(text[i]) {
			return 0, false
		}
		if strings.IndexByte(")( -./", text[i]) < 0 {
			break
		}
	}
	return end, true
}

// maxGroups and maxDigits bound what is read at once.
const (
	maxGroups = 8
	maxDigits = 34
)

// numbers are groups of digits with one separator between each.
type numbers struct {
	text   string
	start  int
	plus   bool
	count  int            // of groups
	groups [maxGroups]int // lengths
	ends   [maxGroups]int // offsets in the text
	seps   [maxGroups]byte
	digits []byte // of the groups up to count
	all    []byte
	buffer [maxDigits]byte
}

// cut leaves the first groups only.
func (n *numbers) cut(count int) {
	total := 0
	for _, length := range n.groups[:count] {
		total += length
	}
	n.count, n.digits = count, n.all[:min(total, len(n.all))]
}

// partOfMore reports whether the number goes on at either end, behind a dash or
// stroke. Dots are looked at where they matter.
func (n *numbers) partOfMore() bool {
	s, start, end := n.text, n.start, n.ends[n.count-1]
	joins := func(i int) bool { return s[i] == '-' || s[i] == '/' }
	if n.seps[0] == '.' && n.count == 4 {
		joins = func(i int) bool { return s[i] == '.' } // an address has a length, a port, a range
	}
	return start > 1 && joins(start-1) && isDigit(s[start-2]) ||
		end+1 < len(s) && joins(end) && isDigit(s[end+1])
}

// read reads groups as long as they go on, and gives where they end.
func (n *numbers) read() int {
	i := n.start
	n.digits = n.buffer[:0]
	for n.count < maxGroups {
		from := i
		for i < len(n.text) && isDigit(n.text[i]) {
			if len(n.digits) < maxDigits {
				n.digits = append(n.digits, n.text[i])
			}
			i++
		}
		n.groups[n.count], n.ends[n.count] = i-from, i
		n.count++
		next := i
		if next+1 < len(n.text) && n.text[next] == ')' {
			next++
		}
		if next+1 < len(n.text) && strings.IndexByte(" -./", n.text[next]) >= 0 {
			n.seps[n.count-1] = n.text[next]
			next++
		} else if next > i {
			n.seps[n.count-1] = ')'
		}
		if next+1 < len(n.text) && n.text[next] == '(' {
			next++
		}
		if next == i || next >= len(n.text) || !isDigit(n.text[next]) || i-from == 0 {
			break
		}
		i = next
	}
	return i
}

// end is where the groups up to and without to end.
func (n *numbers) end(to int) int { return n.ends[to-1] }

// shape reports whether the groups have these lengths and this separator. An
// empty separator is any.
func (n *numbers) shape(sep byte, lengths ...int) bool {
	if n.count != len(lengths) {
		return false
	}
	for i, length := range lengths {
		if n.groups[i] != length || sep != 0 && i > 0 && n.seps[i-1] != sep {
			return false
		}
	}
	return true
}

// same reports whether all separators are sep.
func (n *numbers) same(sep byte) bool {
	for i := range n.count - 1 {
		if n.seps[i] != sep {
			return false
		}
	}
	return true
}

// dotted are addresses and dates.
func (t *piiText) dotted(n *numbers) {
	if n.count == 4 && n.same('.') && !n.plus {
		if t.on[piiIPAddress] && isIPv4(t.text[n.start:n.end(4)]) {
			t.add(piiIPAddress, n.start, n.end(4), rankSure)
		}
		return
	}
	if n.count != 3 || !t.on[piiDateOfBirth] || n.plus {
		return
	}
	if n.shape(0, 2, 2, 4) && (n.seps[0] == '-' || n.seps[0] == '/') && (n.seps[1] == '-' || n.seps[1] == '/') {
		d := n.digits
		month, day, century := two(d), two(d[2:]), two(d[4:])
		if month >= 1 && month <= 12 && day >= 1 && day <= 31 && (century == 19 || century == 20) {
			t.add(piiDateOfBirth, n.start, n.end(3), rankSure)
			return
		}
	}
	if end, ok := t.date(n.start); ok && t.named(n.start, birthNames) {
		t.add(piiDateOfBirth, n.start, end, rankNamed)
	}
}

func two(d []byte) int { return int(d[0]-'0')*10 + int(d[1]-'0') }

// isIPv4 takes leading zeros, as the reference does.
func isIPv4(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if len(part) > 3 || len(part) == 3 && part > "255" {
			return false
		}
	}
	return true
}

// grouped are the numbers that people have.
func (t *piiText) grouped(n *numbers) {
	start, end, d := n.start, n.end(n.count), n.digits
	if n.count > 1 && (n.seps[0] == '/' || n.same('.') && n.count == 2) {
		return // dates, ratios, fractions
	}
	if !n.plus {
		if n.shape('-', 3, 2, 4) || n.shape(' ', 3, 2, 4) && t.named(start, ssnNames) {
			if isSSN(d) {
				t.add(piiSSN, start, end, rankSure)
			}
			return
		}
		if n.count == 1 && len(d) == 9 {
			t.nine(start, end, d)
		}
		t.card(n)
		if n.count == 1 && len(d) >= 6 && len(d) <= 9 && t.named(start, passportName) {
			t.add(piiPassport, start, end, rankNamed)
		}
		if n.count == 1 && len(d) >= 8 && len(d) <= 17 && t.named(start, accountNames) {
			t.add(piiBankAccount, start, end, rankNamed)
		}
	}
	t.phone(n)
}

// isSSN knows the numbers that are never given.
func isSSN(d []byte) bool {
	area := string(d[:3])
	return area != "000" && area != "666" && string(d[3:5]) != "00" && string(d[5:]) != "0000"
}

// nine digits are a number of the Netherlands or the United States.
func (t *piiText) nine(start, end int, d []byte) {
	switch {
	case t.named(start, ssnNames) && isSSN(d):
		t.add(piiSSN, start, end, rankNamed)
	case t.named(start, bsnNames):
		t.add(piiBSN, start, end, rankNamed)
	case isBSN(d) && !t.joined(start, end):
		t.add(piiBSN, start, end, rankForm)
	}
}

// isBSN is the Dutch test by eleven.
func isBSN(d []byte) bool {
	sum := 0
	for i, c := range d {
		weight := 9 - i
		if i == 8 {
			weight = -1
		}
		sum += int(c-'0') * weight
	}
	return sum%11 == 0 && string(d) != "000000000"
}

// card numbers stand in one piece or in groups that one separator parts.
func (t *piiText) card(n *numbers) {
	d, end := n.digits, n.end(n.count)
	if n.count > 1 && (n.seps[0] != ' ' && n.seps[0] != '-' || !n.same(n.seps[0]) || n.groups[0] != 4) {
		return
	}
	if isCard(d) {
		t.add(piiCreditCard, n.start, end, rankSure)
	}
}

// isCard checks Luhn's sum, and the issuer where the length is not the usual.
func isCard(d []byte) bool {
	if len(d) < 13 || len(d) > 19 || !luhn(d) {
		return false
	}
	switch s := string(d); {
	case strings.Count(s, s[:1]) == len(s):
		return false
	case len(d) == 16:
		return true
	case len(d) == 15:
		return s[:2] == "34" || s[:2] == "37"
	case len(d) == 14:
		return s[:2] == "36" || s[:2] == "38" || s[:2] == "39" || s[:2] == "30"
	case len(d) == 13:
		return s[0] == '4'
	default:
		return s[0] == '4' || s[:2] == "62" || s[0] == '5' || s[:2] == "67" || s[:2] == "35" || s[:4] == "6011"
	}
}

func luhn(d []byte) bool {
	sum := 0
	for i := range d {
		n := int(d[len(d)-1-i] - '0')
		if i%2 == 1 {
			if n *= 2; n > 9 {
				n -= 9
			}
		}
		sum += n
	}
	return sum%10 == 0
}

// phone numbers are international by their plus, American by their groups, or
// are called so. As in the reference the plus and a first bracket stay.
func (t *piiText) phone(n *numbers) {
	if !t.on[piiPhone] {
		return
	}
	d := n.digits
	american := func(at int) bool { return len(d) >= at+10 && d[at] >= '2' }
	grouped := n.shape(0, 3, 3, 4) && american(0) || n.shape(0, 3, 7) && american(0) || n.shape(0, 6, 4) && american(0) ||
		n.shape(0, 1, 3, 3, 4) && d[0] == '1' && american(1)
	switch {
	case n.plus && len(d) >= 8 && len(d) <= 15 && (n.count == 1 || n.groups[n.count-1] > 1):
		t.add(piiPhone, n.start, n.end(n.count), rankSure)
	case grouped:
		t.add(piiPhone, n.start, n.end(n.count), rankSure)
	case n.count == 1 && len(d) == 10 && american(0) && d[3] >= '2' && !t.joined(n.start, n.end(1)) && !isLimit(d):
		t.add(piiPhone, n.start, n.end(1), rankForm)
	}
}

// phoneNamed is for numbers of any form.
func (t *piiText) phoneNamed(n *numbers) {
	if d := n.digits; t.on[piiPhone] && len(d) >= 7 && len(d) <= 15 && t.named(n.start, phoneNames) {
		t.add(piiPhone, n.start, n.end(n.count), rankNamed)
	}
}

// isLimit knows the greatest numbers of 32 bits.
func isLimit(d []byte) bool {
	s := string(d)
	return s == "2147483647" || s == "2147483648" || s == "4294967295" || s == "4294967296"
}

// iban looks for an account number with its country's letters and checksum, in
// one piece or in groups of four.
func (t *piiText) iban(start int) {
	text := t.text
	s := text[start:]
	if wordBefore(text, start) || !alnumChars[s[0]] || isDigit(s[0]) || isDigit(s[1]) || !isDigit(s[2]) || !isDigit(s[3]) {
		return
	}
	var compact [maxDigits]byte
	n, i := 0, 0
	best := 0
	for i < len(s) && n < maxDigits {
		c := s[i]
		if c == ' ' && n%4 == 0 && n > 0 && i+1 < len(s) && alnumChars[s[i+1]] {
			i++
			continue
		}
		if !alnumChars[c] {
			break
		}
		compact[n] = c &^ 0x20
		if isDigit(c) {
			compact[n] = c
		}
		n++
		i++
		if n >= 15 && (i == len(s) || !isWord(s[i])) && mod97(compact[:n]) {
			best = i
		}
	}
	if best > 0 {
		t.add(piiBankAccount, start, start+best, rankNamed)
		if t.on[piiBankAccount] {
			t.found[len(t.found)-1].mask = maskPartial
		}
	}
}

// mod97 is the checksum of ISO 13616.
func mod97(s []byte) bool {
	rest := 0
	for i := range s {
		c := s[(i+4)%len(s)]
		if isDigit(c) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return rest == 1
}
