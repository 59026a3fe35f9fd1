package mtls

import (
	"log/slog"
	"time"
)

// Profile says how strictly a peer's certificates are judged.
type Profile string

// The profiles. Empty means Compat.
const (
	// Compat accepts what the guide's reference implementation makes (X.509 v1,
	// no extended key usage), with one warning per certificate.
	Compat Profile = "compat"

	// Strict refuses every defect that strictDefect knows.
	Strict Profile = "strict"
)

// Client certificate requirements, as the guide's ssl_cert_reqs counts them.
const (
	CertNone     = 0 // none is asked for
	CertOptional = 1 // asked for; verified if given
	CertRequired = 2 // required and verified
)

// ServerConfig is what a plugin server's administrator decides.
type ServerConfig struct {
	// CertFile and KeyFile are PEM files; both are required.
	CertFile, KeyFile string

	// KeyPassword decrypts KeyFile; nil when it is not encrypted.
	KeyPassword []byte

	// CABundle is the PEM file of the CAs whose clients are accepted; the
	// system's roots are never added. Required unless ClientAuth is CertNone.
	CABundle string

	// ClientAuth is CertNone, CertOptional or CertRequired.
	ClientAuth int

	// AllowedClients narrows whom the CAs vouch for: a common name, or
	// "dns:NAME" or "uri:URI" for a SAN. Nil does not narrow; an empty list
	// that is not nil admits nobody.
	AllowedClients []string

	// Profile judges client certificates; "" means Compat.
	Profile Profile

	// Name says how errors and warnings name a field (certfile, keyfile,
	// keyfile_password, ca_bundle, ssl_cert_reqs, allowed_clients,
	// peer_profile), so that they can point to its source. Nil uses the field's
	// own name.
	Name func(field string) string
}

// ClientConfig is what a gateway's administrator decides about one plugin.
type ClientConfig struct {
	// CertFile and KeyFile are PEM files: both, or neither for a client that
	// offers no certificate (a warning).
	CertFile, KeyFile string

	// KeyPassword decrypts KeyFile; nil when it is not encrypted.
	KeyPassword []byte

	// CABundle is the PEM file of the CAs whose servers are accepted, and no
	// others; "system" means the system's roots. Required when Verify is set.
	CABundle string

	// Verify false checks nothing at all: not the chain, not the name, not the
	// identity. It is a warning at each start.
	Verify bool

	// CheckHostname also demands that the certificate's SANs cover the host name.
	CheckHostname bool

	// ServerName is the host name to verify; "" means the host that is dialled.
	ServerName string

	// Plugin is the plugin whose server has to answer. Empty, as for a bare URL,
	// accepts any identity.
	Plugin string

	// Identity names another plugin than Plugin, for a server that serves
	// several; "any" accepts every identity, as the guide's reference does.
	Identity string

	// Profile judges server certificates; "" means Compat.
	Profile Profile

	// Name is as in ServerConfig, for certfile, keyfile, keyfile_password,
	// ca_bundle, verify, check_hostname, server_name, identity and peer_profile.
	Name func(field string) string
}

// Options are what the process, not the administrator, chooses. A nil
// *Options is the zero value.
type Options struct {
	// Logger gets warnings (start), refusals (INFO, one line each) and whole
	// handshakes (DEBUG). Nil logs nothing.
	Logger *slog.Logger

	// Now is the clock that certificates are judged by; nil is time.Now.
	Now func() time.Time

	// Trace is told of handshakes and closed connections; nil is nobody.
	Trace *Trace

	// HandshakeTimeout bounds one handshake; zero means 10 s.
	HandshakeTimeout time.Duration

	// DialTimeout bounds the TCP connection, before the handshake, on the
	// client; zero means 10 s.
	DialTimeout time.Duration

	// MaxHandshakes bounds the handshakes under way on a listener; zero means
	// 256. When all are taken the oldest gives way once it is a second old, so
	// that idle ones cannot keep others out. A connection counts here from its
	// first record on.
	MaxHandshakes int

	// MaxConns bounds the connections of a server, those in handshake too. For
	// one more, the oldest gives way that has said nothing, or is still in its
	// handshake after a second; without such, it is closed at once. Zero means 4096, negative no bound.
	MaxConns int

	// MaxAge is how long a server keeps a connection; zero means one hour,
	// negative no limit. A connection also ends when the peer's certificate
	// does. Some time before, Due reports it, so that it can end between two
	// requests.
	MaxAge time.Duration

	// SessionTickets lets sessions be resumed. Off by default: a full handshake
	// costs a millisecond, and what is resumed was decided in the past.
	SessionTickets bool

	// NextProtos are the application protocols; nil means http/1.1 alone, which
	// with a wide pool is faster here than h2.
	NextProtos []string

	maxVersion uint16 // tests only: zero is the newest
}

func (o *Options) filled() Options {
	var f Options
	if o != nil {
		f = *o
	}
	if f.Logger == nil {
		f.Logger = slog.New(slog.DiscardHandler)
	}
	if f.Now == nil {
		f.Now = time.Now
	}
	if f.Trace == nil {
		f.Trace = &Trace{}
	}
	if f.HandshakeTimeout <= 0 {
		f.HandshakeTimeout = 10 * time.Second
	}
	if f.DialTimeout <= 0 {
		f.DialTimeout = 10 * time.Second
	}
	if f.MaxHandshakes <= 0 {
		f.MaxHandshakes = 256
	}
	if f.MaxConns == 0 {
		f.MaxConns = 4096
	}
	if f.MaxAge == 0 {
		f.MaxAge = time.Hour
	}
	if f.NextProtos == nil {
		f.NextProtos = []string{"http/1.1"}
	}
	return f
}

// Trace is a set of callbacks; any may be nil. They are called from the
// goroutine at work, must not block and may run at the same time.
type Trace struct {
	// Handshake is told of each handshake that ended, well or not.
	Handshake func(HandshakeInfo)

	// Expired is told of each connection that a server closed for its age or
	// because the peer's certificate ended.
	Expired func(remote, reason string)
}

func (t *Trace) handshake(i HandshakeInfo) {
	if t.Handshake != nil {
		t.Handshake(i)
	}
}

// HandshakeInfo is one handshake.
type HandshakeInfo struct {
	// Remote is the peer's network address.
	Remote string

	// Peer is what the peer showed, as far as the handshake came.
	Peer Peer

	// Duration is how long it took.
	Duration time.Duration

	// Err is nil when it succeeded.
	Err error
}

func namer(name func(string) string) func(string) string {
	if name == nil {
		return func(field string) string { return field }
	}
	return name
}
