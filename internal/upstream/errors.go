package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/child"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/mtls"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Kind says in one word why an upstream gave no answer. The list is closed: it
// is what an MCP client may be told.
type Kind string

// The kinds of [Error].
const (
	Unreachable Kind = "unreachable" // no connection or process, or it broke before an answer
	Timeout     Kind = "timeout"     // no answer in time
	TLS         Kind = "tls"         // the handshake failed
	Identity    Kind = "identity"    // another host answered
	BadAnswer   Kind = "bad answer"  // an answer came, but not an MCP server's
)

// Error is a request that brought no answer.
type Error struct {
	Kind     Kind
	Upstream string // its name
	Doing    string // "calling tools/call"
	Where    string // its URL without what that may hide, or its command
	Err      error  // the cause; never nil
}

// Error tells what was being done, to what, and the cause.
func (e *Error) Error() string {
	return fmt.Sprintf("%s at upstream %q (%s): %s: %s", e.Doing, e.Upstream, e.Where, e.Kind, e.Err)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// fault is a cause that knows its kind.
type fault struct {
	kind Kind
	err  error
}

func (f *fault) Error() string { return f.err.Error() }
func (f *fault) Unwrap() error { return f.err }

func faultf(kind Kind, format string, args ...any) error {
	return &fault{kind, fmt.Errorf(format, args...)}
}

// misuse is a request that cannot be sent. It says nothing about the upstream.
type misuse struct{ err error }

func (m *misuse) Error() string { return m.err.Error() }
func (m *misuse) Unwrap() error { return m.err }

// silence is the cause of a request's end that its own time limit brought.
type silence struct{ limit time.Duration }

func (s *silence) Error() string { return fmt.Sprintf("no answer within %s", s.limit) }

// statusError is an HTTP answer that is neither a success nor a JSON-RPC answer
// to the request.
type statusError struct {
	status int
	rpc    *wire.Error // the JSON-RPC error in its body, if there is one
	text   string      // the beginning of any other body
}

func (e *statusError) Error() string {
	text := fmt.Sprintf("HTTP %d %s", e.status, http.StatusText(e.status))
	switch {
	case e.rpc != nil:
		return text + ": " + clip(e.rpc.Error())
	case e.text != "":
		return fmt.Sprintf("%s: %q", text, e.text)
	}
	return text
}

// fail makes the error of a failed request and notes what it says about the
// upstream. A caller that gave up gets its own context's error back, and one that
// asked for the impossible is told so.
func (u *Upstream) fail(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("%s at upstream %q: %w", doing, u.cfg.Name, context.Cause(ctx))
	}
	if ours, ok := errors.AsType[*misuse](err); ok {
		return fmt.Errorf("%s at upstream %q: %w", doing, u.cfg.Name, ours.err)
	}
	e := u.explain(ctx, doing, err)
	switch e.Kind {
	case Unreachable, TLS, Identity:
		if u.cfg.Command == "" && !errors.Is(err, errStopped) { // a child's supervisor knows better
			u.setState(e)
		}
	case Timeout, BadAnswer: // of this one call
	}
	return e
}

// explain makes the [Error] of err.
func (u *Upstream) explain(ctx context.Context, doing string, err error) *Error {
	kind, cause := u.classify(ctx, err)
	return &Error{Kind: kind, Upstream: u.cfg.Name, Doing: doing, Where: u.link.where(), Err: cause}
}

// classify finds the kind of err and the text that explains it.
func (u *Upstream) classify(ctx context.Context, err error) (Kind, error) {
	var (
		known   *fault
		process *child.Fault
		status  *statusError
		quiet   *silence
		rpc     *wire.Error
		large   *wire.TooLargeError
		secure  *mtls.Error
	)
	switch {
	case errors.As(err, &known):
		return known.kind, err
	case errors.As(err, &process):
		return Kind(process.Kind), err
	case errors.As(err, &rpc): // to a question of ours
		return BadAnswer, err
	case errors.As(err, &status):
		return classifyStatus(status, err)
	case errors.As(err, &large):
		return BadAnswer, err
	case errors.As(err, &quiet):
		return Timeout, err
	case errors.As(err, &secure):
		return Kind(secure.Kind), withoutHints(secure)
	case errors.Is(err, errStopped):
		return Unreachable, err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return Timeout, errors.New("no answer within the caller's time limit")
	}
	return classifyNetwork(err)
}

// withoutHints drops the hints of mtls, which are about plugin servers.
func withoutHints(e *mtls.Error) error { return errors.New(e.Error()) }

func classifyStatus(status *statusError, err error) (Kind, error) {
	switch status.status {
	case http.StatusBadRequest:
		for _, words := range []string{"speaks TLS", "HTTP request to an HTTPS server", "plain HTTP request was sent to HTTPS port"} {
			if strings.Contains(status.text, words) {
				return TLS, plainToTLS()
			}
		}
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return Unreachable, err
	case http.StatusUnauthorized, http.StatusForbidden:
		return BadAnswer, hint.Add(err, "if the upstream wants a token, set it under headers in its entry")
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return BadAnswer, hint.Add(err, "check the path of the url: it has to be a Streamable HTTP endpoint, often /mcp (the older HTTP+SSE transport, often /sse, is not supported)")
	}
	return BadAnswer, err
}

func plainToTLS() error {
	return hint.Add(errors.New("the server speaks TLS, and this url is plain http"), "use an https url")
}

func classifyNetwork(err error) (Kind, error) {
	var network net.Error
	var dns *net.DNSError
	switch {
	case isCut(err):
		return Unreachable, fmt.Errorf("the connection ended before the answer; whether the request was carried out is not known: %w", err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return Unreachable, hint.Add(err, "start the upstream server, or correct its url")
	case errors.As(err, &dns) && dns.IsNotFound:
		return Unreachable, fmt.Errorf("no such host: %s", dns.Name)
	case strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`):
		// A TLS alert where an HTTP answer was expected.
		return TLS, plainToTLS()
	case strings.Contains(err.Error(), "malformed"), strings.Contains(err.Error(), "response headers exceeded"):
		return BadAnswer, err
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return Timeout, err
	}
	return Unreachable, err
}

// isCut reports whether err is the end of a connection.
func isCut(err error) bool {
	return errors.Is(err, errStale) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed) ||
		strings.Contains(err.Error(), "server closed idle connection") // net/http does not export this one
}

// snippet is the beginning of a text for an error message, on one line.
func snippet(text string) string {
	return clip(strings.Join(strings.Fields(strings.ToValidUTF8(text[:min(len(text), 2*maxSnippet)], "")), " "))
}

const maxSnippet = 200

func clip(s string) string {
	if len(s) <= maxSnippet {
		return s
	}
	return strings.ToValidUTF8(s[:maxSnippet], "") + "…"
}
