package main

import (
	"fmt"
	"strings"
	"sync"

	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/pki"
)

// A certsPrinter prints what a run does: results on stdout, the rest on
// stderr. The progress of RSA keys is one line that changes on a terminal,
// one line for each key elsewhere.
type certsPrinter struct {
	app      *app
	terminal bool

	mu   sync.Mutex
	line bool // the progress line is on the screen
}

func newCertsPrinter(a *app) *certsPrinter {
	return &certsPrinter{app: a, terminal: logs.IsTerminal(a.stderr)}
}

func (p *certsPrinter) print(e pki.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e.Kind == pki.KeyMade {
		p.progress(e)
		return
	}
	p.erase()
	switch e.Kind {
	case pki.Made:
		fmt.Fprintf(p.app.stdout, "made     %s: %s\n", e.Path, e.Text)
	case pki.Kept:
		fmt.Fprintf(p.app.stdout, "kept     %s: %s\n", e.Path, e.Text)
	case pki.Renewed:
		fmt.Fprintf(p.app.stdout, "renewed  %s: %s\n", e.Path, e.Text)
	case pki.NeededBy:
		fmt.Fprintf(p.app.stdout, "read by  %s\n", e.Text)
	case pki.Warning:
		fmt.Fprintf(p.app.stderr, "sallyport: warning: %s\n", e.Text)
	default:
		fmt.Fprintf(p.app.stderr, "sallyport: note: %s\n", e.Text)
	}
}

func (p *certsPrinter) progress(e pki.Event) {
	if !strings.HasPrefix(e.Text, "rsa-") {
		return // it is done in no time
	}
	if p.terminal {
		fmt.Fprintf(p.app.stderr, "\rmaking %s keys: %d of %d ", e.Text, e.Done, e.Total)
		p.line = true
	} else if e.Done > 0 {
		fmt.Fprintf(p.app.stderr, "sallyport: %s key %d of %d made\n", e.Text, e.Done, e.Total)
	}
}

// erase takes the progress line off the screen.
func (p *certsPrinter) erase() {
	if p.line {
		fmt.Fprint(p.app.stderr, "\r\x1b[K")
		p.line = false
	}
}

func (p *certsPrinter) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.erase()
}

// waiting says why nothing happens.
func (p *certsPrinter) waiting(dir string) {
	p.print(pki.Event{Kind: pki.Note, Text: "waiting for another process that is changing " + dir})
}
