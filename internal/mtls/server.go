package mtls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/logs"
)

// maxRefusals is how many refused connections a second have a line each.
const maxRefusals = 10

// Server is the accepting side: a plugin server, or a gateway's own listener.
// It is safe for concurrent use.
type Server struct {
	o    Options
	snap atomic.Pointer[serverSnapshot]
	base *tls.Config // outlives snapshots, so that session tickets do too
	warn onceWarner

	refusals *logs.Flood

	mu    sync.Mutex
	conns map[*conn]struct{}
}

// serverSnapshot is one consistent state: own certificate, trust and policy.
// It is never changed after it was stored.
type serverSnapshot struct {
	material
	clientAuth int
	allowed    *allowList
	profile    Profile
	config     *tls.Config
}

// NewServer reads and checks the files of cfg: it refuses what would only
// fail, or be insecure, once clients come. The error names the field by
// cfg.Name, the file, and in a hint the way out.
func NewServer(cfg ServerConfig, o *Options) (*Server, error) {
	opt := o.filled()
	snap, err := readServer(cfg, &opt)
	if err != nil {
		return nil, err
	}
	return newServer(snap, opt), nil
}

// newServer makes a server of what was read.
func newServer(snap *serverSnapshot, o Options) *Server {
	s := &Server{o: o, conns: map[*conn]struct{}{}}
	s.warn.log = o.Logger
	s.refusals = logs.NewFlood(o.Logger, maxRefusals, "refused more TLS connections")
	s.base = &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: s.configForClient}
	s.store(snap)
	return s
}

// store makes snap the state of all handshakes from now on.
func (s *Server) store(snap *serverSnapshot) {
	snap.config = s.config(snap)
	s.snap.Store(snap)
}

func readServer(cfg ServerConfig, o *Options) (*serverSnapshot, error) {
	f := files{cfg.CertFile, cfg.KeyFile, cfg.CABundle, cfg.KeyPassword, namer(cfg.Name)}
	if err := cfg.check(f.name); err != nil {
		return nil, err
	}
	now := o.Now()
	snap := &serverSnapshot{clientAuth: cfg.ClientAuth, profile: cfg.Profile}
	var err error
	if snap.allowed, err = parseAllowed(cfg.AllowedClients); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name("allowed_clients"), err)
	}
	if err := snap.readPair(f, serverRole, now); err != nil {
		return nil, err
	}
	if cfg.CABundle != "" {
		if err := snap.readBundle(f); err != nil {
			return nil, err
		}
	}
	snap.warnings(o.Logger, f, serverRole, cfg.Profile, now)
	cfg.warnings(o.Logger, f.name)
	return snap, nil
}

// check refuses what needs no file to be seen.
func (cfg *ServerConfig) check(name func(string) string) error {
	const generate = "`sallyport certs plugin NAME` makes certificate, key and ca.crt"
	switch {
	case cfg.CertFile == "" && cfg.KeyFile == "" && cfg.CABundle != "":
		return hint.Add(fmt.Errorf("%s is set, but neither %s nor %s: TLS needs a certificate and its key",
			name("ca_bundle"), name("certfile"), name("keyfile")), generate)
	case cfg.CertFile == "" && cfg.KeyFile == "":
		return hint.Add(fmt.Errorf("TLS is on, but neither %s nor %s is set", name("certfile"), name("keyfile")), generate)
	case cfg.CABundle == systemBundle:
		// Every public CA would let its customers in.
		return hint.Add(fmt.Errorf("%s: %s is for clients: the system's roots cannot say which clients are yours", name("ca_bundle"), systemBundle),
			"set it to the ca.crt of the CA that issued the gateway's certificate")
	case cfg.CertFile == "":
		return hint.Add(fmt.Errorf("%s is set without %s", name("keyfile"), name("certfile")), generate)
	case cfg.KeyFile == "":
		return hint.Add(fmt.Errorf("%s is set without %s", name("certfile"), name("keyfile")), generate)
	case cfg.ClientAuth < CertNone || cfg.ClientAuth > CertRequired:
		return hint.Add(fmt.Errorf("%s: %d is none of 0, 1, 2", name("ssl_cert_reqs"), cfg.ClientAuth),
			"2 requires a client certificate, 1 verifies one if it is given, 0 asks for none")
	case cfg.ClientAuth != CertNone && cfg.CABundle == "":
		return hint.Add(fmt.Errorf("%s is %d, but %s is not set: there is nothing to verify clients by",
			name("ssl_cert_reqs"), cfg.ClientAuth, name("ca_bundle")), "set it to the ca.crt that lies beside the server's certificate")
	case cfg.ClientAuth == CertNone && cfg.AllowedClients != nil:
		return hint.Add(fmt.Errorf("%s is set, but %s is 0: no client is asked who it is", name("allowed_clients"), name("ssl_cert_reqs")),
			"set ssl_cert_reqs to 2, or remove the list")
	}
	return checkProfile(cfg.Profile, name)
}

func checkProfile(p Profile, name func(string) string) error {
	if p != "" && p != Compat && p != Strict {
		return fmt.Errorf("%s: %q is neither compat nor strict", name("peer_profile"), string(p))
	}
	return nil
}

func (cfg *ServerConfig) warnings(log *slog.Logger, name func(string) string) {
	field := name("ssl_cert_reqs")
	switch cfg.ClientAuth {
	case CertNone:
		log.Warn(field + " is 0: no client certificate is asked for, so anyone who reaches the port may call")
	case CertOptional:
		log.Warn(field + " is 1: a client without certificate is accepted, so anyone who reaches the port may call")
		if cfg.AllowedClients != nil {
			log.Warn(name("allowed_clients") + " does not apply to clients without certificate, which " + field + " 1 accepts")
		}
	}
	if cfg.AllowedClients != nil && len(cfg.AllowedClients) == 0 {
		log.Warn(name("allowed_clients") + " is empty: no client certificate is accepted")
	}
}

// aeadSuites are the TLS 1.2 suites with forward secrecy and an AEAD: what
// TLS 1.3 left of them. Go orders them itself.
func aeadSuites() []uint16 {
	return []uint16{
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
	}
}

// baseConfig holds what both roles share. CurvePreferences stays unset: Go's
// own choice includes X25519MLKEM768, and a list would freeze today's.
func (o *Options) baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, MaxVersion: o.maxVersion,
		CipherSuites:           aeadSuites(),
		Time:                   o.Now,
		NextProtos:             o.NextProtos,
		SessionTicketsDisabled: !o.SessionTickets,
	}
}

func (s *Server) config(snap *serverSnapshot) *tls.Config {
	c := s.o.baseConfig()
	c.Certificates = []tls.Certificate{*snap.cert}
	c.ClientCAs = snap.trust.pool
	switch snap.clientAuth {
	case CertNone:
		c.ClientAuth = tls.NoClientCert
	case CertOptional:
		c.ClientAuth = tls.VerifyClientCertIfGiven
	default: // the safe one
		c.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if c.ClientAuth != tls.NoClientCert && c.ClientCAs == nil {
		c.ClientCAs = x509.NewCertPool() // nil would mean the system's roots; this means nobody
	}
	c.VerifyConnection = func(cs tls.ConnectionState) error { return s.verifyClient(snap, cs) }
	return c
}

func (s *Server) configForClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	return s.snap.Load().config, nil
}

// verifyClient decides who the client is. crypto/tls calls it at the end of
// every handshake, resumed ones too.
func (s *Server) verifyClient(snap *serverSnapshot, cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		if snap.clientAuth >= CertRequired {
			return &refusal{kind: KindTLS, err: errNoCertificate} // Go refused it before; never rely on one lock
		}
		return nil
	}
	leaf := cs.PeerCertificates[0]
	if snap.clientAuth == CertNone {
		return nil // a ticket of a time when one was asked for: it counts for nothing
	}
	chains := cs.VerifiedChains
	if cs.DidResume {
		// The chains in a ticket were built on the roots of its day.
		var err error
		if chains, err = snap.trust.chains(cs.PeerCertificates, clientRole, s.o.Now()); err != nil {
			return &refusal{KindTLS, leaf, err}
		}
	}
	if name := pluginOf(leaf); name != "" {
		// A plugin's key speaks for that plugin alone. Without this a plugin
		// server that was broken into could call all others as the gateway.
		return &refusal{KindIdentity, leaf, fmt.Errorf(
			"certificate of plugin %s: a plugin's certificate never counts as a gateway's", printable(name))}
	}
	if err := judge(chains, snap.profile, s.warn.warn); err != nil {
		return &refusal{KindTLS, leaf, err}
	}
	if err := snap.allowed.admits(leaf); err != nil {
		return &refusal{KindIdentity, leaf, err}
	}
	return nil
}

var errNoCertificate = errors.New("client sent no certificate")

// onceWarner warns of each certificate once, and of thousands not at all
// again: it forgets everything when it is full.
type onceWarner struct {
	log  *slog.Logger
	mu   sync.Mutex
	seen map[string]struct{}
}

const maxSeen = 4096

func (w *onceWarner) warn(cert *x509.Certificate, why string) {
	key := fingerprint(cert)
	w.mu.Lock()
	_, seen := w.seen[key]
	if !seen {
		if w.seen == nil || len(w.seen) >= maxSeen {
			w.seen = map[string]struct{}{}
		}
		w.seen[key] = struct{}{}
	}
	w.mu.Unlock()
	if seen {
		return
	}
	attrs := []any{}
	for _, a := range peerOf(cert).certAttrs() {
		attrs = append(attrs, a)
	}
	w.log.Warn(why, append(attrs, slog.Time("not_after", cert.NotAfter))...)
}

// Connections returns how many connections are open, those in handshake too.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// expiry returns when a connection of this peer should end between requests
// (soft) and when it is cut (hard). Zero times mean never.
func (s *Server) expiry(cs tls.ConnectionState, now time.Time) (soft, hard time.Time, why string) {
	if s.o.MaxAge > 0 {
		hard, why = now.Add(s.o.MaxAge), "maximum age reached"
	}
	if end := s.believed(cs, now); !end.IsZero() && (hard.IsZero() || end.Before(hard)) {
		hard, why = end, "the peer's certificate has expired, or its CA's"
	}
	if hard.IsZero() {
		return
	}
	return hard.Add(-softLead(hard.Sub(now))), hard, why
}

// believed returns until when the client counts as verified; zero for one that
// never was.
func (s *Server) believed(cs tls.ConnectionState, now time.Time) time.Time {
	snap := s.snap.Load()
	if len(cs.PeerCertificates) == 0 || snap.clientAuth == CertNone {
		return time.Time{}
	}
	chains := cs.VerifiedChains
	if cs.DidResume { // those of the ticket are built on the roots of its day
		chains, _ = snap.trust.chains(cs.PeerCertificates, clientRole, now)
	}
	if end := lasts(chains); !end.IsZero() {
		return end
	}
	return cs.PeerCertificates[0].NotAfter // not verified: the bundle has changed since the handshake
}
