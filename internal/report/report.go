// Package report holds what a plugin server says of a plugin: internal/remote
// reads and checks it, internal/pipeline applies it where the gateway's file
// leaves a setting open. Neither knows the other.
package report

import (
	"slices"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// Report is one checked answer of a plugin server. It is never changed, so that
// the same pointer means the same answer.
type Report struct {
	// Hooks are those that the plugin runs on: the entry's where it lists any.
	Hooks []plugin.Hook

	// Mode and OnError are names of either vocabulary; empty when the server says
	// nothing.
	Mode, OnError string

	// Priority is nil when the server says nothing.
	Priority *int

	// Conditions are nil when the server says nothing, and empty when the plugin
	// is to see all requests.
	Conditions []Condition
}

// Condition limits the requests that a plugin sees. Within one all fields must
// match; an empty field matches everything.
type Condition struct {
	ServerIDs    []string // exact
	TenantIDs    []string // exact
	Tools        []string // exact or with *; the client's name or the upstream's own
	Prompts      []string // the same
	Resources    []string // the same, of the URI
	Agents       []string // the same
	UserPatterns []string // part of the user's name, or with *
	ContentTypes []string // media types
}

// Narrows reports whether c leaves any request out.
func (c Condition) Narrows() bool {
	return slices.ContainsFunc([][]string{
		c.ServerIDs, c.TenantIDs, c.Tools, c.Prompts, c.Resources, c.Agents, c.UserPatterns, c.ContentTypes,
	}, func(list []string) bool { return len(list) > 0 })
}

// IsMode reports whether name is a mode of either vocabulary.
func IsMode(name string) bool {
	return slices.Contains([]string{
		"enforce", "enforce_ignore_error", "permissive", "disabled",
		"sequential", "transform", "audit", "concurrent", "fire_and_forget",
	}, name)
}

// IsOnError reports whether name says what a failure does.
func IsOnError(name string) bool { return slices.Contains([]string{"fail", "ignore", "disable"}, name) }
