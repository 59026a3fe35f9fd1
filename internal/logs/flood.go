package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// A Flood writes lines that a peer can cause at will: each of the first few in
// a second, and one line that counts the rest. So nobody can fill a disk, or
// make the writing of lines the most expensive part of turning him away. It is
// safe for concurrent use.
type Flood struct {
	log       *slog.Logger
	perSecond int
	summary   string

	mu     sync.Mutex
	since  time.Time // when the present second began
	logged int       // lines in it
	more   int       // lines left out and not counted in a line yet
	level  slog.Level
	last   []any
}

// NewFlood returns a Flood that writes up to perSecond lines a second to log,
// and then one line a second with the message summary, the number of lines
// left out as "count" and what the last of them said as "last".
func NewFlood(log *slog.Logger, perSecond int, summary string) *Flood {
	return &Flood{log: log, perSecond: perSecond, summary: summary}
}

// Log writes or counts a line.
func (f *Flood) Log(level slog.Level, message string, attrs ...slog.Attr) {
	ctx := context.Background()
	if !f.log.Enabled(ctx, level) {
		return
	}
	if f.takes(level, attrs) {
		f.log.LogAttrs(ctx, level, message, attrs...)
	}
}

func (f *Flood) takes(level slog.Level, attrs []slog.Attr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.since) >= time.Second {
		f.since, f.logged = now, 0
	}
	if f.logged < f.perSecond {
		f.logged++
		return true
	}
	if f.more == 0 {
		f.level = level
		time.AfterFunc(f.since.Add(time.Second).Sub(now), f.Flush)
	}
	f.more++
	f.level = max(f.level, level)
	f.last = f.last[:0]
	for _, a := range attrs {
		f.last = append(f.last, a)
	}
	return false
}

// Flush writes the count of what was left out, if anything was: for the end of
// a program, which a second need not reach.
func (f *Flood) Flush() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.more > 0 {
		f.log.LogAttrs(context.Background(), f.level, f.summary, slog.Int("count", f.more), slog.Group("last", f.last...))
		f.more = 0
	}
}
