package main

import (
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
)

// table prints columns.
type table struct{ w *tabwriter.Writer }

func newTable(columns ...string) *table {
	t := &table{tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)}
	t.row(columns...)
	return t
}

func (t *table) row(cells ...string) { fmt.Fprintln(t.w, "  "+strings.Join(cells, "\t")) }

func (t *table) flush() { _ = t.w.Flush() } // standard output
