package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

// A Tree is a folder of certificates. Its methods may be called at the same
// time, also by several processes: those that change it wait for each other.
type Tree struct {
	dir      string
	disk     *keyfile.Disk
	now      func() time.Time
	password []byte

	mu     sync.Mutex
	report func(Event)
}

// Options of a Tree. The zero value works.
type Options struct {
	// Disk is what writes go through; nil means a new one.
	Disk *keyfile.Disk

	// Now is the clock, read once per run; nil means time.Now.
	Now func() time.Time

	// Password opens encrypted keys and encrypts new ones; empty means none.
	Password []byte

	// Waiting is called when another run is changing the tree; nil means nobody
	// is told. It is not used with a Disk.
	Waiting func(dir string)

	// Report is told what happens, one call at a time; nil means nobody.
	Report func(Event)
}

// New returns the tree in the folder dir, which need not exist. It reads
// nothing yet.
func New(dir string, o *Options) *Tree {
	if o == nil {
		o = &Options{}
	}
	t := &Tree{dir: dir, disk: o.Disk, now: o.Now, password: o.Password, report: o.Report}
	if t.disk == nil {
		t.disk = &keyfile.Disk{Waiting: o.Waiting}
	}
	if t.now == nil {
		t.now = time.Now
	}
	return t
}

// EventKind says what an Event is about.
type EventKind int

// The kinds of events.
const (
	Made     EventKind = iota // a folder or file is new
	Kept                      // it exists and was not touched
	Renewed                   // a certificate was replaced
	Warning                   // something is not as it should be, but works
	Note                      // something worth knowing
	KeyMade                   // one of the run's private keys is ready
	NeededBy                  // who reads what was changed
)

// An Event is something that a run did or saw.
type Event struct {
	Kind EventKind
	Path string // what it is about; empty for the run as a whole
	Text string // one line

	Done, Total int // of KeyMade
}

func (t *Tree) tell(e Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.report != nil {
		t.report(e)
	}
}

// instant is the moment that all certificates of one run share.
func (t *Tree) instant() time.Time { return t.now().UTC().Truncate(time.Second) }

// A keyring makes private keys on all cores, the first one asked for first.
type keyring struct {
	results []chan keyResult
	stop    context.CancelFunc
	workers sync.WaitGroup
}

type keyResult struct {
	key crypto.Signer
	err error
}

// newKeyring starts to make keys. It has to be closed.
func (t *Tree) newKeyring(ctx context.Context, types []KeyType) *keyring {
	ctx, stop := context.WithCancel(ctx)
	k := &keyring{stop: stop}
	queue := make(chan int, len(types))
	for i := range types {
		k.results = append(k.results, make(chan keyResult, 1))
		queue <- i
	}
	close(queue)
	var mu sync.Mutex
	done := 0
	t.tell(Event{Kind: KeyMade, Text: string(types[0]), Total: len(types)})
	for range min(runtime.GOMAXPROCS(0), len(types)) {
		k.workers.Go(func() {
			for i := range queue {
				if ctx.Err() != nil {
					k.results[i] <- keyResult{err: context.Cause(ctx)}
					continue
				}
				key, err := types[i].generate()
				mu.Lock()
				done++
				t.tell(Event{Kind: KeyMade, Text: string(types[i]), Done: done, Total: len(types)})
				mu.Unlock()
				k.results[i] <- keyResult{key, err}
			}
		})
	}
	return k
}

// key waits for the key with this index; it can be asked for once.
func (k *keyring) key(i int) (crypto.Signer, error) {
	r := <-k.results[i]
	if r.err != nil {
		return nil, fmt.Errorf("making a private key: %w", r.err)
	}
	return r.key, nil
}

// close makes no further key and waits for those begun.
func (k *keyring) close() {
	k.stop()
	k.workers.Wait()
}

// dueAt reports whether a certificate should be renewed: within days before
// its end, or, when days is 0, in the last third of its life.
func dueAt(cert *x509.Certificate, now time.Time, days int) bool {
	left := cert.NotAfter.Sub(now)
	if days > 0 {
		return now.After(addDays(cert.NotAfter, -days))
	}
	return left < cert.NotAfter.Sub(cert.NotBefore)/3
}
