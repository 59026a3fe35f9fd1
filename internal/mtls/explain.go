package mtls

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// alertOf returns the alert that the peer sent ("bad certificate"), "" for none.
// crypto/tls exports neither the type nor the number.
func alertOf(err error) string {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "remote error" && op.Err != nil {
		return strings.TrimPrefix(op.Err.Error(), "tls: ")
	}
	return ""
}

var (
	errNoAnswer = errors.New("the server closed the connection without an answer")
	errRefused  = errors.New("connection refused: nothing listens there")
	errLate     = errors.New("no answer in time")
)

// explained is an error in our words that still is what it was, for errors.Is.
type explained struct{ text, cause error }

func (e *explained) Error() string   { return e.text.Error() }
func (e *explained) Unwrap() []error { return []error{e.text, e.cause} }

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || (errors.As(err, &ne) && ne.Timeout())
}

// dialError is about the TCP connection.
func (c *Client) dialError(addr string, err error) *Error {
	e := &Error{Kind: KindUnreachable, Peer: addr}
	var dns *net.DNSError
	var op *net.OpError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		e.Err = &explained{fmt.Errorf("no such host: %s", dns.Name), err}
	case isTimeout(err):
		e.Kind = KindTimeout
		e.Err = hint.Add(&explained{errLate, err}, "check the address, and that no firewall drops the packets")
	case errors.Is(err, syscall.ECONNREFUSED):
		_, port, _ := net.SplitHostPort(addr)
		e.Err = hint.Add(&explained{errRefused, err}, "start the plugin server, or see what listens: lsof -i :"+port)
	case isReset(err): // so fast that connect saw it
		e.Err = &explained{errNoAnswer, err}
	case errors.As(err, &op) && op.Err != nil:
		e.Err = op.Err // without "dial tcp 127.0.0.1:8000", which is said already
	default:
		e.Err = err
	}
	return e
}

// handshakeError is about what came after it.
func (c *Client) handshakeError(addr string, snap *clientSnapshot, err error) *Error {
	if r, ok := errors.AsType[*refusal](err); ok {
		return &Error{Kind: r.kind, Peer: addr, Certificate: r.cert, Err: r.err}
	}
	if e := c.translate(snap, err); e != nil {
		e.Peer = addr
		return e
	}
	return &Error{Kind: KindTLS, Peer: addr, Err: err}
}

// Explain says what an error on an established connection proves: in TLS 1.3
// a refused client certificate shows at the first read. It returns an *Error
// where it knows more than err says, and err itself otherwise.
func (c *Client) Explain(err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if e := c.translate(c.snap.Load(), err); e != nil {
		return e
	}
	return err
}

// translate returns nil for an error that says enough by itself.
func (c *Client) translate(snap *clientSnapshot, err error) *Error {
	var record tls.RecordHeaderError
	var cause error
	kind := KindTLS
	switch alert := alertOf(err); {
	case alert != "":
		cause = c.alert(snap, alert)
	case errors.As(err, &record) && string(record.RecordHeader[:]) == "HTTP/",
		strings.Contains(err.Error(), "server gave HTTP response"):
		cause = hint.Add(errors.New("server gave HTTP response to HTTPS client: the port does not speak TLS"),
			"switch TLS on in the plugin server, or use its TLS port (the health port is port+1000)")
	case errors.As(err, &record):
		cause = errors.New("the server does not speak TLS on this port")
	case isTimeout(err):
		kind, cause = KindTimeout, errLate
	case errors.Is(err, syscall.ECONNREFUSED):
		kind, cause = KindUnreachable, errRefused
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
		kind, cause = KindUnreachable, errNoAnswer
	case strings.Contains(err.Error(), "tls: server selected unsupported protocol version"),
		strings.Contains(err.Error(), "tls: no supported versions satisfy"):
		cause = errors.New("the server speaks neither TLS 1.2 nor 1.3")
	default:
		return nil
	}
	return &Error{Kind: kind, Err: &explained{cause, err}}
}

// alert says what a server's alert proves, and where it proves nothing, what
// may have caused it. The words of the alert stay in the text.
func (c *Client) alert(snap *clientSnapshot, alert string) error {
	own, none := "our certificate", snap.cert == nil
	if !none {
		leaf := snap.chain[0]
		own = fmt.Sprintf("our certificate (%s, issued by %s)", nameText(leaf.RawSubject), nameText(leaf.RawIssuer))
	}
	say := func(advice, format string, args ...any) error {
		err := fmt.Errorf("server answered %q: "+format, append([]any{alert}, args...)...)
		if advice == "" {
			return err
		}
		return hint.Add(err, advice)
	}
	setCert := "set " + c.name("certfile") + " and " + c.name("keyfile") + ": `sallyport certs gateway` makes them"
	serverLog := "the server's log names the reason of each refusal"
	switch alert {
	case "certificate required":
		return say(setCert, "it requires a client certificate, and we sent none")
	case "unknown certificate authority":
		return say(compareCAs,
			"it does not trust the CA of %s", own)
	case "expired certificate":
		if none {
			return say("", "it says that a certificate has expired")
		}
		leaf := snap.chain[0]
		return say("renew it with `sallyport certs renew`, or set the clock that is wrong",
			"%s, or its CA, is out of date by the server's clock (it is valid from %s to %s)",
			own, leaf.NotBefore.UTC().Format("2006-01-02 15:04"), leaf.NotAfter.UTC().Format("2006-01-02 15:04"))
	case "bad certificate", "unknown certificate", "unsupported certificate", "access denied":
		return say(serverLog, "it refused %s. Possible causes: it is not for clients (extended key usage); it is a plugin's or a CA's; "+
			"it is not in the server's allowed_clients; the server demands peer_profile strict", own)
	case "revoked certificate":
		return say("", "%s has been revoked", own)
	case "handshake failure":
		if none {
			return say(setCert, "probably it requires a client certificate (TLS 1.2 does not say so), and we sent none")
		}
		return say(serverLog, "no common cipher suite or curve, or, in TLS 1.2, %s cannot sign in a way that it accepts", own)
	case "protocol version not supported":
		return say("", "it speaks neither TLS 1.2 nor 1.3")
	case "unrecognized name":
		return say(serverLog, "it has no certificate to show, or none for that host name")
	case "error decrypting message":
		return say("", "it could not verify the signature of %s", own)
	default:
		return say(serverLog, "it ended the connection")
	}
}

// clientRefused is the server's view of a client's alert. Clients in Go say
// "bad certificate" of one that has expired, too; the own clock knows better.
func (s *Server) clientRefused(alert string) error {
	text := clientRefused(alert)
	if strings.HasSuffix(alert, " certificate") {
		if why := s.Ready(); why != nil {
			text = fmt.Sprintf("client answered %q: %s", alert, why)
		}
	}
	return errors.New(text)
}

func clientRefused(alert string) string {
	text := fmt.Sprintf("client answered %q", alert)
	switch alert {
	case "unknown certificate authority":
		return text + ": it does not trust the CA of our certificate"
	case "expired certificate":
		return text + ": our certificate is out of date by its clock"
	case "bad certificate", "unknown certificate", "unsupported certificate":
		return text + ": it refused our certificate (host name, identity, purpose or profile)"
	}
	return text
}
