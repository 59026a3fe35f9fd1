package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// benchmark is one line of `go test -bench`, the least of several runs.
type benchmark struct {
	name          string  // without "Benchmark" and the count of CPUs
	ns, perPlugin float64 // of one run; for each plugin of it, where that is told
	bytes, allocs float64
}

// goBenchmarks runs the benchmarks of a package that match pattern, each as often
// as there are rounds, and takes the least of each: the machine has other work.
func (s *settings) goBenchmarks(ctx context.Context, pkg, pattern string) ([]*benchmark, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", pattern, "-benchtime", "50ms", "-count", strconv.Itoa(s.rounds), pkg)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return readBenchmarks(out)
}

func readBenchmarks(out []byte) ([]*benchmark, error) {
	var all []*benchmark
	byName := map[string]*benchmark{}
	for line := range bytes.Lines(out) {
		fields := strings.Fields(string(line))
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		now := &benchmark{name: name}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", line, err)
			}
			switch fields[i+1] {
			case "ns/op":
				now.ns = value
			case "ns/plugin":
				now.perPlugin = value
			case "B/op":
				now.bytes = value
			case "allocs/op":
				now.allocs = value
			}
		}
		switch before := byName[name]; {
		case before == nil:
			byName[name] = now
			all = append(all, now)
		case now.ns < before.ns:
			*before = *now
		}
	}
	return all, nil
}

// plugins measures a hook of each native plugin, in one process and without a
// pipeline. The benchmarks are those of internal/builtin.
func (s *settings) plugins(ctx context.Context) error {
	all, err := s.goBenchmarks(ctx, "./internal/builtin", "^BenchmarkNative$")
	if err != nil {
		return err
	}
	fmt.Println("\nhooks of the native plugins, by the size of the text; least of", s.rounds, "runs")
	t := newTable("kind", "text", "1 KB", "bytes", "allocations", "32 KB", "bytes", "allocations")
	defer t.flush()
	for i := 0; i+1 < len(all); i += 2 { // by size last
		parts := strings.Split(all[i].name, "/") // Native/kind/clean/1KB
		if len(parts) != 4 {
			return fmt.Errorf("the benchmark %s is not of this table", all[i].name)
		}
		row := []string{parts[1], parts[2]}
		for _, b := range all[i : i+2] {
			row = append(row, nanos(b.ns), fmt.Sprintf("%.0f", b.bytes), fmt.Sprintf("%.0f", b.allocs))
		}
		t.row(row...)
	}
	return nil
}

// pipeline measures what the pipeline costs for each plugin. What one costs that
// another process runs is in the table of hook calls, beside the bare POST.
func (s *settings) pipeline(ctx context.Context) error {
	all, err := s.goBenchmarks(ctx, "./internal/pipeline", "^BenchmarkPipeline$")
	if err != nil {
		return err
	}
	fmt.Println("\nthe pipeline's own cost for each plugin of fifty; least of", s.rounds, "runs")
	t := newTable("plugin", "payload of 1 KB", "32 KB")
	defer t.flush()
	for i := 0; i+1 < len(all); i += 2 {
		parts := strings.Split(all[i].name, "/")
		t.row(strings.ReplaceAll(parts[1], "-", " "), nanos(all[i].perPlugin), nanos(all[i+1].perPlugin))
	}
	return nil
}

func nanos(ns float64) string {
	switch {
	case ns < 1000:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 100_000:
		return fmt.Sprintf("%.1f µs", ns/1000)
	case ns < 10_000_000:
		return fmt.Sprintf("%.0f µs", ns/1000)
	default:
		return fmt.Sprintf("%.1f ms", ns/1e6)
	}
}
