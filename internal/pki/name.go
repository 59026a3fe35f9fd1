package pki

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// maxName leaves room for "mcp-plugin-" in a DNS label of at most 63 bytes.
const maxName = 52

var nameForm = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)

// CheckName says why no certificate can be made for a plugin of this name, or
// returns nil. The name becomes a folder, a common name, DNS names and a
// SPIFFE id, so what is special to any of them is refused; so is each name
// that would let a plugin's certificate pass for something else.
//
// The error does not say where the name comes from: that is the caller's.
func CheckName(name string) error {
	err := checkName(name)
	if err == nil {
		return nil
	}
	return hint.Add(fmt.Errorf("plugin name %q: %w", name, err),
		"plugin names hold letters, digits and, between them, '-', '_' and '.'; rename the plugin")
}

func checkName(name string) error {
	switch _, ipErr := netip.ParseAddr(name); {
	case name == "":
		return errors.New("it is empty")
	case ipErr == nil:
		return errors.New("an IP address is no plugin name")
	case len(name) > maxName:
		return fmt.Errorf("it has %d characters, at most %d fit into mcp-plugin-<name>", len(name), maxName)
	case !nameForm.MatchString(name):
		return errors.New("only letters, digits, '-', '_' and '.' are allowed, the first and the last a letter or digit")
	case strings.Contains(name, ".."):
		return errors.New("\"..\" is not allowed")
	case strings.EqualFold(name, "localhost"), strings.EqualFold(name, gatewayCN), strings.EqualFold(name, "any"):
		return errors.New("this name is reserved")
	case len(name) >= len(pluginPrefix) && strings.EqualFold(name[:len(pluginPrefix)], pluginPrefix):
		return fmt.Errorf("names must not start with %q, which marks certificates of plugins", pluginPrefix)
	}
	return nil
}

// A NameError is one name of a list that cannot be used.
type NameError struct {
	Index int // in the list
	Other int // the index of the name that it clashes with, or -1
	Err   error
}

// CheckNames checks each name, and that no two are equal but for case: on
// some file systems they would share a folder, and DNS names have no case.
// The result is in the order of the list, nil when all is well.
func CheckNames(names []string) []NameError {
	var bad []NameError
	first := map[string]int{}
	for i, name := range names {
		if err := CheckName(name); err != nil {
			bad = append(bad, NameError{i, -1, err})
			continue
		}
		folded := strings.ToLower(name)
		other, seen := first[folded]
		switch {
		case !seen:
			first[folded] = i
		case names[other] == name:
			bad = append(bad, NameError{i, other, fmt.Errorf("plugin name %q: it is there twice", name)})
		default:
			bad = append(bad, NameError{i, other, fmt.Errorf("plugin name %q: it differs from %q only in case", name, names[other])})
		}
	}
	return bad
}

// CheckTrustDomain says why a SPIFFE id cannot have this trust domain.
func CheckTrustDomain(domain string) error {
	if strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return fmt.Errorf("trust domain %q: lower case letters, digits, '.', '-' and '_' are allowed", domain)
	}
	if err := checkDNS(domain); err != nil {
		return fmt.Errorf("trust domain %q: %w", domain, err)
	}
	return nil
}
