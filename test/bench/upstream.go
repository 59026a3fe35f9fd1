package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// toolName is the upstream's one tool.
const toolName = "work"

// servePlain is an upstream or a reverse proxy before one, over HTTP.
func servePlain(ctx context.Context, kind string, args []string) error {
	var h http.Handler = http.HandlerFunc(answerMCP)
	if kind == reverseProxy {
		if len(args) != 1 {
			return errors.New("a reverse proxy needs the address of the upstream")
		}
		h = proxyTo(args[0])
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(listening + l.Addr().String())
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// proxyTo passes everything on. It reads a body whole before it does: else
// net/http sometimes closes the body of the request that it serves while the
// last of it is on its way to an upstream that has answered already, and cuts
// that connection.
func proxyTo(addr string) http.Handler {
	to := &url.URL{Scheme: "http", Host: addr}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
		Transport: &http.Transport{MaxIdleConnsPerHost: maxCallers, DisableCompression: true},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, max(0, r.ContentLength))
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	})
}

// Results of a tool call, for small and large arguments.
var (
	smallResult = `{"resultType":"complete","content":[{"type":"text","text":"` + filler(1<<10) + `"}]}`
	largeResult = `{"resultType":"complete","content":[{"type":"text","text":"` + filler(32<<10) + `"}]}`
)

// answerMCP is an upstream in either era that does as little as one can: it
// finds the id and the method at their usual places and copies a result.
func answerMCP(w http.ResponseWriter, r *http.Request) {
	body := make([]byte, max(0, r.ContentLength))
	if _, err := io.ReadFull(r.Body, body); err != nil || r.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	id, isCall := quickly(body)
	result := smallResult
	if len(body) > 16<<10 {
		result = largeResult
	}
	if !isCall {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		if err := json.Unmarshal(body, &m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if m.ID == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		if id = m.ID; m.Method != "tools/call" {
			result = otherResult(m.Method)
		}
	}
	answer := make([]byte, 0, len(result)+64)
	answer = append(append(answer, `{"jsonrpc":"2.0","id":`...), id...)
	answer = append(append(append(answer, `,"result":`...), result...), '}')
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(answer)
}

// quickly finds the id of a tools/call in the form that we write it.
func quickly(body []byte) (id []byte, isCall bool) {
	rest, ok := bytes.CutPrefix(body, []byte(`{"jsonrpc":"2.0","id":`))
	id, rest, found := bytes.Cut(rest, []byte(","))
	return id, ok && found && bytes.HasPrefix(rest, []byte(`"method":"tools/call"`))
}

func otherResult(method string) string {
	const always = `"resultType":"complete","ttlMs":3600000,"cacheScope":"public"`
	switch method {
	case "server/discover":
		return `{` + always + `,"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}}}`
	case "initialize":
		return `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}`
	case "tools/list":
		return `{` + always + `,"tools":[{"name":"` + toolName + `","description":"Works.","inputSchema":{"type":"object","properties":{"text":{"type":"string"}}}}]}`
	}
	return `{}`
}
