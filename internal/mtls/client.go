package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

const (
	clientRole = x509.ExtKeyUsageClientAuth
	serverRole = x509.ExtKeyUsageServerAuth
)

// identityAny as ClientConfig.Identity accepts whoever answers.
const identityAny = "any"

// Client is the calling side: it connects to one plugin's server. It is safe
// for concurrent use.
type Client struct {
	o        Options
	name     func(string) string
	snap     atomic.Pointer[clientSnapshot]
	sessions tls.ClientSessionCache // nil unless Options.SessionTickets
	warn     onceWarner
}

// clientSnapshot is one consistent state. It is never changed after it was
// stored.
type clientSnapshot struct {
	material
	verify, checkHostname bool
	serverName            string
	identity              string // the plugin that must answer; "" accepts any
	profile               Profile
}

// NewClient reads and checks the files of cfg. Errors are as NewServer's.
func NewClient(cfg ClientConfig, o *Options) (*Client, error) {
	opt := o.filled()
	snap, err := readClient(cfg, &opt)
	if err != nil {
		return nil, err
	}
	return newClient(snap, opt, namer(cfg.Name)), nil
}

func newClient(snap *clientSnapshot, o Options, name func(string) string) *Client {
	c := &Client{o: o, name: name}
	c.warn.log = o.Logger
	if o.SessionTickets {
		c.sessions = tls.NewLRUClientSessionCache(64)
	}
	c.snap.Store(snap)
	return c
}

func readClient(cfg ClientConfig, o *Options) (*clientSnapshot, error) {
	f := files{cfg.CertFile, cfg.KeyFile, cfg.CABundle, cfg.KeyPassword, namer(cfg.Name)}
	if err := cfg.check(f.name); err != nil {
		return nil, err
	}
	now := o.Now()
	snap := cfg.policy()
	if cfg.CertFile != "" {
		if err := snap.readPair(f, clientRole, now); err != nil {
			return nil, err
		}
	}
	if cfg.CABundle != "" {
		if err := snap.readBundle(f); err != nil {
			return nil, err
		}
	}
	snap.warnings(o.Logger, f, clientRole, cfg.Profile, now)
	cfg.warnings(o.Logger, f.name)
	return snap, nil
}

func (cfg *ClientConfig) policy() *clientSnapshot {
	snap := &clientSnapshot{
		verify: cfg.Verify, checkHostname: cfg.CheckHostname, serverName: cfg.ServerName,
		identity: cfg.Plugin, profile: cfg.Profile,
	}
	switch cfg.Identity {
	case "":
	case identityAny:
		snap.identity = ""
	default:
		snap.identity = cfg.Identity
	}
	return snap
}

func (cfg *ClientConfig) check(name func(string) string) error {
	const generate = "`sallyport certs gateway` makes certificate, key and ca.crt"
	switch {
	case cfg.CertFile == "" && cfg.KeyFile != "":
		return hint.Add(fmt.Errorf("%s is set without %s", name("keyfile"), name("certfile")), generate)
	case cfg.CertFile != "" && cfg.KeyFile == "":
		return hint.Add(fmt.Errorf("%s is set without %s", name("certfile"), name("keyfile")), generate)
	case cfg.Verify && cfg.CABundle == "":
		err := fmt.Errorf("%s is not set: there is nothing to verify the plugin server by", name("ca_bundle"))
		return hint.Add(err, "set it to the ca.crt of the CA that issued the server's certificate; `ca_bundle: system` asks for the system's roots")
	}
	return checkProfile(cfg.Profile, name)
}

func (cfg *ClientConfig) warnings(log *slog.Logger, name func(string) string) {
	if !cfg.Verify {
		log.Warn(name("verify")+" is false: nothing about the plugin server is checked, so anyone in between can read and answer calls",
			"plugin", cfg.Plugin)
	}
	if cfg.CertFile == "" {
		log.Warn(name("certfile")+" is not set: no client certificate is offered, and a plugin server that requires one will refuse",
			"plugin", cfg.Plugin)
	}
	if cfg.Verify && !cfg.CheckHostname && cfg.ServerName != "" {
		log.Warn(name("server_name")+" is not verified, because "+name("check_hostname")+" is false", "plugin", cfg.Plugin)
	}
}

// Dial connects to addr (host:port) and does the handshake. The connection is
// a *tls.Conn and the caller's; it is cut when the server's certificate, or its
// CA's, expires. The error is an *Error, unless ctx ended.
//
// In TLS 1.3 the server judges our certificate after Dial has returned: hand
// errors of the first reads to Explain.
func (c *Client) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", addr, err)
	}
	snap := c.snap.Load()
	raw, err := c.dialTCP(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	timed := &timedConn{Conn: raw}
	tc := tls.Client(timed, c.config(snap, host, addr, &timed.until))
	hctx, cancel := context.WithTimeout(ctx, c.o.HandshakeTimeout)
	defer cancel()
	start := time.Now()
	err = tc.HandshakeContext(hctx)
	took := time.Since(start)
	if err == nil {
		cs := tc.ConnectionState()
		c.log(addr, PeerInfo(cs), took, nil)
		timed.expire(tc, c.o.Now())
		return tc, nil
	}
	raw.Close()
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("connect to %s: %w", addr, ctx.Err())
	}
	e := c.handshakeError(addr, snap, err)
	p := PeerInfo(tc.ConnectionState())
	if e.Certificate != nil {
		q := peerOf(e.Certificate)
		q.Version, q.Cipher, q.Group, q.Resumed = p.Version, p.Cipher, p.Group, p.Resumed
		p = q
	}
	c.log(addr, p, took, e)
	return nil, e
}

func (c *Client) dialTCP(ctx context.Context, network, addr string) (net.Conn, error) {
	dctx, cancel := context.WithTimeout(ctx, c.o.DialTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(dctx, network, addr)
	if err == nil {
		return raw, nil
	}
	if ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return nil, fmt.Errorf("connect to %s: %w", addr, ctx.Err())
	}
	return nil, c.dialError(addr, err)
}

func (c *Client) log(addr string, p Peer, took time.Duration, err error) {
	attrs := []slog.Attr{slog.String("remote", addr), slog.Any("peer", p), slog.String("took", took.String())}
	text := "TLS handshake"
	if err != nil {
		text = "TLS handshake failed"
		attrs = append(attrs, slog.String("reason", err.Error()))
	}
	c.o.Logger.LogAttrs(context.Background(), slog.LevelDebug, text, attrs...)
	c.o.Trace.handshake(HandshakeInfo{Remote: addr, Peer: p, Duration: took, Err: err})
}

// config is the one place where Go's verification is off: it cannot leave out
// the host name and keep the rest. VerifyConnection does it all instead, on
// resumed sessions too. Only verify: false skips it.
// until is set to the time when the server is not believed any more.
func (c *Client) config(snap *clientSnapshot, host, addr string, until *time.Time) *tls.Config {
	cfg := c.o.baseConfig()
	cfg.ServerName = host
	if snap.serverName != "" {
		cfg.ServerName = snap.serverName
	}
	cfg.ClientSessionCache = c.sessions
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) (err error) {
		if snap.verify {
			*until, err = c.verifyServer(snap, cs, cfg.ServerName, addr)
		}
		return err
	}
	// Unconditionally: with static Certificates Go sends none at all when the
	// server's list of CAs does not name the issuer, and the server could only
	// say "no certificate" instead of what is wrong with it.
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if snap.cert == nil {
			return &tls.Certificate{}, nil
		}
		return snap.cert, nil
	}
	return cfg
}

// verifyServer decides whether the server is who it has to be, and until when
// that holds.
func (c *Client) verifyServer(snap *clientSnapshot, cs tls.ConnectionState, host, addr string) (until time.Time, err error) {
	if len(cs.PeerCertificates) == 0 {
		return until, &refusal{kind: KindTLS, err: errors.New(verifyFailed + "the server sent no certificate")}
	}
	leaf := cs.PeerCertificates[0]
	chains, err := snap.trust.chains(cs.PeerCertificates, serverRole, c.o.Now())
	if err != nil {
		return until, &refusal{KindTLS, leaf, err}
	}
	if err := judge(chains, snap.profile, c.warn.warn); err != nil {
		return until, &refusal{KindTLS, leaf, err}
	}
	if snap.checkHostname {
		if err := c.checkHost(leaf, host, addr); err != nil {
			return until, &refusal{KindIdentity, leaf, err}
		}
	}
	if err := c.checkIdentity(snap, leaf); err != nil {
		return until, &refusal{KindIdentity, leaf, err}
	}
	return lasts(chains), nil
}

// checkHost compares host with the SANs, and nothing else: no current TLS
// library reads host names from the common name.
func (c *Client) checkHost(leaf *x509.Certificate, host, addr string) error {
	what := "Hostname mismatch"
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		what, host = "IP address mismatch", ip.WithZone("").String()
	}
	if leaf.VerifyHostname(host) == nil {
		return nil
	}
	err := fmt.Errorf(verifyFailed+"%s, certificate is not valid for '%s'; it is valid for %s", what, host, sanText(leaf))
	san := "dns:" + host
	if what == "IP address mismatch" {
		san = "ip:" + host
	}
	plugin := pluginOf(leaf)
	if plugin == "" {
		plugin = "NAME"
	}
	// The guide's three, in its order; hint.Of lists the outermost first.
	err = hint.Add(err, "or add the name to the certificate: `sallyport certs renew "+printable(plugin)+" --san "+san+"`")
	err = hint.Add(err, "or set "+c.name("check_hostname")+" to false: the plugin's identity is still verified")
	if name := reachableName(leaf); name != "" {
		_, port, _ := net.SplitHostPort(addr)
		err = hint.Add(err, "use a host name that the certificate holds, if it leads to this server: https://"+net.JoinHostPort(name, port))
	} else {
		err = hint.Add(err, "use a host name that the certificate holds: it holds none")
	}
	return err
}

// reachableName picks the SAN that the guide would use.
func reachableName(leaf *x509.Certificate) string {
	best := ""
	for _, name := range leaf.DNSNames {
		if strings.EqualFold(name, "localhost") {
			return name
		}
		if _, isPlugin := pluginOfDNS(name); best == "" && !isPlugin && !strings.Contains(name, "*") {
			best = printable(name)
		}
	}
	return best
}

// checkIdentity keeps plugin A from answering for plugin B: every certificate
// of the guide holds localhost, so the host name alone does not tell them apart.
func (c *Client) checkIdentity(snap *clientSnapshot, leaf *x509.Certificate) error {
	if snap.identity == "" || speaksFor(leaf, snap.identity) {
		return nil
	}
	names := identities(leaf)
	if len(names) == 0 {
		if snap.checkHostname {
			return nil // it names no plugin, and its host name was verified
		}
		err := fmt.Errorf(verifyFailed+"identity missing, the certificate names no plugin, so with %s false nothing shows that it is '%s'; it is valid for %s",
			c.name("check_hostname"), snap.identity, sanText(leaf))
		err = hint.Add(err, "set "+c.name("identity")+" to any to accept every certificate of the CA")
		return hint.Add(err, "set "+c.name("check_hostname")+" to true, or issue the certificate anew: `sallyport certs plugin "+snap.identity+"`")
	}
	other := printable(names[0])
	err := fmt.Errorf(verifyFailed+"identity mismatch, the certificate is that of plugin '%s', not of '%s'", other, snap.identity)
	err = hint.Add(err, "if that server serves both, set "+c.name("identity")+" to "+other+" (or to any)")
	return hint.Add(err, "check that the url of "+snap.identity+" leads to its own server, and that the server shows the certificate that `sallyport certs plugin "+snap.identity+"` makes")
}

// timedConn is a raw connection that ends with the server's certificate, or its
// CA's.
type timedConn struct {
	net.Conn
	until time.Time // set in the handshake; zero: nothing was believed that could expire
	timer atomic.Pointer[time.Timer]
}

func (t *timedConn) expire(tc *tls.Conn, now time.Time) {
	if !t.until.IsZero() {
		t.timer.Store(time.AfterFunc(t.until.Sub(now), func() { _ = tc.Close() }))
	}
}

// NetConn returns the connection below: a client that keeps connections looks
// at its socket to see whether the server has closed it.
func (t *timedConn) NetConn() net.Conn { return t.Conn }

// Close also stops the clock.
func (t *timedConn) Close() error {
	if timer := t.timer.Load(); timer != nil {
		timer.Stop()
	}
	return t.Conn.Close()
}
