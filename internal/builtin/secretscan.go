package builtin

import (
	"encoding/base64"
	"math"
	"strings"
	"unicode/utf8"
)

// The kinds of secrets, in the order in which they are reported.
const (
	awsAccessKeyID = iota
	awsSecretAccessKey
	googleAPIKey
	slackToken
	githubToken
	stripeSecretKey
	privateKeyBlock
	jwtLike
	hexSecret32
	base64Secret24
	secretKinds
)

// secretNames are the keys of `enabled`.
var secretNames = [secretKinds]string{
	"aws_access_key_id", "aws_secret_access_key", "google_api_key", "slack_token",
	"github_token", "stripe_secret_key", "private_key_block", "jwt_like", "hex_secret_32", "base64_24",
}

// secretScan finds secrets of the kinds that are on.
type secretScan struct{ on [secretKinds]bool }

// find gives the secrets in a text that a member named key holds, in order and
// without overlaps.
func (d *secretScan) find(text, key string) []span {
	found := d.findIn(text, key)
	if plain, ok := spell(text); ok {
		for _, s := range d.findIn(plain.text, key) {
			found = append(found, plain.original(s))
		}
	}
	return settle(found)
}

func (d *secretScan) findIn(text, key string) (found []span) {
	add := func(kind, start, end int) {
		if d.on[kind] {
			// What has a form of its own is better evidence than what looks random.
			found = append(found, span{start: start, end: end, kind: kind, rank: secretKinds - kind})
		}
	}
	prefixed(text, "AKIA", add, awsAccessKeyID, upperDigits, 16, 16)
	prefixed(text, "ASIA", add, awsAccessKeyID, upperDigits, 16, 16)
	prefixed(text, "AIza", add, googleAPIKey, urlSafe, 35, 35)
	if strings.Contains(text, "xox") {
		for _, prefix := range []string{"xoxa-", "xoxb-", "xoxp-", "xoxq-", "xoxr-"} {
			prefixed(text, prefix, add, slackToken, slackChars, 10, 250)
		}
	}
	for _, prefix := range []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"} {
		prefixed(text, prefix, add, githubToken, alnumChars, 36, 255)
	}
	prefixed(text, "github_pat_", add, githubToken, urlSafe, 22, 255)
	for _, prefix := range []string{"sk_live_", "sk_test_", "rk_live_", "rk_test_"} {
		prefixed(text, prefix, add, stripeSecretKey, alnumChars, 16, 255)
	}
	privateKeys(text, add)
	jwts(text, add)
	randomRuns(text, strings.ToLower(key), add)
	return found
}

var (
	upperDigits = classOf(uppers + digits)
	urlSafe     = classOf(uppers + lowers + digits + "-_")
	slackChars  = classOf(uppers + lowers + digits + "-")
	base64Chars = classOf(uppers + lowers + digits + "+/-_")
	hexChars    = classOf(digits + "abcdefABCDEF")
)

// prefixed finds prefix and then from least to most bytes of a class, as a word.
func prefixed(text, prefix string, add func(kind, start, end int), kind int, c *class, least, most int) {
	for i := 0; ; {
		j := strings.Index(text[i:], prefix)
		if j < 0 {
			return
		}
		start := i + j
		end := start + len(prefix)
		i = end
		for end < len(text) && end-i <= most && c[text[end]] { // no further: the prefix may be of the class
			end++
		}
		end = min(end, i+most) // a word may end there, before a dash
		if n := end - i; !wordBefore(text, start) && n >= least && !wordAfter(text, end) {
			add(kind, start, end)
		}
	}
}

// privateKeys finds PEM blocks of private keys, to their end: what stands
// between the lines is the secret.
func privateKeys(text string, add func(kind, start, end int)) {
	const begin, dashes = "-----BEGIN ", "-----"
	var ends map[string]int // where each label ends last
	for i := 0; ; {
		j := strings.Index(text[i:], begin)
		if j < 0 {
			return
		}
		start := i + j
		i = start + len(begin)
		label, _, ok := strings.Cut(text[i:], dashes)
		if !ok || len(label) > 64 || !strings.Contains(label, "PRIVATE KEY") {
			continue
		}
		i += len(label) + len(dashes)
		end := i
		if ends == nil {
			ends = keyEnds(text)
		}
		if ends[label] > i {
			end = i + strings.Index(text[i:], "-----END "+label+dashes) + len("-----END ") + len(label) + len(dashes)
		} else { // cut off: what could be its body
			for end < len(text) && (base64Chars[text[end]] || strings.IndexByte("=\r\n\\ \t", text[end]) >= 0) {
				end++
			}
			end = i + len(strings.TrimRight(text[i:end], "\r\n\\ \t"))
		}
		add(privateKeyBlock, start, end)
		i = end
	}
}

// keyEnds gives by label the last place where a PEM block ends. Without it a text
// of beginnings would be searched to its end for each.
func keyEnds(text string) map[string]int {
	const start, dashes = "-----END ", "-----"
	ends := map[string]int{}
	for i := 0; ; {
		j := strings.Index(text[i:], start)
		if j < 0 {
			return ends
		}
		i += j + len(start)
		if label, _, ok := strings.Cut(text[i:], dashes); ok && len(label) <= 64 {
			ends[label] = i
		}
	}
}

// jwts finds three parts of base64, the first two of which start an object.
func jwts(text string, add func(kind, start, end int)) {
	for i := 0; ; {
		j := strings.Index(text[i:], "eyJ")
		if j < 0 {
			return
		}
		start := i + j
		end := start
		i = start + len("eyJ")
		if wordBefore(text, start) {
			continue
		}
		parts := 0
		for parts < 3 {
			from := end
			for end < len(text) && urlSafe[text[end]] {
				end++
			}
			if end-from < 10 || parts == 1 && !strings.HasPrefix(text[from:end], "eyJ") {
				break
			}
			parts++
			if parts < 3 && end < len(text) && text[end] == '.' {
				end++
			} else if parts < 3 {
				break
			}
		}
		if parts == 3 {
			add(jwtLike, start, end)
		}
		i = max(i, end)
	}
}

// randomRuns finds keys that have no form of their own: by how random they look
// and by what they are called.
func randomRuns(text, key string, add func(kind, start, end int)) {
	base64Chars.runs(text, 24, func(start, i int) {
		run := text[start:i]
		if all(run, hexChars) {
			if len(run) >= 32 && called(text, start, key) > 0 && entropy(run) >= 2.5 {
				add(hexSecret32, start, i)
			}
			return
		}
		end := i
		for end < len(text) && text[end] == '=' && end < i+2 {
			end++
		}
		if len(run) == 40 && !strings.ContainsAny(run, "_-") {
			if from, ok := awsName(text, start, key); ok {
				add(awsSecretAccessKey, from, i)
			}
		}
		if looksRandom(run, text, start, key) {
			add(base64Secret24, start, end)
		}
	})
}

// awsName reports whether 40 characters are called an AWS secret, and where the
// name starts.
func awsName(text string, start int, key string) (int, bool) {
	b := before(text, start, 64)
	if i := strings.LastIndex(b, "aws"); i >= 0 {
		if rest := b[i:]; strings.ContainsAny(rest, "=:") && (strings.Contains(rest, "secret") || strings.Contains(rest, "access")) {
			return start - len(b) + i, true
		}
	}
	return start, start == 0 && strings.Contains(key, "aws") && (strings.Contains(key, "secret") || strings.Contains(key, "access"))
}

// looksRandom judges a run of base64. One that is called a secret must only not
// be a word; one without a name must look like nothing but chance.
func looksRandom(run, text string, start int, key string) bool {
	upper, lower, digit := mixture(run)
	if digit == 0 || upper+lower == 0 || calls(asciiLower(run[:7])) < 0 { // as in sha512-…
		return false
	}
	bits := entropy(run)
	switch called(text, start, key) {
	case 1:
		return bits >= 3.2 && (digit > 1 || upper > 0 && lower > 0)
	case -1:
		return false
	}
	return len(run) >= 32 && len(run) <= 256 && upper > 2 && lower > 2 && digit > 2 &&
		bits >= 0.83*math.Log2(float64(min(len(run), 64))) && !decodesToText(run)
}

// mixture counts capitals, small letters and digits.
func mixture(run string) (upper, lower, digit int) {
	for i := range len(run) {
		switch c := run[i]; {
		case isUpper(c):
			upper++
		case isLower(c):
			lower++
		case isDigit(c):
			digit++
		}
	}
	return upper, lower, digit
}

// decodesToText reports whether a run of base64 is just text.
func decodesToText(run string) bool {
	run = run[:len(run)/4*4]
	b, err := base64.StdEncoding.DecodeString(run)
	if err != nil {
		if b, err = base64.URLEncoding.DecodeString(run); err != nil {
			return false
		}
	}
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		if r == utf8.RuneError && len(b) >= utf8.UTFMax || r < ' ' && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
		b = b[n:]
	}
	return true
}

var (
	secretWords = newWordList([]string{
		"secret", "token", "passw", "passphrase", "pwd", "apikey", "api key", "accesskey", "access key",
		"privatekey", "private key", "_key", "-key", "credential", "bearer", "authorization", "hmac", "encryption key", "signing key",
	})
	harmlessWords = newWordList([]string{
		"sha1", "sha256", "sha384", "sha512", "sha-", "md5", "blake", "digest", "checksum", "commit", "hash", "etag",
		"revision", "integrity", "fingerprint", "trace", "uuid", "guid", "base64,", "blob", "cursor",
		"page_token", "pagetoken", "page token", "next_token", "nexttoken", "continuation", "public_key", "public-key",
		"publickey", "public key", "ssh-rsa", "ssh-ed25519", "cache_key", "cache-key", "primary_key", "sort_key",
		"partition_key", "foreign_key", "idempotency-key", "idempotency_key",
	})
)

// called says what a run is called by what stands before it in its line, or by
// the member that holds it: 1 a secret, -1 something harmless, 0 neither.
func called(text string, start int, key string) int {
	b := before(text, start, 48)
	if c := calls(b); c != 0 {
		return c
	}
	return calls(key)
}

// calls looks at the words of a name, of which the last decides.
func calls(name string) int {
	secret, harmless := -1, -1
	for end := len(name); end > 0 && secret < 0 && harmless < 0; end-- {
		if secretWords.endsAt(name, end) {
			secret = end
		}
		if harmlessWords.endsAt(name, end) {
			harmless = end
		}
	}
	if t := strings.TrimRight(name, " \"'`:=>\\"); strings.HasSuffix(t, "key") && (len(t) == 3 || !isLower(t[len(t)-4])) {
		secret = max(secret, len(t))
	}
	switch {
	case secret > harmless:
		return 1
	case harmless >= 0:
		return -1
	}
	return 0
}
