package main

import (
	"io"
	"net/http"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// scriptMCP is the command mcp of scripts.
func scriptMCP(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: mcp ADDR METHOD PARAMS")
	}
	method, params := args[1], []byte(args[2])
	name, _ := wire.String(wire.Member(params, "name"))
	if uri, ok := wire.String(wire.Member(params, "uri")); ok {
		name = uri
	}
	params = wire.SetMember(nil, params, "_meta", []byte(`{"`+wire.MetaRevision+`":"`+wire.Revision2026_07+`","`+wire.MetaCapabilities+`":{}}`))
	req, err := http.NewRequest(http.MethodPost, "http://"+args[0]+"/mcp", strings.NewReader(string(wire.AppendRequest(nil, []byte("1"), method, params))))
	ts.Check(err)
	req.Header.Set("Content-Type", wire.MediaJSON)
	req.Header.Set("Accept", wire.MediaJSON)
	wire.SetModern(req.Header, wire.Revision2026_07, method, name)
	resp, err := (&http.Client{Timeout: startLimit, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	_, err = ts.Stdout().Write(append(body, '\n'))
	ts.Check(err)
}
