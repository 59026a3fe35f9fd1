package main

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
)

// table collects what was found.
type table struct {
	rows    [][]string
	faults  []string
	skipped []string
}

// add adds a row: peer, version, transport, revision, what was seen.
func (t *table) add(peer, version, transport, revision, seen string) {
	t.rows = append(t.rows, []string{peer, version, transport, revision, seen})
}

// fault notes what went wrong, and adds a row for it.
func (t *table) fault(peer, version, transport, revision string, err error) {
	t.faults = append(t.faults, fmt.Sprintf("%s %s, %s: %v", peer, version, transport, err))
	t.add(peer, version, transport, revision, "FAILED")
}

// skip notes what could not be tried.
func (t *table) skip(peer, version, reason string) {
	t.skipped = append(t.skipped, peer+": "+reason)
	t.add(peer, version, "", "", "skipped: "+reason)
}

func (t *table) print() {
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PEER\tVERSION\tTRANSPORT\tREVISION\tSEEN")
	for _, row := range t.rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush()
}

func (t *table) verdict() error {
	if len(t.faults) > 0 {
		return fmt.Errorf("%d failed:\n%s", len(t.faults), strings.Join(t.faults, "\n"))
	}
	if len(t.skipped) > 0 && os.Getenv("REQUIRE_TOOLS") != "" {
		return fmt.Errorf("REQUIRE_TOOLS is set, and this could not be tried:\n%s", strings.Join(t.skipped, "\n"))
	}
	return nil
}

// tableFile keeps the table, between these two lines.
const (
	tableFile  = "docs/compatibility.md"
	tableBegin = "<!-- What follows is written by: go run ./test/interop -write bin/sallyport -->\n"
	tableEnd   = "<!-- end -->\n"
)

// markdown is the table as it is kept.
func (t *table) markdown() string {
	var b strings.Builder
	b.WriteString("| peer | version | transport | revision | seen |\n|---|---|---|---|---|\n")
	for _, row := range t.rows {
		b.WriteString("| " + strings.Join(row, " | ") + " |\n")
	}
	return b.String()
}

// keep writes the table into its file, or else says whether it is what the file
// has.
func (t *table) keep(write bool) error {
	text, err := os.ReadFile(tableFile)
	if err != nil {
		return err
	}
	before, rest, begun := strings.Cut(string(text), tableBegin)
	kept, after, ended := strings.Cut(rest, tableEnd)
	switch {
	case !begun || !ended:
		return fmt.Errorf("%s has no place for the table, between %q and %q", tableFile, tableBegin, tableEnd)
	case write:
		return os.WriteFile(tableFile, []byte(before+tableBegin+t.markdown()+tableEnd+after), 0o600)
	case !sameTable(kept, t.markdown()):
		return errors.New(tableFile + " has another table: write it with go run ./test/interop -write bin/sallyport")
	}
	return nil
}

var figures = regexp.MustCompile(`\d+`)

// sameTable compares all but the figures of what was seen, which may differ
// from run to run.
func sameTable(a, b string) bool {
	rows := func(text string) []string {
		var all []string
		for line := range strings.Lines(text) {
			cells := strings.Split(line, "|")
			if len(cells) > 2 {
				seen := &cells[len(cells)-2]
				*seen = figures.ReplaceAllString(*seen, "n")
			}
			all = append(all, strings.Join(cells, "|"))
		}
		return all
	}
	return slices.Equal(rows(a), rows(b))
}
