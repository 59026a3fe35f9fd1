package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// DefaultTimeout is how long a hook may take when nothing else is said.
const DefaultTimeout = 30 * time.Second

// Entry is one plugin to serve, and what get_plugin_config tells of it.
type Entry struct {
	Name        string // what invoke_hook asks for; required, unique but for case
	Kind        string
	Description string
	Author      string
	Version     string
	Namespace   string
	Tags        []string

	// Mode is reported, not applied, in the legacy vocabulary that every
	// gateway knows; OnError is folded into it. Empty means enforce.
	Mode, OnError string

	Priority   int             // reported; a gateway runs low numbers first
	Conditions json.RawMessage // an array; nil stands for []
	AppliedTo  json.RawMessage // nil leaves it out

	// Config is reported as it is: mask secrets before. Nil leaves it out.
	Config json.RawMessage

	// Hooks are those to serve; nil means all that Plugin implements.
	Hooks []plugin.Hook

	// Timeout bounds one call; zero means [DefaultTimeout].
	Timeout time.Duration

	// Plugin is invoked by many goroutines at once. The server does not close it.
	Plugin plugin.Plugin
}

// LegacyMode names a mode in the vocabulary of ContextForge's first releases,
// whose gateways refuse a server that says anything else.
func LegacyMode(mode, onError string) string {
	switch mode {
	case "", "sequential", "concurrent", "enforce":
		if onError == "ignore" {
			return "enforce_ignore_error"
		}
		return "enforce"
	case "transform", "audit", "fire_and_forget":
		return "permissive"
	}
	return mode
}

// describe makes the object that get_plugin_config answers.
func (e *Entry) describe() (json.RawMessage, error) {
	hooks := e.Hooks
	if hooks == nil {
		hooks = []plugin.Hook{}
	}
	tags := e.Tags
	if tags == nil {
		tags = []string{}
	}
	conditions := e.Conditions
	if conditions == nil {
		conditions = json.RawMessage("[]")
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // people read this
	err := encoder.Encode(struct {
		Name        string          `json:"name"`
		Kind        string          `json:"kind"`
		Description string          `json:"description"`
		Author      string          `json:"author"`
		Namespace   string          `json:"namespace"`
		Version     string          `json:"version"`
		Hooks       []plugin.Hook   `json:"hooks"`
		Tags        []string        `json:"tags"`
		Mode        string          `json:"mode"`
		Priority    int             `json:"priority"`
		Conditions  json.RawMessage `json:"conditions"`
		AppliedTo   json.RawMessage `json:"applied_to,omitempty"`
		Config      json.RawMessage `json:"config,omitempty"`
	}{
		e.Name, e.Kind, e.Description, e.Author, e.Namespace, e.Version, hooks, tags,
		LegacyMode(e.Mode, e.OnError), e.Priority, conditions, e.AppliedTo, e.Config,
	})
	return bytes.TrimSpace(text.Bytes()), err
}

// newServed checks an entry and completes it.
func newServed(e Entry) (*served, error) {
	if e.Name == "" {
		return nil, fmt.Errorf("a plugin has no name")
	}
	if e.Plugin == nil {
		return nil, fmt.Errorf("plugin %s: there is no plugin", e.Name)
	}
	if e.Hooks == nil {
		e.Hooks = e.Plugin.Hooks()
	}
	e.Hooks = slices.Clone(e.Hooks)
	if e.Timeout <= 0 {
		e.Timeout = DefaultTimeout
	}
	config, err := e.describe()
	if err != nil {
		return nil, fmt.Errorf("plugin %s: describing it: %w", e.Name, err)
	}
	return &served{Entry: e, config: config}, nil
}

// find returns the plugin of exactly this name, as invoke_hook asks for it.
func (s *Server) find(name string) *served {
	for _, p := range s.plugins {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// findFold returns the plugin of this name in any case, as get_plugin_config
// asks for it.
func (s *Server) findFold(name string) *served {
	for _, p := range s.plugins {
		if strings.EqualFold(p.Name, name) {
			return p
		}
	}
	return nil
}
