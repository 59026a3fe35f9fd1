package mtls

import (
	"crypto/x509"
)

// Kind is what may cross to an MCP client about a failed connection
// (plugin-protocol §8): it names no address, subject or path. Remote and upstream
// pass these words on.
type Kind string

// The kinds of Error.
const (
	KindUnreachable Kind = "unreachable" // no connection: refused, reset, no such host
	KindTimeout     Kind = "timeout"     // no answer in time
	KindTLS         Kind = "tls"         // no common ground, or one side does not trust the other
	KindIdentity    Kind = "identity"    // somebody else answered
)

// Error is a connection to a plugin server that failed. Its text names the
// peer and the cause; hints are attached inside (see internal/hint).
type Error struct {
	// Kind says in one word what failed.
	Kind Kind

	// Peer is the address dialled; empty for errors after the handshake.
	Peer string

	// Certificate is what the peer showed; nil when it showed none.
	Certificate *x509.Certificate

	// Err is the cause.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	if e.Peer == "" {
		return e.Err.Error()
	}
	return "connect to " + e.Peer + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// refusal is a certificate that was judged and found wanting. It carries the
// certificate, since crypto/tls forgets it when a handshake fails.
type refusal struct {
	kind Kind
	cert *x509.Certificate
	err  error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }
