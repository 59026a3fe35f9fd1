package child

import (
	"bufio"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	// maxStderr is how much of one line of standard error is logged, and
	// stderrRate how many lines a second.
	maxStderr  = 2000
	stderrRate = 50
)

// listen logs the standard error of the process.
func (p *process) listen() {
	r := bufio.NewReaderSize(p.stderr, maxStderr)
	var second time.Time
	lines, dropped := 0, 0
	for {
		line, more, err := r.ReadLine()
		if err != nil {
			return
		}
		text := plain(line)
		if more { // not within a word, of which the masked text could be half
			text = text[:max(0, strings.LastIndexByte(text, ' '))] + "…"
		}
		text = p.s.o.Mask(text)
		for more && err == nil { // the rest of a long line
			_, more, err = r.ReadLine()
		}
		if strings.TrimSpace(text) == "" {
			continue
		}
		p.mu.Lock()
		p.last = clip(text)
		p.mu.Unlock()
		if now := time.Now(); now.Sub(second) >= time.Second {
			if dropped > 0 {
				p.s.o.Logger.Warn(p.s.o.Role+" wrote more to standard error than is logged", "lines", dropped)
			}
			second, lines, dropped = now, 0, 0
		}
		if lines++; lines > stderrRate {
			dropped++
			continue
		}
		p.s.o.Logger.Info(p.s.o.Role+" says", "stderr", text)
	}
}

// plain is a line without what a terminal would act on: control characters and
// the sequences that switch colours.
func plain(line []byte) string {
	var b strings.Builder
	for i := 0; i < len(line); {
		if line[i] == 0x1b && i+1 < len(line) && line[i+1] == '[' {
			for i += 2; i < len(line) && line[i] >= 0x20 && line[i] <= 0x3f; {
				i++
			}
			i++ // its final byte
			continue
		}
		r, size := utf8.DecodeRune(line[i:])
		if i += size; r == '\t' || !unicode.IsControl(r) {
			b.WriteRune(r)
		}
	}
	return b.String()
}
