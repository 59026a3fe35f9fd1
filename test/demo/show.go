package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// calls makes the three hook calls and checks each answer.
func (d *demo) calls(ctx context.Context) error {
	for _, call := range []struct {
		title, plugin, payload string
		exit                   int
		check                  func(answer) bool
	}{
		{
			"A benign prompt passes", "ReplaceBadWordsPlugin", `{"prompt_id":"ask","args":{"text":"a kind word"}}`, 0,
			func(a answer) bool { return a.Result.Continue && a.Result.Modified.Args.Text == "" },
		},
		{
			"A rude one is rewritten: crap → crud → yikes", "ReplaceBadWordsPlugin", `{"prompt_id":"ask","args":{"text":"oh crap"}}`, 0,
			func(a answer) bool { return a.Result.Continue && a.Result.Modified.Args.Text == "oh yikes" },
		},
		{
			"A deny word is refused", "DenyListPlugin", `{"prompt_id":"ask","args":{"text":"a revolutionary idea"}}`, 3,
			func(a answer) bool { return !a.Result.Continue && a.Result.Violation.Code == "deny" },
		},
	} {
		d.heading(call.title)
		fmt.Printf("$ sallyport call --config client.yaml --plugin %s --hook prompt_pre_fetch --payload '%s'\n", call.plugin, call.payload)
		cmd := d.command(ctx, "call", "--config", "client.yaml", "--plugin", call.plugin, "--hook", "prompt_pre_fetch",
			"--payload", call.payload, "--verbose", "--log-format", "json")
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			return err
		}
		var got answer
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || cmd.ProcessState.ExitCode() != call.exit || !call.check(got) {
			return fmt.Errorf("this did not happen: %s (exit %d)\n%s%s", call.title, cmd.ProcessState.ExitCode(), &stdout, &stderr)
		}
		peer, err := handshake(&stderr)
		if err != nil {
			return err
		}
		fmt.Printf("  peer %s\n  %s, %s\n  %s", peer.get("subject"), peer.get("tls"), peer.get("group"), &stdout)
	}
	return nil
}

// answer is what the demo looks at of a hook call's answer.
type answer struct {
	Result struct {
		Continue bool `json:"continue_processing"`
		Modified struct {
			Args struct{ Text string }
		} `json:"modified_payload"`
		Violation struct{ Code string }
	}
}

// handshake finds what a command's log says about its peer.
func handshake(log io.Reader) (record, error) {
	dec := json.NewDecoder(log)
	for {
		var line record
		if err := dec.Decode(&line); err != nil {
			return nil, fmt.Errorf("the call's log tells of no handshake: %w", err)
		}
		if peer, ok := line["peer"].(map[string]any); ok && line.get("msg") == "TLS handshake" {
			return peer, nil
		}
	}
}

// intruders dials the plugin server with the wrong papers, by bare crypto/tls:
// our own client would refuse to use such a certificate. Each must be refused,
// and the server's log must say why.
func (d *demo) intruders(ctx context.Context) error {
	for _, intruder := range []struct{ title, cert, key string }{
		{"An intruder without a certificate", "", ""},
		{"An intruder with another plugin's certificate", "certs/mcp/plugins/AnotherPlugin/server.crt", "certs/mcp/plugins/AnotherPlugin/server.key"},
		{"An intruder with a certificate of another CA", "elsewhere/gateway/client.crt", "elsewhere/gateway/client.key"},
	} {
		d.heading(intruder.title)
		config, err := d.intruderConfig(intruder.cert, intruder.key)
		if err != nil {
			return err
		}
		from := d.log.position()
		refusal, err := knock(ctx, d.addr, config)
		if err != nil {
			return fmt.Errorf("%s was let in: %w", strings.ToLower(intruder.title[:1])+intruder.title[1:], err)
		}
		line, err := d.log.await(from, func(r record) bool { return r.get("reason") != "" })
		if err != nil {
			return fmt.Errorf("the plugin server's log tells of no refusal: %w\n%s", err, d.log.text())
		}
		fmt.Printf("  refused. The client's side:  %v\n           The server's side:  %s\n", refusal, line.get("reason"))
	}
	return nil
}

func (d *demo) intruderConfig(cert, key string) (*tls.Config, error) {
	bundle, err := os.ReadFile(filepath.Join(d.dir, "certs/mcp/gateway/ca.crt"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(bundle) {
		return nil, errors.New("no certificate in gateway/ca.crt")
	}
	config := &tls.Config{RootCAs: roots, ServerName: "localhost", MinVersion: tls.VersionTLS12}
	if cert == "" {
		return config, nil
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(d.dir, cert), filepath.Join(d.dir, key))
	if err != nil {
		return nil, err
	}
	// Offered whatever CAs the server hints at: an intruder would.
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return config, nil
}

// knock asks for /health and returns the refusal. It fails when an answer came.
func knock(ctx context.Context, addr string, config *tls.Config) (refusal, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, refusal := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", addr)
	if refusal != nil {
		return refusal, nil
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	if _, refusal := io.WriteString(conn, "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); refusal != nil {
		return refusal, nil
	}
	answer, refusal := io.ReadAll(conn)
	var timeout net.Error
	switch {
	case len(answer) > 0:
		return nil, fmt.Errorf("it was answered %q", answer)
	case errors.As(refusal, &timeout) && timeout.Timeout():
		return nil, errors.New("it was neither answered nor refused within 10 s")
	case refusal == nil:
		return errors.New("connection closed"), nil
	default:
		return refusal, nil
	}
}
