package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"

	"github.com/sallyport-mcp/sallyport/internal/child"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Kind says in one word why a plugin server gave no usable answer. The list is
// closed: it is what an MCP client may be told (plugin protocol §8).
type Kind string

// The kinds of [Error].
const (
	Unreachable Kind = "unreachable"  // no connection, or it broke before an answer
	Timeout     Kind = "timeout"      // no answer in time
	TLS         Kind = "tls"          // the handshake failed or our certificate was refused
	Identity    Kind = "identity"     // another plugin's server, or another host, answered
	BadAnswer   Kind = "bad answer"   // an answer came, but not a plugin server's
	NotDeclared Kind = "not declared" // the server does not have this plugin
)

// Error is a call that brought no answer of the plugin.
type Error struct {
	Kind   Kind
	Plugin string // the plugin that was asked
	Doing  string // the hook, or the tool of the plugin server
	URL    string // where it was asked
	Err    error  // the cause; never nil
}

// Error tells what was being done, to what, and the cause.
func (e *Error) Error() string {
	if e.Plugin == "" {
		return fmt.Sprintf("calling %s at %s: %s: %s", e.Doing, e.URL, e.Kind, e.Err)
	}
	return fmt.Sprintf("calling %s of plugin %q at %s: %s: %s", e.Doing, e.Plugin, e.URL, e.Kind, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Cause is the kind, for who may not know this package: the gateway tells its
// clients no more than that.
func (e *Error) Cause() string { return string(e.Kind) }

// badAnswer is an answer that is not one: it becomes an [Error] of that kind.
type badAnswer struct{ reason string }

func (e *badAnswer) Error() string { return e.reason }

func badAnswerf(format string, args ...any) error { return &badAnswer{fmt.Sprintf(format, args...)} }

// statusError is an HTTP answer other than success, without a JSON-RPC error
// that we would rather report.
type statusError struct {
	status int
	rpc    *wire.Error // the JSON-RPC error in its body, if there is one
	text   string      // the beginning of any other body
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("HTTP %d %s", e.status, http.StatusText(e.status))
	switch {
	case e.rpc != nil:
		return text + ": " + e.rpc.Error()
	case e.text != "":
		return fmt.Sprintf("%s: %q", text, e.text)
	}
	return text
}

func (e *statusError) Unwrap() error {
	if e.rpc == nil {
		return nil
	}
	return e.rpc
}

// refused reports whether err is an HTTP 4xx: the server turned the request
// away at the transport, before any tool was called. That is so because every
// tool call that was dispatched, also one that failed, is answered with 200.
func refused(err error) bool {
	var s *statusError
	return errors.As(err, &s) && s.status >= 400 && s.status < 500
}

// unknownSession reports whether err says that our session is not known. The
// specification wants 404; servers of the Python SDK up to 1.25 say 400 and name
// the session in the text.
func unknownSession(err error) bool {
	var s *statusError
	if !errors.As(err, &s) {
		return false
	}
	switch s.status {
	case http.StatusNotFound:
		return true
	case http.StatusBadRequest:
		text := s.text
		if s.rpc != nil {
			text = s.rpc.Message
		}
		return strings.Contains(strings.ToLower(text), "session")
	}
	return false
}

// fail makes the [Error] of a failed exchange. A caller that gave up gets its
// own context's error back.
func (p *Plugin) fail(ctx context.Context, doing string, err error) error {
	var done *Error
	if err == nil || errors.As(err, &done) {
		return err
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("calling %s of plugin %q: %w", doing, p.cfg.Name, context.Cause(ctx))
	}
	kind, cause := p.classify(ctx, err)
	return &Error{Kind: kind, Plugin: p.cfg.Name, Doing: doing, URL: p.cfg.URL, Err: cause}
}

// classify finds the kind of err and the text that explains it.
func (p *Plugin) classify(ctx context.Context, err error) (Kind, error) {
	var (
		bad    *badAnswer
		status *statusError
		rpc    *wire.Error
		large  *wire.TooLargeError
		secure *mtls.Error
		fault  *child.Fault
	)
	switch {
	case errors.Is(err, errOwner):
		return Identity, err
	case errors.As(err, &fault):
		return Kind(fault.Kind), err
	case errors.As(err, &bad):
		if p.url.Scheme == "http" && strings.Contains(bad.reason, tlsAlert) {
			return TLS, plainToTLS()
		}
		return BadAnswer, err
	case errors.As(err, &status):
		return p.classifyStatus(status, err)
	case errors.As(err, &rpc):
		return BadAnswer, rpc
	case errors.As(err, &large):
		return BadAnswer, large
	case errors.As(err, &secure): // from the dial, which names the address
		return Kind(secure.Kind), secure
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return Timeout, errors.New("no answer before the caller's deadline")
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return Timeout, fmt.Errorf("no answer within %s", p.cfg.Timeout)
	case isAlert(err) && p.cfg.TLS != nil:
		// In TLS 1.3 our certificate is judged after the handshake.
		if errors.As(p.cfg.TLS.Explain(err), &secure) {
			return Kind(secure.Kind), secure
		}
		return TLS, err
	}
	return p.classifyNetwork(err)
}

func (p *Plugin) classifyStatus(status *statusError, err error) (Kind, error) {
	switch {
	case status.status >= http.StatusBadGateway && status.status <= http.StatusGatewayTimeout:
		return Unreachable, err
	case status.status == http.StatusBadRequest && p.url.Scheme == "http" &&
		(strings.Contains(status.text, "speaks TLS") || strings.Contains(status.text, "HTTP request to an HTTPS server")):
		return TLS, plainToTLS()
	}
	return BadAnswer, hint.Add(err, "check that the URL is a plugin server's endpoint; its path is /mcp")
}

// tlsAlert is how net/http shows a TLS alert where an answer was expected.
const tlsAlert = `malformed HTTP response "\x15\x03`

func plainToTLS() error {
	return hint.Add(errors.New("the server speaks TLS, and this URL is plain http"), "use an https URL, with client certificate, key and ca_bundle")
}

func (p *Plugin) classifyNetwork(err error) (Kind, error) {
	var network net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return Unreachable, errors.New("the server closed the connection without an answer; whether the hook ran is not known")
	case errors.Is(err, syscall.ECONNREFUSED):
		return Unreachable, hint.Add(err, "start the plugin server, or see what listens: lsof -i :"+p.port())
	case errors.As(err, &network) && network.Timeout():
		return Timeout, err
	}
	return Unreachable, err
}

// port is where the server should listen, for a hint.
func (p *Plugin) port() string {
	switch port := p.url.Port(); {
	case port != "":
		return port
	case p.url.Scheme == "https":
		return "443"
	}
	return "80"
}
