package remote

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"
)

// maxResends bounds how often a request of which no byte has left is tried on
// another connection. The first time drops all idle connections, so the next
// one is fresh; more are needed only when servers come and go.
const maxResends = 3

// transport sends requests over pooled connections, each request once.
type transport struct {
	base        *http.Transport
	dialTimeout time.Duration
	dial        func(ctx context.Context, network, addr string) (net.Conn, error)
	closed      <-chan struct{} // ends dials that nobody waits for any more
}

func newTransport(cfg *Config, o *Options, closed <-chan struct{}) *transport {
	t := &transport{dialTimeout: o.DialTimeout, closed: closed}
	var dialer net.Dialer
	switch {
	case cfg.UDS != "":
		t.dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			if err := checkSocket(cfg.UDS); err != nil {
				return nil, err
			}
			return dialer.DialContext(ctx, "unix", cfg.UDS)
		}
	case cfg.TLS != nil:
		t.dial = cfg.TLS.Dial
	default:
		t.dial = dialer.DialContext
	}
	t.base = &http.Transport{
		// No proxy: what goes to a plugin is for the plugin alone.
		Proxy:                  nil,
		DialContext:            t.connect,
		DialTLSContext:         t.connect,
		DisableCompression:     true,
		MaxConnsPerHost:        cfg.MaxConns,
		MaxIdleConns:           cfg.MaxConns,
		MaxIdleConnsPerHost:    cfg.MaxConns,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// No ResponseHeaderTimeout: a plugin server sends its headers with the
		// answer, and the timeout of the call covers both.
		// HTTP/1.1 with many connections is faster than one HTTP/2 connection.
		Protocols: new(http.Protocols),
	}
	t.base.Protocols.SetHTTP1(true)
	return t
}

// connect opens one connection. Dials are not bound to the request that caused
// them, so they have a limit of their own.
func (t *transport) connect(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, t.dialTimeout)
	defer cancel()
	go func() {
		select {
		case <-t.closed:
			cancel()
		case <-ctx.Done():
		}
	}()
	inner, err := t.dial(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return newConn(inner), nil
}

// attempt watches one try to send a request.
type attempt struct {
	conn   *conn
	reused bool
}

func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	if c, ok := info.Conn.(*conn); ok {
		a.conn, a.reused = c, info.Reused
		c.arm(info.Reused)
	}
}

// RoundTrip sends req. It takes a request with a body only with GetBody, and
// uses that itself: net/http is not to decide on its own to send one again.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	for resends := 0; ; resends++ {
		var try attempt
		r := req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{GotConn: try.gotConn}))
		r.GetBody = nil
		if resends > 0 && req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			r.Body = body
		}
		resp, err := t.base.RoundTrip(r)
		if err == nil {
			return resp, nil
		}
		if try.conn == nil {
			return nil, err
		}
		if alert := try.conn.alert(); alert != nil {
			return nil, alert
		}
		replayable := req.Body == nil || req.Body == http.NoBody || req.GetBody != nil
		if !try.reused || !replayable || resends == maxResends || req.Context().Err() != nil || !try.conn.abandon() {
			return nil, err
		}
		t.base.CloseIdleConnections()
	}
}
