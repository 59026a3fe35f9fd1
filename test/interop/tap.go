package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// tap stands between a client and the gateway and notes which revisions the
// client names in its headers: what clients say of themselves is not enough.
type tap struct {
	url       string
	target    string
	server    *http.Server
	ended     chan error
	transport *http.Transport

	mu        sync.Mutex
	revisions map[string]bool
}

func newTap(ctx context.Context, gateway string) (*tap, error) {
	target, err := url.Parse(gateway)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	t := &tap{
		url: "http://" + listener.Addr().String() + target.Path, target: gateway,
		ended: make(chan error, 1), revisions: map[string]bool{}, transport: &http.Transport{},
	}
	t.server = &http.Server{Handler: http.HandlerFunc(t.pass), ReadHeaderTimeout: 10 * time.Second}
	go func() { t.ended <- t.server.Serve(listener) }()
	return t, nil
}

// pass hands a request on and the answer back. It is not httputil.ReverseProxy,
// which now and then cuts the answer to a POST short under net/http's own server.
func (t *tap) pass(w http.ResponseWriter, r *http.Request) {
	// initialize comes before a revision is agreed on.
	if revision := r.Header.Get("MCP-Protocol-Version"); revision != "" {
		t.mu.Lock()
		t.revisions[revision] = true
		t.mu.Unlock()
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client has gone
	}
	out, err := http.NewRequestWithContext(r.Context(), r.Method, t.target, bytes.NewReader(body))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out.Header = r.Header.Clone()
	out.Header.Del("Connection")
	response, err := t.transport.RoundTrip(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer response.Body.Close()
	maps.Copy(w.Header(), response.Header)
	w.WriteHeader(response.StatusCode)
	_, _ = io.Copy(flushing{w, http.NewResponseController(w)}, response.Body) // either side may go
}

// flushing sends each piece at once, as events have to be.
type flushing struct {
	w  io.Writer
	rc *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	return n, errors.Join(err, f.rc.Flush())
}

// spoken are the revisions that were named, in order.
func (t *tap) spoken() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []string
	for revision := range t.revisions {
		all = append(all, revision)
	}
	slices.Sort(all)
	return all
}

func (t *tap) close() error {
	err := t.server.Close()
	t.transport.CloseIdleConnections()
	if served := <-t.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
