package builtin

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/pyre"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// searchReplace rewrites text by regular expressions, in order: what one word
// leaves is what the next one sees.
type searchReplace struct {
	words []*pyre.Sub
	hooks []plugin.Hook
}

var _ plugin.Plugin = (*searchReplace)(nil)

func newSearchReplace(c plugin.Config) (plugin.Plugin, error) {
	config, err := members(c.Raw, "", "words")
	if err != nil {
		return nil, err
	}
	items, err := list(config, "words")
	if err != nil {
		return nil, err
	}
	p := &searchReplace{hooks: c.Hooks}
	if len(p.hooks) == 0 {
		p.hooks = []plugin.Hook{plugin.PromptPreFetch, plugin.PromptPostFetch, plugin.ToolPreInvoke, plugin.ToolPostInvoke}
	}
	for i, item := range items {
		word, err := newWord(item, fmt.Sprintf("words[%d]", i))
		if err != nil {
			return nil, err
		}
		p.words = append(p.words, word)
	}
	if len(p.words) == 0 {
		c.Logger.Warn("no words: this plugin changes nothing")
	}
	return p, nil
}

// newWord reads one {"search", "replace"}.
func newWord(raw json.RawMessage, path string) (*pyre.Sub, error) {
	word, err := members(raw, path, "search", "replace")
	if err != nil {
		return nil, err
	}
	var parts [2]string
	for i, key := range []string{"search", "replace"} {
		value, ok := word[key]
		if !ok {
			return nil, &plugin.ConfigError{Path: join(path, key), Message: "required, but missing"}
		}
		if parts[i], err = text(value, join(path, key)); err != nil {
			return nil, err
		}
	}
	re, err := pyre.Compile(parts[0])
	if err != nil {
		return nil, &plugin.ConfigError{Path: join(path, "search"), Message: err.Error()}
	}
	sub, err := re.NewSub(parts[1])
	if err != nil {
		return nil, &plugin.ConfigError{Path: join(path, "replace"), Message: err.Error()}
	}
	return sub, nil
}

// Hooks implements [plugin.Plugin].
func (p *searchReplace) Hooks() []plugin.Hook { return p.hooks }

// invokeLimit bounds one call: patterns that backtrack are under a limit of
// their own for each search, but a payload can hold many strings.
const invokeLimit = 5 * time.Second

// Invoke implements [plugin.Plugin]. The result carries a payload only when a
// word was found and changed something.
func (p *searchReplace) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, invokeLimit)
	defer cancel()
	modified, changed, err := plugin.MapStrings(payload, func(at plugin.Path, s string) (string, error) {
		if !isText(hook, at) {
			return s, nil
		}
		return p.replace(ctx, at, s)
	})
	if err != nil {
		return nil, fmt.Errorf("search and replace in the payload of %s: %w", hook, err)
	}
	if !changed {
		return plugin.Continue(), nil
	}
	return &plugin.Result{Continue: true, ModifiedPayload: modified}, nil
}

// replace applies all words to one string. A search that took too long has
// found nothing out about the text, so that it must not pass: that is an error,
// whose text the operator needs.
func (p *searchReplace) replace(ctx context.Context, at plugin.Path, s string) (string, error) {
	for i, word := range p.words {
		replaced, err := word.Replace(ctx, s)
		if err != nil {
			return "", &plugin.Error{
				Message: fmt.Sprintf("words[%d].search on %s: %v", i, at, err),
				Code:    "search_limit",
			}
		}
		s = replaced
	}
	return s, nil
}
