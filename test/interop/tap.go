package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"sync"
	"time"
)

// tap stands between a client and the gateway and notes which revisions the
// client names in its headers: what clients say of themselves is not enough.
type tap struct {
	url    string
	server *http.Server
	ended  chan error

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
	t := &tap{url: "http://" + listener.Addr().String() + target.Path, ended: make(chan error, 1), revisions: map[string]bool{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = target.Scheme, target.Host, target.Host
			// initialize comes before a revision is agreed on.
			if revision := r.In.Header.Get("MCP-Protocol-Version"); revision != "" {
				t.mu.Lock()
				t.revisions[revision] = true
				t.mu.Unlock()
			}
		},
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0), // some clients go in the middle of their last answer
		Transport:     &http.Transport{DisableKeepAlives: true},
	}
	t.server = &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	go func() { t.ended <- t.server.Serve(listener) }()
	return t, nil
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
	if served := <-t.ended; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
