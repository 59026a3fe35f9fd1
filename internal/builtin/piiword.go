package builtin

import "strings"

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
