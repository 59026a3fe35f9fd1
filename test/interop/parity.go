package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
)

// parity gives ContextForge's native plugins and ours the same plugin files and
// the same payloads. Each difference is one that a row of docs/compatibility.md
// explains, and a file of testdata/parity lists, or a fault; and so is one that is
// listed and is not there.
func (l *lab) parity(ctx context.Context, t *table) error {
	sets, err := paritySets()
	if err != nil {
		return err
	}
	ours, err := l.parityOurs(ctx, sets)
	if err != nil {
		return err
	}
	lines := l.eras(t, "native plugins")
	answers := make([]map[string]*parityRun, len(lines))
	failures := make([]error, len(lines))
	var running sync.WaitGroup
	for i, c := range lines {
		if c.plugins != "" {
			running.Go(func() { answers[i], failures[i] = l.parityReference(ctx, c, sets) })
		}
	}
	running.Wait()
	counts := map[string]map[string]parityCount{}
	for i, c := range lines {
		switch {
		case c.plugins == "":
		case failures[i] != nil:
			t.fault("ContextForge's native plugins", c.version, "", "", failures[i])
		default:
			counts[c.era] = parityTable(t, c, sets, ours, answers[i])
		}
	}
	return parityDocumented(t, sets, counts)
}

// parityCount is what came of the inputs to one plugin.
type parityCount struct{ same, meant, faults int }

func (n parityCount) inputs() int { return n.same + n.meant + n.faults }

// seen is the count in words.
func (n parityCount) seen() string {
	text := fmt.Sprintf("%d inputs: %d answers the same, %d differ as listed", n.inputs(), n.same, n.meant)
	if n.faults > 0 {
		text += fmt.Sprintf(", %d FAULTS", n.faults)
	}
	return text
}

// String is the count in a cell of the documentation.
func (n parityCount) String() string {
	if n.inputs() == 0 {
		return "–"
	}
	return fmt.Sprintf("%d, %d", n.same, n.meant)
}

// parityDocumented holds the documentation to the numbers that were counted.
func parityDocumented(t *table, sets []*paritySet, counts map[string]map[string]parityCount) error {
	if counts[seed] == nil || counts[newest] == nil {
		return nil // nothing to hold it to
	}
	const file = "docs/compatibility.md"
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for _, set := range sets {
		was, is := counts[seed][set.Plugin], counts[newest][set.Plugin]
		row := fmt.Sprintf("| %s | %d | %s | %s |", set.Plugin, max(was.inputs(), is.inputs()), was, is)
		if !strings.Contains(string(text), "\n"+row+"\n") {
			t.faults = append(t.faults, fmt.Sprintf("%s should say: %s", file, row))
		}
	}
	return nil
}

// parityRun is what one side did with one entry.
type parityRun struct {
	Refused string            `json:"refused"` // why it did not start
	Answers []json.RawMessage `json:"answers"`
}

// parityTable compares one line with ours, prints what came of each plugin, and
// adds a row for all of them.
func parityTable(t *table, c *contextForge, sets []*paritySet, ours, theirs map[string]*parityRun) map[string]parityCount {
	counts := map[string]parityCount{}
	var all parityCount
	for _, set := range sets {
		var n parityCount
		for _, g := range set.Groups {
			if !g.in(c.era) {
				continue
			}
			for _, v := range compareRuns(c.era, set, g, ours[g.Name], theirs[g.Name]) {
				switch {
				case v.err != nil:
					n.faults++
					t.faults = append(t.faults, fmt.Sprintf("%s, %s: %v", g.Name, c.version, v.err))
				case v.meant:
					n.meant++
				default:
					n.same++
				}
			}
		}
		if n.inputs() > 0 {
			fmt.Printf("%s, ContextForge %s: %s\n", set.Plugin, c.version, n.seen())
			counts[set.Plugin] = n
		}
		all.same, all.meant, all.faults = all.same+n.same, all.meant+n.meant, all.faults+n.faults
	}
	t.add(c.name()+" native plugins", c.version, "HTTP", "2026-07-28", fmt.Sprintf("%d plugins, %s", len(counts), all.seen()))
	return counts
}

// in reports whether the line knows what the group asks for.
func (g *parityGroup) in(line string) bool { return g.Only == "" || g.Only == line }

type parityVerdict struct {
	meant bool
	err   error
}

// compareRuns gives a verdict for each input of a group.
func compareRuns(line string, set *paritySet, g *parityGroup, ours, theirs *parityRun) []parityVerdict {
	if ours == nil || theirs == nil {
		return []parityVerdict{{err: errors.New("was not run")}}
	}
	if v, done := g.started(line, ours.Refused, theirs.Refused); done {
		return []parityVerdict{v}
	}
	var verdicts []parityVerdict
	before := [2]json.RawMessage{}
	for i, c := range g.Calls {
		var v parityVerdict
		var sides [2]outcome
		for side, run := range []*parityRun{ours, theirs} {
			if !c.continues || i == 0 {
				before[side] = c.context
			}
			if sides[side], before[side], v.err = outcomeOf(c, before[side], run.Answers[i]); v.err != nil {
				break
			}
		}
		judge := c.judge
		if line == newest && g.Only != newest {
			judge = c.judgeNewest
		}
		if v.err == nil {
			v.meant, v.err = judge(sides[0], sides[1])
		}
		if v.err != nil {
			v.err = fmt.Errorf("%s.yaml:%d: %s %s: %w", set.Plugin, c.line, c.hook, clip(c.payload), v.err)
		}
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// started judges whether both sides start with an entry, and reports whether
// there is nothing to ask: because one of them does not, or because of a fault.
func (g *parityGroup) started(line, ours, theirs string) (v parityVerdict, done bool) {
	got := map[[2]bool]string{{true, true}: "both", {true, false}: "ours", {false, true}: "reference"}[[2]bool{ours != "", theirs != ""}]
	same := got == "" || got == "both"
	switch {
	case line == newest && got != g.Refused && (g.Newest != "" || same):
		return parityVerdict{meant: !same}, got != ""
	case got != g.Refused || line == newest && g.Newest != "":
		v.err = fmt.Errorf("should be refused by %q, and is by %q (%s):\n\treference: %q\n\tours:      %q", g.Refused, got, g.Newest, theirs, ours)
		return v, true
	}
	return parityVerdict{meant: !same}, got != ""
}
