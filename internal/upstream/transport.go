package upstream

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
)

// maxResends bounds how often a request of which no byte has left is tried on
// another connection. The first time drops all idle connections, so the next
// one is fresh; more are needed only when servers come and go.
const maxResends = 3

// transport sends requests over pooled connections, each request once, and
// follows no redirect: what a redirect leads to is not what was configured.
type transport struct {
	base *http.Transport
}

func newTransport(o *Options, secure *mtls.Client, closed <-chan struct{}) *transport {
	if secure != nil {
		return newTransportWith(o, secure.Dial, closed)
	}
	return newTransportWith(o, (&net.Dialer{}).DialContext, closed)
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func newTransportWith(o *Options, dial dialFunc, closed <-chan struct{}) *transport {
	connect := func(ctx context.Context, network, addr string) (net.Conn, error) {
		// A dial is not bound to the request that caused it, so it has a limit
		// of its own.
		ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
		defer cancel()
		go func() {
			select {
			case <-closed:
				cancel()
			case <-ctx.Done():
			}
		}()
		inner, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return newConn(inner), nil
	}
	t := &transport{base: &http.Transport{
		// No proxy from the environment: an upstream is where its url says.
		Proxy:                  nil,
		DialContext:            connect,
		DialTLSContext:         connect,
		DisableCompression:     true,
		MaxConnsPerHost:        o.MaxConns,
		MaxIdleConns:           o.MaxConns,
		MaxIdleConnsPerHost:    o.MaxConns,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		Protocols:              new(http.Protocols),
	}}
	t.base.Protocols.SetHTTP1(true)
	return t
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

// send sends req. It uses GetBody itself: net/http is not to decide on its own
// to send a request again, as it does with some headers.
func (t *transport) send(req *http.Request) (*http.Response, error) {
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
		if try.conn == nil || !try.reused || resends == maxResends || req.Context().Err() != nil || !try.conn.abandon() {
			return nil, err
		}
		t.base.CloseIdleConnections()
	}
}
