package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/mtls"
)

// serveMode is the first argument that makes this program one of the servers.
const serveMode = "-serve"

// The servers.
const (
	barePost      = "bare-post"      // net/http: reads a body, writes an answer
	bareHandshake = "bare-handshake" // crypto/tls: one byte per connection
	ourHandshake  = "our-handshake"  // internal/mtls: the same
	mcpUpstream   = "mcp-upstream"   // net/http: an MCP server with one tool
	reverseProxy  = "reverse-proxy"  // httputil.ReverseProxy, to the address of its argument
)

// listening is what a server says before its address.
const listening = "listening on "

// bareAnswer is about as long as a plugin server's.
const bareAnswer = `{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"{\"plugin_name\":\"Bench\",\"result\":{\"continue_processing\":true}}"}],"isError":false,"resultType":"complete"}}`

// serve is a server of kind until ctx ends; files are certificate, key and CA
// bundle, or what [servePlain] takes.
func serve(ctx context.Context, kind string, files []string) error {
	if kind == mcpUpstream || kind == reverseProxy {
		return servePlain(ctx, kind, files)
	}
	if len(files) != 3 {
		return errors.New("a server needs certificate, key and CA bundle")
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	secure, err := secured(kind, l, files)
	if err != nil {
		return err
	}
	fmt.Println(listening + l.Addr().String())
	if kind == barePost {
		srv := &http.Server{Handler: http.HandlerFunc(answerPost), ReadHeaderTimeout: time.Minute}
		err = srv.Serve(secure)
	} else {
		err = greet(secure)
	}
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func secured(kind string, l net.Listener, files []string) (net.Listener, error) {
	if kind == ourHandshake {
		s, err := mtls.NewServer(mtls.ServerConfig{CertFile: files[0], KeyFile: files[1], CABundle: files[2], ClientAuth: 2}, nil)
		if err != nil {
			return nil, err
		}
		return s.Listen(l), nil
	}
	pair, err := tls.LoadX509KeyPair(files[0], files[1])
	if err != nil {
		return nil, err
	}
	clients, err := pool(files[2])
	if err != nil {
		return nil, err
	}
	return tls.NewListener(l, &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
		MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true,
	}), nil
}

// answerPost does nothing with the body but read it.
func answerPost(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, bareAnswer)
}

// greet writes one byte on each connection: what is read of it proves that
// both sides have finished the handshake.
func greet(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if _, err := c.Write([]byte{'.'}); err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 1)) // until the client closes
		}()
	}
}
