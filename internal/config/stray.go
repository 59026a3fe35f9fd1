package config

import (
	"regexp"
	"slices"
	"strings"
)

// tlsName finds the names of variables by which somebody asks for TLS.
var tlsName = regexp.MustCompile(`^PLUGINS_.*(SSL|TLS)`)

// tlsPrefix is how the names of TLS variables begin, in the ways that people
// write them from memory.
var tlsPrefix = regexp.MustCompile(`^PLUGINS_(SERVER_|CLIENT_)?(SSL|M?TLS)_`)

// unknownVariables warns of variables that begin with prefix, in any case, and
// are not known.
func (l *loader) unknownVariables(prefix string, known []string) {
	for _, name := range l.o.unknown(prefix, known) {
		l.warn(Position{File: l.file}, unknownText(name), knownHint(name, known))
	}
}

// strayTLS returns the variables that look like TLS and are none: in small
// letters, SERVER_TLS for SERVER_SSL, or without the SERVER_ or CLIENT_. Those
// that begin with other are the other side's.
func (l *loader) strayTLS(other string) []string {
	known := slices.Concat(listenVariables, mtlsVariables, []string{envRequireTLS})
	return slices.DeleteFunc(l.o.unknown("PLUGINS_", known), func(name string) bool {
		upper := strings.ToUpper(name)
		return !tlsName.MatchString(upper) || strings.HasPrefix(upper, other)
	})
}

func unknownText(name string) string {
	return "env " + name + " is set and is not known: it has no effect"
}

// knownHint names the variable that was meant.
func knownHint(name string, known []string) string {
	prefix := envSSL
	if !slices.Contains(known, envEnabled) {
		prefix = envMTLS
	}
	meant := tlsPrefix.ReplaceAllString(strings.ToUpper(name), prefix)
	if near := nearest(meant, known); near != "" {
		return "did you mean " + near + "?"
	}
	return "known are " + strings.Join(known, ", ")
}
