package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// denyFilter refuses prompts, and where asked to also tool calls, whose
// arguments hold one of its words: as a substring, case and all.
type denyFilter struct {
	words []string
	hooks []plugin.Hook
}

var _ plugin.Plugin = (*denyFilter)(nil)

func newDenyFilter(c plugin.Config) (plugin.Plugin, error) {
	config, err := members(c.Raw, "", "words")
	if err != nil {
		return nil, err
	}
	items, err := list(config, "words")
	if err != nil {
		return nil, err
	}
	d := &denyFilter{hooks: c.Hooks}
	if len(d.hooks) == 0 {
		d.hooks = []plugin.Hook{plugin.PromptPreFetch}
	}
	for i, item := range items {
		path := fmt.Sprintf("words[%d]", i)
		word, err := text(item, path)
		if err != nil {
			return nil, err
		}
		if word == "" {
			return nil, &plugin.ConfigError{Path: path, Message: "an empty word is in every text: all would be refused"}
		}
		d.words = append(d.words, word)
	}
	if len(d.words) == 0 {
		c.Logger.Warn("no words: this plugin lets everything pass")
	}
	return d, nil
}

// Hooks implements [plugin.Plugin].
func (d *denyFilter) Hooks() []plugin.Hook { return d.hooks }

// errFound ends the search at the first word.
var errFound = errors.New("deny word found")

// Invoke implements [plugin.Plugin].
func (d *denyFilter) Invoke(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	_, _, err := plugin.MapStrings(payload, func(at plugin.Path, s string) (string, error) {
		if isText(hook, at) && d.denies(s) {
			return "", errFound
		}
		return s, nil
	})
	switch {
	case errors.Is(err, errFound) && hook == plugin.ToolPreInvoke:
		return plugin.Refuse(&plugin.Violation{
			Reason:      "Tool call not allowed",
			Description: "A deny word was found in the tool arguments",
			Code:        "deny",
		}), nil
	case errors.Is(err, errFound):
		return plugin.Refuse(&plugin.Violation{
			Reason:      "Prompt not allowed",
			Description: "A deny word was found in the prompt",
			Code:        "deny",
		}), nil
	case err != nil:
		return nil, fmt.Errorf("read the payload of %s: %w", hook, err)
	}
	return plugin.Continue(), nil
}

func (d *denyFilter) denies(s string) bool {
	for _, word := range d.words {
		if strings.Contains(s, word) {
			return true
		}
	}
	return false
}
