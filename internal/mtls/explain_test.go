package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// testClient trusts ca and shows leaf (nil: none).
func testClient(ca *pkitest.CA, leaf *pkitest.Leaf, o Options) *Client {
	return newClient(&clientSnapshot{
		material: materialOf(leaf, ca), verify: true, checkHostname: true, serverName: "localhost", identity: "MyPlugin",
	}, o.filled(), source)
}

// onPort accepts connections on a port of its own and does f with each, until
// the test ends.
func onPort(t *testing.T, f func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestDialNamesWhatAnswered(t *testing.T) {
	ca := pkitest.NewCA(t)
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	unused, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := unused.Addr().String()
	unused.Close()
	held := make(chan net.Conn, 1)
	bare := func(cfg *tls.Config) string {
		cfg.Certificates = []tls.Certificate{ca.Plugin(t, "MyPlugin").TLS()}
		return onPort(t, func(c net.Conn) {
			defer c.Close()
			_ = tls.Server(c, cfg).HandshakeContext(t.Context())
			_, _ = io.Copy(io.Discard, c)
		})
	}
	noCert := func(version uint16) string {
		return onPort(t, func(c net.Conn) {
			defer c.Close()
			cfg := &tls.Config{
				MaxVersion:     version,
				GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil },
			}
			_ = tls.Server(c, cfg).HandshakeContext(t.Context())
			_, _ = io.Copy(io.Discard, c)
		})
	}
	for name, c := range map[string]struct {
		addr string
		kind Kind
		text string
		hint string
	}{
		"nobody listens": {refusing, KindUnreachable, "connection refused: nothing listens there", "lsof -i :"},
		"plain HTTP": {
			plain.Listener.Addr().String(), KindTLS,
			"server gave HTTP response to HTTPS client: the port does not speak TLS", "port+1000",
		},
		"another protocol": {
			onPort(t, func(c net.Conn) {
				fmt.Fprint(c, "220 mail.example ESMTP\r\n")
				_, _ = io.Copy(io.Discard, c)
				c.Close()
			}),
			KindTLS, "the server does not speak TLS on this port", "",
		},
		"silence": {
			onPort(t, func(c net.Conn) { held <- c }), KindTimeout, "no answer in time", "",
		},
		"closes at once": {
			onPort(t, func(c net.Conn) { c.Close() }), KindUnreachable, "the server closed the connection without an answer", "",
		},
		"resets": {
			onPort(t, func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() }),
			KindUnreachable, "the server closed the connection without an answer", "",
		},
		"TLS 1.1 alone": {
			bare(&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), KindTLS,
			`server answered "protocol version not supported": it speaks neither TLS 1.2 nor 1.3`, "",
		},
		"no certificate, TLS 1.3": {
			noCert(tls.VersionTLS13), KindTLS,
			`server answered "unrecognized name": it has no certificate to show`, "server's log",
		},
		"no certificate, TLS 1.2": {
			noCert(tls.VersionTLS12), KindTLS,
			`server answered "unrecognized name": it has no certificate to show`, "server's log",
		},
		"no common suite": {
			bare(&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256}}), KindTLS,
			`server answered "handshake failure": no common cipher suite or curve, or, in TLS 1.2, our certificate (` + gatewayName, "server's log",
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{}
			if name == "silence" {
				o.HandshakeTimeout = 50 * time.Millisecond
			}
			conn, err := testClient(ca, ca.Gateway(t), o).Dial(t.Context(), "tcp", c.addr)
			if err == nil {
				conn.Close()
				t.Fatal("connected")
			}
			e, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("%v is no *Error", err)
			}
			if want := "connect to " + c.addr + ": " + c.text; e.Kind != c.kind || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got  %s (%s)\nwant %s (%s)", err, e.Kind, want, c.kind)
			}
			if hints := strings.Join(hint.Of(err), "\n"); !strings.Contains(hints, c.hint) {
				t.Errorf("hints %q, want %q", hints, c.hint)
			}
		})
	}
	(<-held).Close()
}

func TestDialErrorsBeforeTheHandshake(t *testing.T) {
	c := testClient(pkitest.NewCA(t), nil, Options{})
	for name, f := range map[string]struct {
		err  error
		kind Kind
		text string
	}{
		"no such host": {&net.OpError{Op: "dial", Err: &net.DNSError{Name: "nowhere.invalid", IsNotFound: true}}, KindUnreachable, "no such host: nowhere.invalid"},
		"timeout":      {&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, KindTimeout, "no answer in time"},
		"no route":     {&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, KindUnreachable, "no route to host"},
	} {
		if got := c.dialError("h:1", f.err); got.Kind != f.kind || got.Error() != "connect to h:1: "+f.text {
			t.Errorf("%s: %v (%s)", name, got, got.Kind)
		}
		if cause := errors.Unwrap(f.err); !errors.Is(c.dialError("h:1", f.err), cause) {
			t.Errorf("%s: the cause is lost for errors.Is", name)
		}
	}
	if _, err := c.Dial(t.Context(), "tcp", "no-port"); err == nil || !strings.Contains(err.Error(), "missing port") {
		t.Errorf("address without port: %v", err)
	}
}

// Whoever gives up gets his own reason back, not a fault of the server.
func TestCancelledDialIsNoFaultOfTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := onPort(t, func(c net.Conn) { cancel(); _, _ = io.Copy(io.Discard, c); c.Close() })
	c := testClient(pkitest.NewCA(t), nil, Options{})
	for range 2 { // in the handshake, and before the connection
		_, err := c.Dial(ctx, "tcp", addr)
		if _, ours := errors.AsType[*Error](err); ours || !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
}

func TestExplainLeavesAloneWhatItDoesNotKnow(t *testing.T) {
	c := testClient(pkitest.NewCA(t), nil, Options{})
	known := &Error{Kind: KindTLS, Err: errors.New("x")}
	other := errors.New("HTTP 500")
	for _, err := range []error{nil, other, known, fmt.Errorf("post: %w", known)} {
		if got := c.Explain(err); got != err { //nolint:errorlint // the very same
			t.Errorf("%v became %v", err, got)
		}
	}
}

// Each alert that a server may send about our certificate, as the text of
// crypto/tls has it, wrapped as net/http would.
func TestExplainAlerts(t *testing.T) {
	ca := pkitest.NewCA(t)
	gateway := ca.Gateway(t)
	for alert, want := range map[string]struct{ with, without string }{
		"certificate required":           {"it requires a client certificate", "it requires a client certificate, and we sent none"},
		"unknown certificate authority":  {"it does not trust the CA of our certificate (" + gatewayName, "it does not trust the CA of our certificate"},
		"expired certificate":            {"is out of date by the server's clock (it is valid from ", "it says that a certificate has expired"},
		"bad certificate":                {"Possible causes: ", "Possible causes: "},
		"unknown certificate":            {"Possible causes: ", "Possible causes: "},
		"unsupported certificate":        {"Possible causes: ", "Possible causes: "},
		"access denied":                  {"Possible causes: ", "Possible causes: "},
		"revoked certificate":            {"has been revoked", "has been revoked"},
		"handshake failure":              {"no common cipher suite", "probably it requires a client certificate"},
		"protocol version not supported": {"neither TLS 1.2 nor 1.3", "neither TLS 1.2 nor 1.3"},
		"error decrypting message":       {"could not verify the signature of our certificate", "could not verify the signature"},
		"internal error":                 {"it ended the connection", "it ended the connection"},
	} {
		err := fmt.Errorf("Post %q: %w", "https://x", &net.OpError{Op: "remote error", Err: errors.New("tls: " + alert)})
		for _, c := range []struct {
			leaf *pkitest.Leaf
			want string
		}{{gateway, want.with}, {nil, want.without}} {
			got := testClient(ca, c.leaf, Options{}).Explain(err)
			e, ok := errors.AsType[*Error](got)
			if !ok || e.Kind != KindTLS || !strings.HasPrefix(got.Error(), fmt.Sprintf("server answered %q: ", alert)) || !strings.Contains(got.Error(), c.want) {
				t.Errorf("%s: %v", alert, got)
			}
		}
	}
}

// The guide's three ways out of a host name mismatch, in its order.
func TestHostnameMismatchHints(t *testing.T) {
	w := newWorld(t, mode{version: tls.VersionTLS13})
	terms := *w.client.snap.Load()
	terms.serverName = ""
	w.client.snap.Store(&terms)
	w.client.name = source
	_, err := w.client.Dial(t.Context(), "tcp", w.server.addr)
	_, port, _ := net.SplitHostPort(w.server.addr)
	want := []string{
		"use a host name that the certificate holds, if it leads to this server: https://localhost:" + port,
		"or set <check_hostname> to false: the plugin's identity is still verified",
		"or add the name to the certificate: `sallyport certs renew MyPlugin --san ip:127.0.0.1`",
	}
	if got := hint.Of(err); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("hints of %v:\n%s", err, strings.Join(got, "\n"))
	}
}

func TestIdentityMismatchHints(t *testing.T) {
	w := newWorld(t, mode{version: tls.VersionTLS13})
	terms := *w.client.snap.Load()
	terms.identity = "Wanted"
	w.client.snap.Store(&terms)
	w.client.name = source
	_, err := w.client.Dial(t.Context(), "tcp", w.server.addr)
	want := []string{
		"check that the url of Wanted leads to its own server, and that the server shows the certificate that `sallyport certs plugin Wanted` makes",
		"if that server serves both, set <identity> to MyPlugin (or to any)",
	}
	if got := hint.Of(err); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("hints of %v:\n%s", err, strings.Join(got, "\n"))
	}
}

// The files of the guide's folders are somebody's: the hint is the command that
// makes just these.
func TestMissingFileHints(t *testing.T) {
	const anywhere = "`sallyport certs all` makes the certificates that a plugin file needs; paths are relative to the working directory"
	const one = "` makes it, and `sallyport certs all` all that a gateway's plugin file needs; paths are relative to the working directory"
	for path, want := range map[string]string{
		"certs/mcp/plugins/My_Plugin-2.0/server.crt": "`sallyport certs plugin My_Plugin-2.0" + one,
		"certs/mcp/gateway/client.crt":               "`sallyport certs gateway" + one,
		"certs/mcp/plugins/a b/server.crt":           anywhere,
		"certs/mcp/plugins/server.crt":               anywhere,
		"plugins/P/server.crt":                       anywhere,
		"server.crt":                                 anywhere,
	} {
		path = filepath.Join(t.TempDir(), path)
		_, err := NewServer(ServerConfig{CertFile: path, KeyFile: path, CABundle: path, ClientAuth: CertRequired, Name: source}, nil)
		if got := hint.Of(err); len(got) != 1 || got[0] != want {
			t.Errorf("hints of %v: %q, want %q", err, got, want)
		}
	}
}

// A server's certificate that ends takes its connections along.
func TestClientConnectionEndsWithTheServersCertificate(t *testing.T) {
	w := newWorld(t, mode{version: tls.VersionTLS13})
	short := pkitest.PluginSpec("MyPlugin")
	short.NotAfter = w.clock.Now().Add(time.Hour)
	shown := w.serverSnapshot(t)
	shown.material = materialOf(w.ca.Leaf(t, short), w.ca)
	w.server.store(shown)
	// By the client's clock the hour is nearly over.
	w.client.o.Now = func() time.Time { return short.NotAfter.Add(-50 * time.Millisecond) }
	conn, err := w.client.Dial(t.Context(), "tcp", w.server.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("the read ended with %v", err)
	}
	if _, err := conn.Write([]byte("x")); err == nil {
		t.Error("the connection still takes writes")
	}
}

// A client without certificate still answers the server's request for one.
func TestServerThatAsksForNothing(t *testing.T) {
	w := newWorld(t, mode{version: tls.VersionTLS13})
	for _, auth := range []int{CertNone, CertOptional} {
		open := w.serverSnapshot(t)
		open.clientAuth = auth
		w.server.store(open)
		none := *w.client.snap.Load()
		none.material = materialOf(nil, w.ca)
		w.client.snap.Store(&none)
		if o := w.connect(t); o != (outcome{}) {
			t.Errorf("ssl_cert_reqs %d without certificate: %+v", auth, o)
		}
	}
	// What is given is verified all the same.
	wrong := *w.client.snap.Load()
	wrong.material = materialOf(w.ca.Wrong(t, pkitest.GatewaySpec(), pkitest.UnknownCA), w.ca)
	w.client.snap.Store(&wrong)
	if o := w.connect(t); o.serverReason == "" {
		t.Error("ssl_cert_reqs 1 accepted a certificate of an unknown CA")
	}
}
