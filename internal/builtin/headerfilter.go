package builtin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// headerFilter takes headers out of a payload before they go to a tool's
// server or to an agent.
type headerFilter struct {
	remove map[string]bool // by name in lower case
	logger *slog.Logger    // nil: removals are not logged
}

var _ plugin.Plugin = (*headerFilter)(nil)

func newHeaderFilter(c plugin.Config) (plugin.Plugin, error) {
	s := newSettings(c.Raw, "", "filter_headers", "log_filtered_headers", "allow_passthrough_headers")
	names := s.texts("filter_headers", []string{
		"Authorization", "Cookie", "X-Vault-Tokens", "X-API-Key", "X-Auth-Token",
		"Proxy-Authorization", "WWW-Authenticate", "Set-Cookie",
	})
	if string(s.members["allow_passthrough_headers"]) == "{}" { // an empty set, as some write it
		delete(s.members, "allow_passthrough_headers")
	}
	passing := s.texts("allow_passthrough_headers", nil)
	logged := s.boolean("log_filtered_headers", true)
	if s.err != nil {
		return nil, s.err
	}
	f := &headerFilter{remove: map[string]bool{}}
	if logged {
		f.logger = c.Logger
	}
	for _, name := range names {
		f.remove[strings.ToLower(name)] = true
	}
	for _, name := range passing {
		delete(f.remove, strings.ToLower(name))
	}
	if len(f.remove) == 0 {
		c.Logger.Warn("no headers to filter: this plugin lets everything pass")
	}
	return onHooks(f, c.Hooks, f.Hooks()...), nil
}

// Hooks implements [plugin.Plugin].
func (f *headerFilter) Hooks() []plugin.Hook {
	return []plugin.Hook{plugin.ToolPreInvoke, plugin.AgentPreInvoke}
}

// Invoke implements [plugin.Plugin].
func (f *headerFilter) Invoke(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	var p map[string]json.RawMessage // not a struct: that would also take "HEADERS" for headers
	if err := json.Unmarshal(payload, &p); err != nil {
		return nil, fmt.Errorf("read the payload of %s: %w", hook, err)
	}
	headers := p["headers"]
	if len(headers) == 0 || bytes.Equal(headers, []byte("null")) {
		return plugin.Continue(), nil
	}
	kept, removed, err := f.filter(headers)
	if err != nil {
		return nil, fmt.Errorf("read the headers of %s: %w", hook, err)
	}
	if len(removed) == 0 {
		return plugin.Continue(), nil
	}
	modified, err := plugin.SetMember(payload, "headers", kept)
	if err != nil {
		return nil, fmt.Errorf("take headers out of the payload of %s: %w", hook, err)
	}
	if f.logger != nil {
		slices.Sort(removed)
		f.logger.Info("filtered headers", "hook", string(hook), "target", strings.Trim(string(p["name"])+string(p["agent_id"]), `"`), "headers", strings.Join(removed, ", "))
	}
	return &plugin.Result{Continue: true, ModifiedPayload: modified}, nil
}

// filter copies the members of an object of headers that may stay, in their
// order and with their bytes, and names the others.
func (f *headerFilter) filter(headers json.RawMessage) (kept json.RawMessage, removed []string, err error) {
	dec := json.NewDecoder(bytes.NewReader(headers))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, nil, errors.New("not an object")
	}
	kept = append(make(json.RawMessage, 0, len(headers)), '{')
	for dec.More() {
		start := dec.InputOffset()
		token, err := dec.Token()
		if err != nil {
			return nil, nil, err
		}
		name, _ := token.(string)
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, nil, err
		}
		if f.remove[strings.ToLower(strings.TrimSpace(name))] {
			removed = append(removed, name)
			continue
		}
		if len(kept) > 1 {
			kept = append(kept, ',')
		}
		kept = append(kept, bytes.TrimLeft(headers[start:dec.InputOffset()], ", \t\r\n")...)
	}
	return append(kept, '}'), removed, nil
}
