package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// everything puts npm's server behind the gateway, over stdio and over HTTP, and
// compares what comes through with what the server says directly.
func (l *lab) everything(ctx context.Context, t *table) error {
	const peerName = "server-everything (upstream)"
	version := pinnedNPM()[npmEverything]
	if l.tools.noNPM != "" {
		t.skip(peerName, version, l.tools.noNPM)
		return nil
	}
	// Reached directly, it is another process of the same server: sessions in one
	// process take what they have zipped away from each other.
	var over [2]upstream
	for i := range over {
		var err error
		if over[i], err = l.everythingHTTP(ctx); err != nil {
			return err
		}
	}
	for _, us := range [][2]upstream{{l.everythingStdio(), l.everythingStdio()}, over} {
		u := us[0]
		for _, revision := range []string{legacy, modern} {
			// A gateway each, and with it a session of the upstream: the server
			// keeps what it has zipped for as long as its session.
			gateway, url, err := l.gateway(ctx, guarded, u)
			if err != nil {
				return err
			}
			transport := u.Name + ""
			seen, err := l.compare(ctx, us[1], url, revision)
			if err != nil {
				t.fault(peerName, version, transport, revision, fmt.Errorf("%w\nthe gateway complains:\n%s", err, gateway.complaints()))
				continue
			}
			t.add(peerName, version, transport, revision, seen)
		}
	}
	return nil
}

// compare asks the server directly and through the gateway.
func (l *lab) compare(ctx context.Context, u upstream, url, revision string) (seen string, err error) {
	direct, err := l.direct(ctx, u)
	if err != nil {
		return "", fmt.Errorf("reaching the server directly: %w", err)
	}
	defer func() { err = errors.Join(err, direct.close()) }()
	through, err := dialHTTP(ctx, url, revision)
	if err != nil {
		return "", fmt.Errorf("reaching the gateway: %w", err)
	}
	defer func() { err = errors.Join(err, through.close()) }()

	var counts []string
	var all []call
	for _, list := range []struct{ method, member, word string }{
		{"tools/list", "tools", "tools"}, {"prompts/list", "prompts", "prompts"},
		{"resources/list", "resources", "resources"}, {"resources/templates/list", "resourceTemplates", "templates"},
	} {
		items, err := sameList(ctx, direct, through, list.method, list.member)
		if err != nil {
			return "", err
		}
		counts = append(counts, fmt.Sprintf("%d %s", len(items), list.word))
		if list.word == "resources" {
			for _, item := range items {
				all = append(all, read(item.URI))
			}
		}
	}
	all = append(requests(), all...)
	var faults []error
	changed := 0
	for _, c := range all {
		different, err := same(ctx, direct, through, c, revision)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s %s: %w", c.method, c.params, err))
			if len(faults) == enough {
				break
			}
		}
		if different {
			changed++
		}
	}
	if changed == 0 {
		faults = append(faults, errors.New("the plugin has changed nothing: it was not in the path"))
	}
	return fmt.Sprintf("%s; %d requests equal, %d of them but for the plugin's word", strings.Join(counts, ", "), len(all), changed), errors.Join(faults...)
}

func (l *lab) direct(ctx context.Context, u upstream) (peer, error) {
	if u.URL != "" {
		return dialHTTP(ctx, u.URL, legacy)
	}
	cmd := l.command(ctx, u.Command, u.Args...)
	return dialStdio(ctx, cmd)
}

// enough faults of one kind are enough to read.
const enough = 5

// listed is what is needed of an item of a list.
type listed struct{ Name, URI string }

// sameList compares a list item by item, in their bytes.
func sameList(ctx context.Context, direct, through peer, method, member string) ([]listed, error) {
	var lists [2][]json.RawMessage
	for i, p := range []peer{direct, through} {
		a, err := p.do(ctx, call{method: method, params: "{}"})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
		var result map[string]json.RawMessage
		if err := json.Unmarshal(a.result, &result); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", method, err, a.fault)
		}
		if result["nextCursor"] != nil {
			return nil, fmt.Errorf("%s: has a second page, which this test does not read", method)
		}
		if err := json.Unmarshal(result[member], &lists[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", method, err)
		}
	}
	if !slices.EqualFunc(lists[0], lists[1], func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
		return nil, fmt.Errorf("%s differs\n directly: %s\n through:  %s", method, lists[0], lists[1])
	}
	items := make([]listed, len(lists[0]))
	for i, raw := range lists[0] {
		if err := json.Unmarshal(raw, &items[i]); err != nil {
			return nil, err
		}
	}
	return items, nil
}

// same makes one request directly and through the gateway. The answers have to
// be equal, once the direct one has had the plugin's word replaced; different
// says that this made a difference.
func same(ctx context.Context, direct, through peer, c call, revision string) (different bool, err error) {
	for range 3 {
		var want, got *answer
		if want, err = direct.do(ctx, c); err != nil {
			return false, fmt.Errorf("directly: %w", err)
		}
		if got, err = through.do(ctx, c); err != nil {
			return false, fmt.Errorf("through the gateway: %w", err)
		}
		expected := &answer{result: replaced(want.result), fault: replaced(want.fault), notes: want.notes}
		different = !bytes.Equal(want.result, expected.result)
		if err = equal(expected, got, revision); err == nil || !c.clock {
			return different, err
		}
	}
	return different, err
}

func replaced(b json.RawMessage) json.RawMessage {
	return bytes.ReplaceAll(b, []byte(word), []byte(replacement))
}

func equal(want, got *answer, revision string) error {
	if (want.result == nil) != (got.result == nil) {
		return fmt.Errorf("one is a result, one an error\n want: %s%s\n got:  %s%s", clip(want.result), want.fault, clip(got.result), got.fault)
	}
	if !bytes.Equal(want.fault, got.fault) {
		return fmt.Errorf("errors differ\n want: %s\n got:  %s", want.fault, got.fault)
	}
	result := got.result
	if revision == modern && result != nil {
		var err error
		if result, err = withoutModern(result); err != nil {
			return err
		}
	}
	if !bytes.Equal(want.result, result) {
		return fmt.Errorf("results differ\n want: %s\n got:  %s", clip(want.result), clip(result))
	}
	if !slices.Equal(want.notes, got.notes) {
		return fmt.Errorf("progress differs\n want: %s\n got:  %s", want.notes, got.notes)
	}
	return nil
}

// withoutModern takes away what 2026-07-28 demands of a result and an upstream
// of an older revision does not say.
func withoutModern(result json.RawMessage) (json.RawMessage, error) {
	for _, added := range []string{`{"cacheScope":"private","ttlMs":0,"resultType":"complete",`, `{"resultType":"complete",`} {
		if rest, ok := bytes.CutPrefix(result, []byte(added)); ok {
			return append([]byte{'{'}, rest...), nil
		}
	}
	return nil, fmt.Errorf("no resultType in front of %s", clip(result))
}
