package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// relay passes bytes between a client and a server, and counts: the connections
// that the client opens, and the media types of the answers, where there is no
// TLS to hide them.
type relay struct {
	addr            string // where the client connects
	network, target string
	listener        net.Listener
	running         sync.WaitGroup

	mu      sync.Mutex
	peers   []string          // how the server sees each connection
	open    map[net.Conn]bool // nil once the relay is closed
	answers bytes.Buffer
}

// newRelay listens on a port of loopback, or for the network unix at path.
func newRelay(ctx context.Context, network, path, target string) (*relay, error) {
	if network == "tcp" {
		path = "127.0.0.1:0"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, network, path)
	if err != nil {
		return nil, err
	}
	r := &relay{addr: listener.Addr().String(), network: network, target: target, listener: listener, open: map[net.Conn]bool{}}
	r.running.Go(func() { r.accept(ctx) })
	return r, nil
}

func (r *relay) accept(ctx context.Context) {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := (&net.Dialer{}).DialContext(ctx, r.network, r.target)
		if err != nil {
			_ = client.Close() // as the server would have it
			continue
		}
		if !r.keep(client, server) {
			return
		}
		r.running.Go(func() { r.pass(server, client) })
		r.running.Go(func() { r.pass(client, io.TeeReader(server, writer(r.note))) })
	}
}

// keep counts a connection, unless the relay has been closed meanwhile.
func (r *relay) keep(client, server net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		_, _ = client.Close(), server.Close()
		return false
	}
	r.peers = append(r.peers, server.LocalAddr().String())
	r.open[client], r.open[server] = true, true
	return true
}

// pass copies one direction; its end is told on, and the other goes on.
func (r *relay) pass(to net.Conn, from io.Reader) {
	_, _ = io.Copy(to, from) // either side may go
	if half, ok := to.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

type writer func([]byte)

func (w writer) Write(p []byte) (int, error) {
	w(p)
	return len(p), nil
}

func (r *relay) note(p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers.Write(p)
}

// logged are the lines of a server's log, in JSON, about these connections.
func (r *relay) logged(text string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	for line := range strings.Lines(text) {
		for _, peer := range r.peers {
			if strings.Contains(line, `"`+peer+`"`) {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// connections says how many the client has opened.
func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.peers)
}

var contentType = regexp.MustCompile(`(?i)\r\ncontent-type: *([^;\r]+)`)

// media counts the answers by their media type.
func (r *relay) media() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := map[string]int{}
	for _, m := range contentType.FindAllSubmatch(r.answers.Bytes(), -1) {
		found[string(m[1])]++
	}
	return found
}

var protocolVersion = regexp.MustCompile(`"protocolVersion":"([^"]+)"`)

// agreed are the revisions that servers have agreed to, each once.
func (r *relay) agreed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, m := range protocolVersion.FindAllSubmatch(r.answers.Bytes(), -1) {
		all = append(all, string(m[1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

var sessionID = regexp.MustCompile(`(?i)\r\nmcp-session-id: *([^\r]+)`)

// sessions are the ids that servers have given out, each once.
func (r *relay) sessions() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []string
	for _, m := range sessionID.FindAllSubmatch(r.answers.Bytes(), -1) {
		all = append(all, string(m[1]))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// cut ends all connections; new ones may be opened.
func (r *relay) cut() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.open {
		if closed := c.Close(); !errors.Is(closed, net.ErrClosed) {
			err = errors.Join(err, closed)
		}
	}
	clear(r.open)
	return err
}

// close ends all connections.
func (r *relay) close() error {
	err := errors.Join(r.listener.Close(), r.cut())
	r.mu.Lock()
	late := r.open
	r.open = nil
	r.mu.Unlock()
	for c := range late { // opened since
		_ = c.Close()
	}
	r.running.Wait()
	return err
}
