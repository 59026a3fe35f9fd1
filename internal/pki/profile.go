package pki

import (
	"fmt"
	"time"
)

// Profile is a set of defaults.
type Profile struct {
	name    string
	keyType KeyType
	days    int // of leaves
	caDays  int
	caCN    string
}

// GuideProfile has the values of the guide: RSA 4096, 825 days.
func GuideProfile() Profile {
	return Profile{name: "guide", keyType: RSA4096, days: 825, caDays: 825, caCN: "MCP-Gateway-CA"}
}

// ModernProfile has small keys and short lives: ECDSA P-256, leaves of 90
// days, a CA of five years with its generation in the name, so that a later
// one is told apart.
func ModernProfile() Profile {
	return Profile{name: "modern", keyType: ECDSAP256, days: 90, caDays: 5 * 365, caCN: "MCP-Gateway-CA G1"}
}

// ParseProfile finds a profile by its name, guide or modern.
func ParseProfile(name string) (Profile, error) {
	for _, p := range []Profile{GuideProfile(), ModernProfile()} {
		if p.name == name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("profile %q is neither guide nor modern", name)
}

// Request says what certificates to make. The zero value is the guide's.
type Request struct {
	// Profile gives the defaults of the others; the zero value is GuideProfile.
	Profile Profile

	// KeyType is that of every key made; empty means the profile's.
	KeyType KeyType

	// Days is how long leaves are valid, from now; 0 means the profile's.
	Days int

	// CADays is how long a new CA is valid; 0 means the larger of the
	// profile's and Days.
	CADays int

	// SANs are put into each leaf, beside its own.
	SANs SANs

	// TrustDomain is that of the SPIFFE ids; empty means mcp.local.
	TrustDomain string

	// Encrypt encrypts new keys with the tree's password.
	Encrypt bool
}

// DefaultTrustDomain is the trust domain of SPIFFE ids unless another is asked for.
const DefaultTrustDomain = "mcp.local"

// appleDays is the longest life of a server certificate that Apple's platforms accept.
const appleDays = 825

// filled returns r with each default put in.
func (r Request) filled() Request {
	if r.Profile == (Profile{}) {
		r.Profile = GuideProfile()
	}
	if r.KeyType == "" {
		r.KeyType = r.Profile.keyType
	}
	if r.Days == 0 {
		r.Days = r.Profile.days
	}
	if r.CADays == 0 {
		r.CADays = max(r.Profile.caDays, r.Days)
	}
	if r.TrustDomain == "" {
		r.TrustDomain = DefaultTrustDomain
	}
	return r
}

// MaxDays keeps dates within what a certificate can hold (the year 9999).
const MaxDays = 1_000_000

func checkDays(days int) error {
	if days < 1 || days > MaxDays {
		return fmt.Errorf("a certificate cannot be valid for %d days: at least 1, at most %d", days, MaxDays)
	}
	return nil
}

// addDays counts days of 24 hours.
func addDays(t time.Time, days int) time.Time { return t.UTC().AddDate(0, 0, days) }
