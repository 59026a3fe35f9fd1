package main

import "testing"

func TestReadBenchmarksTakesTheLeast(t *testing.T) {
	all, err := readBenchmarks([]byte("goos: linux\n" +
		"BenchmarkNative/cedar/clean/1KB-2 \t 10\t  2000 ns/op\t 3.5 MB/s\t 11 B/op\t 7 allocs/op\n" +
		"BenchmarkNative/cedar/clean/1KB-2 \t 10\t  1500.5 ns/op\t 3.5 MB/s\t 12 B/op\t 8 allocs/op\n" +
		"BenchmarkPipeline/other-user/1KB-2 \t 10\t  50 ns/op\t 25.5 ns/plugin\t 0 B/op\t 0 allocs/op\nPASS\n"))
	want := []benchmark{
		{name: "Native/cedar/clean/1KB", ns: 1500.5, bytes: 12, allocs: 8},
		{name: "Pipeline/other-user/1KB", ns: 50, perPlugin: 25.5},
	}
	if err != nil || len(all) != len(want) || *all[0] != want[0] || *all[1] != want[1] {
		t.Errorf("got %v, %v", all, err)
	}
}
