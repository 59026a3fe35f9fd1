package main

import (
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
)

// Both vocabularies of modes (plugin protocol §2); on_error goes on as it is.
func TestPipelineMode(t *testing.T) {
	for in, want := range map[string]pipeline.Mode{
		"":                     "", // the pipeline's default is enforce
		"enforce":              pipeline.Enforce,
		"sequential":           pipeline.Enforce,
		"enforce_ignore_error": pipeline.EnforceIgnoreError,
		"permissive":           pipeline.Permissive,
		"transform":            pipeline.Permissive,
		"audit":                pipeline.Audit,
		"concurrent":           pipeline.Concurrent,
		"fire_and_forget":      pipeline.FireAndForget,
		"disabled":             pipeline.Disabled,
	} {
		got := pipelineMode(in)
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
		if _, err := pipeline.New([]pipeline.Entry{{Name: "P", Mode: got}}, nil); err != nil {
			t.Error(err)
		}
	}
}
