package builtin

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// The types of personal data, in the order in which they are reported and in
// which they win where two find the same.
const (
	piiSSN = iota
	piiBSN
	piiCreditCard
	piiEmail
	piiPhone
	piiIPAddress
	piiDateOfBirth
	piiPassport
	piiDriverLicense
	piiBankAccount
	piiMedicalRecord
	piiAWSKey
	piiAPIKey
	piiCustom
	piiTypes
)

// piiNames are the types as they are reported.
var piiNames = [piiTypes]string{
	"ssn", "bsn", "credit_card", "email", "phone", "ip_address", "date_of_birth", "passport",
	"driver_license", "bank_account", "medical_record", "aws_key", "api_key", "custom",
}

// Ranks of evidence: what a thing is called, a checksum or a form that nothing
// else has, the mere form.
const (
	rankForm = iota
	rankSure
	rankNamed
	rankCustom
)

// piiScan finds personal data of the types that are on, in one pass over the
// text: what may start a finding is told by its first byte.
type piiScan struct{ on [piiTypes]bool }

// piiText is a text being scanned.
type piiText struct {
	*piiScan
	text  string
	key   string // of the member that holds the text, in lower case
	found []span

	nameAt int // name is what stands in front of nameAt-1
	name   string
	asked  [nameLists]answer
}

// What a byte may start.
const (
	startsNothing = iota
	startsWord
	startsNumber
	startsDomain
	startsColon
)

// starts tells it by byte.
var starts = func() (kinds [256]uint8) {
	for c := range kinds {
		switch b := byte(c); {
		case isDigit(b) || b == '+':
			kinds[c] = startsNumber
		case isWord(b):
			kinds[c] = startsWord
		case b == '@':
			kinds[c] = startsDomain
		case b == ':':
			kinds[c] = startsColon
		}
	}
	return kinds
}()

// find gives what it finds in a text that a member named key holds. Spans can
// overlap.
func (d *piiScan) find(text, key string) []span {
	t := &piiText{piiScan: d, text: text, key: asciiLower(key)}
	for i := 0; i < len(text); {
		switch starts[text[i]] {
		case startsWord:
			i = t.word(i)
		case startsNumber:
			i = t.number(i)
		case startsDomain:
			t.email(i)
			i++
		case startsColon:
			t.ipv6(i)
			i++
		default:
			i++
		}
	}
	if d.on[piiAWSKey] {
		t.awsSecrets()
	}
	t.keyed()
	return t.found
}

// keyed looks at the whole text, when the member that holds it says what it is.
func (t *piiText) keyed() {
	if t.key == "" || len(t.text) > 256 {
		return
	}
	whole := func(kind int, c *class, least, most, digits int, names ...string) {
		if end, ok := t.value(0, c, least, most, digits); ok && end == len(t.text) && hasName(t.key, names) {
			t.add(kind, 0, end, rankNamed)
		}
	}
	whole(piiAPIKey, keyChars, 20, 256, 1, "api_key", "apikey", "api-key", "api_token", "apitoken", "access_key", "accesskey", "access_token", "accesstoken")
	whole(piiMedicalRecord, alnumChars, 5, 12, 3, "mrn", "medical_record", "medicalrecord")
	whole(piiDriverLicense, alnumChars, 5, 20, 4, "driver_license", "driverlicense", "drivers_license", "driverslicense", "license_number", "licensenumber")
}

func (t *piiText) add(kind, start, end, rank int) {
	if t.on[kind] {
		t.found = append(t.found, span{start: start, end: end, kind: kind, rank: rank})
	}
}

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

// word looks at a word and gives its end.
func (t *piiText) word(start int) int {
	text := t.text
	end, hasDigit := start, false
	for ; end < len(text); end++ {
		switch starts[text[end]] {
		case startsWord:
			continue
		case startsNumber:
			if text[end] != '+' {
				hasDigit = true
				continue
			}
		}
		break
	}
	if hasDigit {
		t.code(start, end)
		return end
	}
	if end-start < 2 {
		return end
	}
	// The labels that start with two letters.
	switch uint16(text[start]|0x20)<<8 | uint16(text[start+1]|0x20) {
	case 'd'<<8 | 'r', 'd'<<8 | 'l', 'l'<<8 | 'i':
		t.license(start, end)
	case 'd'<<8 | 'a', 'd'<<8 | 'o', 'b'<<8 | 'i', 'b'<<8 | 'o':
		t.birth(start, end)
	case 'm'<<8 | 'e', 'm'<<8 | 'r':
		t.medical(start, end)
	case 'a'<<8 | 'p', 'a'<<8 | 'c':
		t.apiKey(start, end)
	}
	return end
}

// code looks at a word with digits in it.
func (t *piiText) code(start, end int) {
	w := t.text[start:end]
	if len(w) == 20 && (strings.HasPrefix(w, "AKIA") || strings.HasPrefix(w, "ASIA")) && all(w, upperDigits) {
		t.add(piiAWSKey, start, end, rankSure)
	}
	if len(w) >= 4 && t.on[piiBankAccount] {
		t.iban(start)
	}
	letters := 0
	for letters < len(w) && isUpper(w[letters]) {
		letters++
	}
	switch n := len(w) - letters; {
	case !t.on[piiPassport]:
	case len(w) >= 6 && len(w) <= 11 && all(w, upperDigits) && t.named(start, passportNames):
		t.add(piiPassport, start, end, rankNamed)
	case (letters == 1 || letters == 2) && n >= 6 && n <= 9 && all(w[letters:], digitChars) && !t.joined(start, end):
		t.add(piiPassport, start, end, rankForm)
	}
}

var (
	digitChars = classOf(digits)
	alnumChars = classOf(uppers + lowers + digits)
	keyChars   = classOf(uppers + lowers + digits + "-_")
)

func all(s string, c *class) bool {
	for i := range len(s) {
		if !c[s[i]] {
			return false
		}
	}
	return true
}

// joined reports whether a word is part of a longer name, such as INV-AB123456.
func (t *piiText) joined(start, end int) bool {
	return start > 0 && strings.IndexByte("-_./#@", t.text[start-1]) >= 0 ||
		end+1 < len(t.text) && strings.IndexByte("-_./@", t.text[end]) >= 0 && isWord(t.text[end+1])
}

// label passes one of the words at start, what may stand between a name and its
// value, and gives where the value starts. The words are in lower case.
func (t *piiText) label(start int, between string, words ...string) (int, bool) {
	rest := t.text[start:]
	for _, w := range words {
		if len(rest) <= len(w) || !hasPrefixFold(rest, w) || isWord(rest[len(w)]) && isWord(w[len(w)-1]) {
			continue
		}
		i := start + len(w)
		from := i
		for i < len(t.text) && strings.IndexByte(between, t.text[i]) >= 0 {
			i++
		}
		if i > from {
			return i, true
		}
	}
	return 0, false
}

// hasPrefixFold is strings.HasPrefix for a prefix in lower case, of ASCII.
func hasPrefixFold(s, prefix string) bool {
	for i := range len(prefix) {
		c := s[i]
		if isUpper(c) {
			c |= 0x20
		}
		if c != prefix[i] {
			return false
		}
	}
	return true
}

// value gives the end of a value of a class at start, if it has a length from
// least to most and at least so many digits.
func (t *piiText) value(start int, c *class, least, most, digitsLeast int) (int, bool) {
	end, n := start, 0
	for end < len(t.text) && c[t.text[end]] {
		if isDigit(t.text[end]) {
			n++
		}
		end++
	}
	size := end - start
	return end, size >= least && size <= most && n >= digitsLeast
}

func (t *piiText) license(start, _ int) {
	if i, ok := t.label(start, "#: \t=", "driver's license number", "driver's license no.", "driver's license", "drivers license", "driver license number", "driver license", "license number", "license", "dl"); ok && t.on[piiDriverLicense] {
		if end, ok := t.value(i, alnumChars, 5, 20, 4); ok {
			t.add(piiDriverLicense, start, end, rankNamed)
		}
	}
}

func (t *piiText) medical(start, _ int) {
	if i, ok := t.label(start, "#: \t=", "medical record number", "medical record no.", "medical record", "mrn"); ok && t.on[piiMedicalRecord] {
		if end, ok := t.value(i, alnumChars, 5, 12, 3); ok {
			t.add(piiMedicalRecord, start, end, rankNamed)
		}
	}
}

func (t *piiText) apiKey(start, _ int) {
	if i, ok := t.label(start, ": \t='\"", "api_key", "api-key", "apikey", "api_token", "api-token", "access_key", "access-key", "accesskey", "access_token", "access-token", "accesstoken"); ok && t.on[piiAPIKey] {
		if end, ok := t.value(i, keyChars, 20, 1<<20, 1); ok {
			t.add(piiAPIKey, start, end, rankNamed)
		}
	}
}

func (t *piiText) birth(start, _ int) {
	if i, ok := t.label(start, ": \t", "date of birth", "dob", "birthday", "birth date", "birthdate", "born on", "born"); ok && t.on[piiDateOfBirth] {
		if end, ok := t.date(i); ok {
			t.add(piiDateOfBirth, start, end, rankNamed)
		}
	}
}

// date passes a date written with digits.
func (t *piiText) date(i int) (int, bool) {
	var parts [3]int
	for n := range parts {
		from := i
		for i < len(t.text) && isDigit(t.text[i]) && i-from < 4 {
			i++
		}
		if parts[n] = i - from; parts[n] == 0 {
			return 0, false
		}
		if n < 2 {
			if i >= len(t.text) || strings.IndexByte("-/.", t.text[i]) < 0 {
				return 0, false
			}
			i++
		}
	}
	yearLast := parts[0] <= 2 && parts[1] <= 2 && (parts[2] == 2 || parts[2] == 4)
	yearFirst := parts[0] == 4 && parts[1] <= 2 && parts[2] <= 2
	return i, (yearLast || yearFirst) && !wordAfter(t.text, i)
}

// awsSecrets finds 40 characters of base64 that look random.
func (t *piiText) awsSecrets() {
	text := t.text
	base64Chars.runs(text, 40, func(start, end int) {
		run := text[start:end]
		if len(run) != 40 || strings.ContainsAny(run, "_-") {
			return
		}
		if _, named := awsName(text, start, t.key); named || looksRandom(run, text, start, t.key) || isAWSSecret(run) && called(text, start, t.key) >= 0 {
			t.add(piiAWSKey, start, end, rankSure)
		}
	})
}

// isAWSSecret judges 40 characters without a name: mixed as chance mixes them.
func isAWSSecret(run string) bool {
	upper, lower, digit := mixture(run)
	return upper > 4 && lower > 4 && digit > 0 && entropy(run) >= 4.4
}

// email looks at both sides of an @.
func (t *piiText) email(at int) {
	text := t.text
	start := at
	for start > 0 && localChars[text[start-1]] {
		start--
	}
	for start < at && strings.IndexByte(".%+-'", text[start]) >= 0 {
		start++
	}
	dot, end, ok := domain(text, at)
	if start == at || !ok || isMasked(text, start, at) {
		return
	}
	switch strings.ToLower(text[dot+1 : end]) {
	case "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js": // logo@2x.png
		return
	}
	if text[start:at] == "git" && end+1 < len(text) && text[end] == ':' && isWord(text[end+1]) {
		return // git@host:path is no one's
	}
	t.add(piiEmail, start, end, rankSure)
}

// domain passes the name of a host behind an @, up to the last part of it that
// can be a top level: what follows, as in a@b.example-c or a@b.example.7, is
// another word.
func domain(text string, at int) (dot, end int, ok bool) {
	end = at + 1
	for end < len(text) && domainChars[text[end]] && !strings.HasPrefix(text[end:], "..") {
		end++
	}
	for {
		dot = at + 1 + strings.LastIndexByte(text[at+1:end], '.')
		if dot <= at+1 {
			return 0, 0, false
		}
		last := dot + 1
		for last < end && (isUpper(text[last]) || isLower(text[last]) || text[last] >= 0x80) {
			last++
		}
		if last-dot > 2 && !wordAfter(text, last) {
			return dot, last, true
		}
		end = dot
	}
}

// isMasked reports whether the name of an address is what a mask of ours leaves of
// it. Stars alone are how Markdown says that something matters.
func isMasked(text string, start, at int) bool {
	head, ok := strings.CutSuffix(text[:start], "***")
	return ok && utf8.RuneCountInString(text[start:at]) == 1 && head != "" && strings.IndexByte(" \t\n*", head[len(head)-1]) < 0
}

var (
	localChars  = withHighBytes(uppers + lowers + digits + "._%+-'")
	domainChars = withHighBytes(uppers + lowers + digits + ".-")
)

// withHighBytes adds all that is beyond ASCII: addresses have letters of any
// script.
func withHighBytes(bytes string) *class {
	c := classOf(bytes)
	for b := 0x80; b < 0x100; b++ {
		c[b] = true
	}
	return c
}

// maxIPv6 is more than an address has: each colon of a text may start the look
// at one, so that none may go on to the end.
const maxIPv6 = 64

var ipv6Chars = classOf(digits + "abcdefABCDEF:.")

// ipv6 looks at the address around its first colon.
func (t *piiText) ipv6(colon int) {
	if !t.on[piiIPAddress] {
		return
	}
	text := t.text
	start := colon
	for start > 0 && hexChars[text[start-1]] {
		start--
	}
	end := colon
	for end < len(text) && end-start < maxIPv6 && ipv6Chars[text[end]] {
		end++
	}
	end = start + len(strings.TrimRight(text[start:end], ".:"))
	if start > 0 && (isWord(text[start-1]) || text[start-1] == ':') || wordAfter(text, end) || end < colon+2 {
		return
	}
	s := text[start:end]
	addr, err := netip.ParseAddr(s)
	if err != nil || !addr.Is6() {
		return
	}
	// dead::beef is as likely a name in C++.
	if strings.ContainsAny(s, digits) && (strings.Count(s, ":") > 2 || strings.HasPrefix(s, "::") || len(s) > 5) {
		t.add(piiIPAddress, start, end, rankSure)
	}
}
