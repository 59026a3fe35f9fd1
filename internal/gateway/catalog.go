package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/upstream"
	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// kind is one of the four lists that an upstream has.
type kind int

const (
	tools kind = iota
	prompts
	resources
	templates
	kinds // how many there are
)

// form is how a list is asked for and what its items are told apart by.
type form struct {
	method     string
	member     string // of the result
	key        string // of an item
	capability string // of the upstream
}

var forms = [kinds]form{
	tools:     {wire.MethodToolsList, "tools", "name", "tools"},
	prompts:   {"prompts/list", "prompts", "name", "prompts"},
	resources: {"resources/list", "resources", "uri", "resources"},
	templates: {"resources/templates/list", "resourceTemplates", "uriTemplate", "resources"},
}

const (
	// legacyTTL is how long a list holds whose upstream does not say.
	legacyTTL = 30 * time.Second

	// minTTL keeps an upstream that says "stale at once" from being asked for
	// every call; maxTTL makes sure that a change is seen some day.
	minTTL, maxTTL = 2 * time.Second, time.Hour

	// maxAge is how long beyond its time a list still routes calls while a new
	// one is fetched.
	maxAge = 5 * time.Minute

	// maxItems and maxPages bound one list of one upstream.
	maxItems, maxPages = 20_000, 1_000

	// again is how soon an upstream that did not list what it has is asked again.
	again = 2 * time.Second

	// shortly is how long a client waits for a new list where there is an old one.
	shortly = 2 * time.Second
)

// catalog is what the upstreams have, merged.
type catalog struct {
	g       *Gateway
	sources []*source
	version [kinds]atomic.Int64 // counts the lists that came

	mu    sync.Mutex
	views [kinds]*view

	warning sync.Mutex
	warned  map[string]bool
}

// source is one upstream with its lists.
type source struct {
	Upstream
	catalog *catalog
	shelves [kinds]shelf
}

// shelf is one list of one upstream.
type shelf struct {
	mu      sync.Mutex
	items   []item        // of the last fetch that brought a list
	known   bool          // there was one
	absent  bool          // the upstream says that it has no such list
	fetched time.Time     // when that was
	until   time.Time     // the items hold so long
	doubted bool          // a change was announced since the fetch began
	err     error         // why the last fetch brought none
	failed  time.Time     // when that was
	flight  chan struct{} // closed when the fetch under way has ended; nil when there is none
}

// item is one tool, prompt, resource or template as the upstream lists it.
type item struct {
	key string
	raw json.RawMessage
}

func newCatalog(g *Gateway) (*catalog, error) {
	if err := g.cfg.Naming.check(g.cfg.Upstreams); err != nil {
		return nil, err
	}
	c := &catalog{g: g, warned: map[string]bool{}}
	for _, u := range g.cfg.Upstreams {
		c.sources = append(c.sources, &source{Upstream: u, catalog: c})
	}
	return c, nil
}

// patience says how long a caller waits for a list.
type patience int

const (
	hurried patience = iota // not at all, where there is a list that is not too old
	patient                 // for a list that holds, or shortly where there is an old one
	anew                    // for a list that was asked for now
)

// refresh brings the lists of one kind up to date, as far as it is worth waiting.
func (c *catalog) refresh(ctx context.Context, k kind, p patience) {
	type wait struct {
		flight <-chan struct{}
		known  bool
	}
	var waits []wait
	for _, s := range c.sources {
		if flight, known := s.fetch(k, p); flight != nil {
			waits = append(waits, wait{flight, known})
		}
	}
	var patience <-chan time.Time
	for _, w := range waits {
		if !w.known {
			select {
			case <-w.flight:
			case <-ctx.Done():
			}
			continue
		}
		if patience == nil {
			timer := time.NewTimer(shortly)
			defer timer.Stop()
			patience = timer.C
		}
		select {
		case <-w.flight:
		case <-ctx.Done():
		case <-patience:
			return
		}
	}
}

// fetch starts to fetch a list if that is due, and returns what to wait for; nil
// when there is nothing. known says that there is a list meanwhile.
func (s *source) fetch(k kind, p patience) (flight <-chan struct{}, known bool) {
	sh := &s.shelves[k]
	now := time.Now()
	sh.mu.Lock()
	defer sh.mu.Unlock()
	old := now.After(sh.until)
	if sh.flight == nil {
		switch {
		case sh.err != nil && now.Sub(sh.failed) < again:
			return nil, sh.known
		case sh.known && !old && (p != anew || now.Sub(sh.fetched) < again):
			return nil, true
		}
		sh.start(s, k)
	}
	if p == hurried && sh.known && now.Before(sh.until.Add(maxAge)) {
		return nil, true
	}
	return sh.flight, sh.known
}

// start fetches the list in the background: who asked first may give up while
// others wait. The shelf is locked.
func (sh *shelf) start(s *source, k kind) {
	done := make(chan struct{})
	sh.flight, sh.doubted = done, false
	g := s.catalog.g
	g.flying.Go(func() {
		ctx, cancel := context.WithTimeout(g.work, listLimit)
		defer cancel()
		got, err := s.ask(ctx, k)
		defer close(done) // after all below: who waits looks at the version without the lock
		sh.mu.Lock()
		defer sh.mu.Unlock()
		sh.flight = nil
		if err != nil {
			if g.work.Err() == nil && sh.err == nil {
				g.log.Warn("an upstream does not list what it has", "upstream", s.Name(), "list", forms[k].method, "error", err.Error())
			}
			sh.err, sh.failed = err, time.Now()
			return
		}
		sh.err, sh.known, sh.absent, sh.items = nil, true, got.absent, got.items
		sh.fetched = time.Now()
		sh.until = sh.fetched.Add(got.ttl)
		if sh.doubted {
			sh.until = sh.fetched.Add(-maxAge) // what has come may be from before the change
		}
		s.catalog.version[k].Add(1)
	})
}

// listing is a list as it was fetched.
type listing struct {
	items  []item
	absent bool
	ttl    time.Duration
}

// ask fetches all pages of a list.
func (s *source) ask(ctx context.Context, k kind) (listing, error) {
	got := listing{ttl: legacyTTL}
	info, err := s.Info(ctx)
	if err != nil {
		return got, err
	}
	if wire.Member(info.Capabilities, forms[k].capability) == nil {
		got.absent = true
		return got, nil
	}
	seen := map[string]bool{}
	var params json.RawMessage
	for range maxPages {
		a, err := s.Do(ctx, upstream.Call{Method: forms[k].method, Params: params})
		switch {
		case err != nil:
			return got, err
		case a.Error != nil && a.Error.Code == wire.CodeMethodNotFound:
			got.absent = true
			return got, nil
		case a.Error != nil:
			return got, fmt.Errorf("%s: %w", forms[k].method, a.Error)
		}
		if err := s.page(k, a.Result, seen, &got); err != nil {
			return got, err
		}
		cursor := wire.Member(a.Result, "nextCursor")
		if text, ok := wire.String(cursor); !ok || text == "" {
			return got, nil
		}
		params = append(append([]byte(`{"cursor":`), cursor...), '}')
	}
	return got, fmt.Errorf("%s: more than %d pages", forms[k].method, maxPages)
}

// page adds one page to a listing.
func (s *source) page(k kind, result json.RawMessage, seen map[string]bool, got *listing) error {
	list := wire.Member(result, forms[k].member)
	if wire.Kind(list) != '[' {
		return fmt.Errorf("%s: the answer has no array %s", forms[k].method, forms[k].member)
	}
	if ms, err := strconv.ParseInt(string(wire.Member(result, "ttlMs")), 10, 64); err == nil {
		got.ttl = min(max(time.Duration(min(ms, maxTTL.Milliseconds()))*time.Millisecond, minTTL), maxTTL)
	}
	for raw := range wire.Elements(list) {
		key, ok := wire.String(wire.Member(raw, forms[k].key))
		switch {
		case !ok || key == "":
			s.leaveOut(k, "", "it has no "+forms[k].key)
		case seen[key]:
			s.leaveOut(k, key, "it is listed twice")
		case len(got.items) == maxItems:
			return fmt.Errorf("%s: more than %d items", forms[k].method, maxItems)
		default:
			seen[key] = true
			got.items = append(got.items, item{key, raw})
		}
	}
	return nil
}

// leaveOut says once why something is not listed.
func (s *source) leaveOut(k kind, key, reason string) {
	c := s.catalog
	id := strings.Join([]string{s.Name(), forms[k].method, key, reason}, "\x00")
	c.warning.Lock()
	defer c.warning.Unlock()
	if c.warned[id] || len(c.warned) == maxItems {
		return
	}
	c.warned[id] = true
	c.g.log.Warn("left out of a list", "upstream", s.Name(), "list", forms[k].method, "item", clip(key), "reason", reason)
}

// changed makes the lists that a notification is about fetched anew.
func (c *catalog) changed(name, method string) {
	for _, s := range c.sources {
		if s.Name() != name {
			continue
		}
		for k := range kinds {
			if method == "" || method == fmt.Sprintf(methodChangedIn, forms[k].capability) {
				sh := &s.shelves[k]
				sh.mu.Lock()
				sh.until = time.Now().Add(-maxAge) // not even calls go by the old list
				sh.failed, sh.doubted = time.Time{}, true
				sh.mu.Unlock()
			}
		}
	}
}

// state is what a shelf holds at the moment.
func (sh *shelf) state() (items []item, known bool, err error) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.items, sh.known, sh.err
}

// has reports whether the upstream may have such a list.
func (sh *shelf) has() bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return !sh.absent
}

// view returns the merged list as the shelves have it now.
func (c *catalog) view(k kind) *view {
	now := c.version[k].Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	if v := c.views[k]; v != nil && v.version == now {
		return v
	}
	c.views[k] = c.merge(k, now)
	return c.views[k]
}
