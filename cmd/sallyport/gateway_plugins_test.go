package main

import (
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/pipeline"
)

// Both vocabularies of modes (plugin protocol §2).
func TestPipelineMode(t *testing.T) {
	for in, want := range map[[2]string]pipeline.Mode{
		{"", ""}:                            pipeline.Enforce,
		{"enforce", ""}:                     pipeline.Enforce,
		{"enforce", "fail"}:                 pipeline.Enforce,
		{"enforce", "ignore"}:               pipeline.EnforceIgnoreError,
		{"sequential", ""}:                  pipeline.Enforce,
		{"sequential", "ignore"}:            pipeline.EnforceIgnoreError,
		{"enforce_ignore_error", ""}:        pipeline.EnforceIgnoreError,
		{"permissive", ""}:                  pipeline.Permissive,
		{"transform", "ignore"}:             pipeline.Permissive,
		{"audit", ""}:                       pipeline.Audit,
		{"concurrent", ""}:                  "",
		{"fire_and_forget", ""}:             "",
		{"sequential", "disable"}:           "",
		{"enforce_ignore_error", "disable"}: "",
	} {
		got, err := pipelineMode(&config.Plugin{Mode: in[0], OnError: in[1]})
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%v: %q, %v, want %q", in, got, err, want)
		}
	}
}
