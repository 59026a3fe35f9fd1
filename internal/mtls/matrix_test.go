package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// The refusal matrix: each wrong certificate, shown by a client and by a
// server, in TLS 1.2 and 1.3, in a fresh handshake and in one that tries to
// resume a session of a time when the certificate was acceptable. Each cell
// says what the server's log and what the client's error say.
//
// Texts may hold {not_before}, {not_after} (of the certificate under test)
// and {now}.

type mode struct {
	version uint16
	resumed bool
}

func (m mode) String() string {
	if m.resumed {
		return tls.VersionName(m.version) + " resumed"
	}
	return tls.VersionName(m.version) + " fresh"
}

func modes() []mode {
	return []mode{{tls.VersionTLS12, false}, {tls.VersionTLS12, true}, {tls.VersionTLS13, false}, {tls.VersionTLS13, true}}
}

// world is what the cells of one mode share.
type world struct {
	mode
	ca     *pkitest.CA // everybody trusts it
	clock  *clock
	server *running
	client *Client
	shook  chan HandshakeInfo // the client's handshakes
}

// newWorld starts a server and a client that would get along.
func newWorld(t *testing.T, m mode) *world {
	t.Helper()
	w := &world{mode: m, clock: newClock(), shook: make(chan HandshakeInfo, 16)}
	w.ca = pkitest.NewCA(t, pkitest.CAOptions{NotBefore: w.clock.Now().Add(-48 * time.Hour)})
	o, r := newOptions(Options{Now: w.clock.Now, SessionTickets: m.resumed, maxVersion: m.version})
	w.server = start(t, newServer(w.serverSnapshot(t), o.filled()), r)
	co := Options{
		Now: w.clock.Now, SessionTickets: m.resumed, maxVersion: m.version,
		Trace: &Trace{Handshake: func(i HandshakeInfo) { w.shook <- i }},
	}
	w.client = newClient(w.clientSnapshot(t), co.filled(), namer(nil))
	return w
}

func (w *world) serverSnapshot(t *testing.T) *serverSnapshot {
	return &serverSnapshot{material: materialOf(w.ca.Leaf(t, longLived(pkitest.PluginSpec("MyPlugin"))), w.ca), clientAuth: CertRequired}
}

func (w *world) clientSnapshot(t *testing.T) *clientSnapshot {
	return &clientSnapshot{
		material: materialOf(w.ca.Leaf(t, longLived(pkitest.GatewaySpec())), w.ca),
		verify:   true, checkHostname: true, serverName: "localhost", identity: "MyPlugin",
	}
}

// longLived is valid whatever the clock of a cell says.
func longLived(s pkitest.Spec) pkitest.Spec {
	s.NotBefore, s.NotAfter = time.Now().Add(-24*time.Hour), time.Now().Add(24*time.Hour)
	return s
}

// outcome is what both sides say of one connection.
type outcome struct {
	serverReason string // "" when the server admitted it
	clientError  string // "" when the client got an answer
	kind         Kind   // of the client's error
	resumed      bool   // the session was resumed, as far as the handshake came
}

// connect makes one exchange and collects both sides' views of it.
func (w *world) connect(t *testing.T) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := exchange(ctx, w.client, w.server.addr)
	atServer, atClient := w.server.next(t), <-w.shook
	var o outcome
	if atServer.Err != nil {
		o.serverReason = atServer.Err.Error()
	}
	if err != nil {
		o.clientError = strings.ReplaceAll(err.Error(), w.server.addr, "SERVER")
		if e, ok := errors.AsType[*Error](err); ok {
			o.kind = e.Kind
		} else {
			t.Errorf("the client's error is no *Error: %v", err)
		}
	}
	o.resumed = atServer.Peer.Resumed || atClient.Peer.Resumed
	return o
}

// mustConnect is the connection that leaves a session behind.
func (w *world) mustConnect(t *testing.T) {
	t.Helper()
	if o := w.connect(t); o.serverReason != "" || o.clientError != "" {
		t.Fatalf("the first connection must succeed, so that there is a session: %+v", o)
	}
}

// fill puts the times into an expected text.
func (w *world) fill(text string, cert *x509.Certificate) string {
	if cert == nil {
		return text
	}
	at := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	return strings.NewReplacer(
		"{not_before}", at(cert.NotBefore), "{not_after}", at(cert.NotAfter), "{now}", at(w.clock.Now()),
		"{not_before short}", cert.NotBefore.UTC().Format("2006-01-02 15:04"),
		"{not_after short}", cert.NotAfter.UTC().Format("2006-01-02 15:04"),
	).Replace(text)
}

// check compares what happened with what the cell says, log included.
func (w *world) check(t *testing.T, got, want outcome, cert *x509.Certificate) {
	t.Helper()
	want.serverReason, want.clientError = w.fill(want.serverReason, cert), w.fill(want.clientError, cert)
	if got != want {
		t.Errorf("got  server: %s\n     client: %s (%s), resumed %v\nwant server: %s\n     client: %s (%s), resumed %v",
			got.serverReason, got.clientError, got.kind, got.resumed,
			want.serverReason, want.clientError, want.kind, want.resumed)
	}
	lines := w.server.log.records(t, slog.LevelInfo, "")
	switch {
	case want.serverReason == "" && len(lines) != 0:
		t.Errorf("an admitted connection is logged at INFO: %v", lines)
	case want.serverReason != "" && (len(lines) != 1 || lines[0]["reason"] != want.serverReason):
		t.Errorf("want one line at INFO with the reason: %v", lines)
	}
}

func replaceOne(text, old, with string) string { return strings.Replace(text, old, with, 1) }
