package builtin

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
