package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

// intruders dials the plugin server with the wrong papers, by bare crypto/tls:
// our own client would refuse to use such a certificate. Each must be refused,
// and the server's log must say why.
func (d *demo) intruders(ctx context.Context) error {
	for _, intruder := range []struct{ title, cert, key string }{
		{"An intruder without a certificate", "", ""},
		{"An intruder with another plugin's certificate", "certs/mcp/plugins/AnotherPlugin/server.crt", "certs/mcp/plugins/AnotherPlugin/server.key"},
		{"An intruder with a certificate of another CA", "elsewhere/gateway/client.crt", "elsewhere/gateway/client.key"},
	} {
		heading(intruder.title)
		config, err := d.intruderConfig(intruder.cert, intruder.key)
		if err != nil {
			return err
		}
		from := d.plugins.log.position()
		refusal, err := knock(ctx, d.plugins.addr, config)
		if err != nil {
			return fmt.Errorf("%s was let in: %w", strings.ToLower(intruder.title[:1])+intruder.title[1:], err)
		}
		line, err := d.plugins.log.await(ctx, from, func(r record) bool { return r.get("reason") != "" })
		if err != nil {
			return fmt.Errorf("the plugin server's log tells of no refusal: %w\n%s", err, d.plugins.log.text())
		}
		fmt.Printf("  refused. The client's side:  %v\n           The server's side:  %s\n", refusal, line.get("reason"))
	}
	return nil
}

func (d *demo) intruderConfig(cert, key string) (*tls.Config, error) {
	bundle, err := os.ReadFile(d.path("certs/mcp/gateway/ca.crt"))
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
	pair, err := tls.LoadX509KeyPair(d.path(cert), d.path(key))
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
