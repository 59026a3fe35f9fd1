package remote

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Tools of a plugin server.
const (
	toolConfigs = "get_plugin_configs"
	toolConfig  = "get_plugin_config"
	toolInvoke  = "invoke_hook"
)

// Info is what a plugin server says about one plugin. Fields that it leaves out
// are zero.
type Info struct {
	Raw json.RawMessage // the whole object as it stands on the wire

	Name        string
	Kind        string
	Description string
	Version     string
	Hooks       []plugin.Hook // nil when the server names none
	Mode        string        // of either vocabulary; "disabled" is not served
	OnError     string        // "" when the server says none
	Priority    *int          // nil when the server names none

	// Conditions are nil when the server names none, and empty when it says that
	// there are none.
	Conditions []report.Condition
}

// Describe asks the server about this plugin and remembers the hooks that it
// names. An [*Error] of kind [NotDeclared] means that the server does not have
// it.
func (p *Plugin) Describe(ctx context.Context) (*Info, error) {
	result, err := p.call(ctx, p.deadline(), toolConfig, p.describeArguments())
	if err != nil {
		return nil, p.fail(ctx, toolConfig, err)
	}
	info, err := decodeInfo(result, p.cfg.Name)
	if err != nil {
		if errors.Is(err, errNotDeclared) {
			err = &Error{Kind: NotDeclared, Plugin: p.cfg.Name, Doing: toolConfig, URL: p.cfg.URL, Err: p.suggest(ctx, err)}
		}
		return nil, p.fail(ctx, toolConfig, err)
	}
	p.learned.Store(&info.Hooks)
	p.textUser.Store(false) // it may be another server by now
	return info, nil
}

// List asks the server for all its plugins, in its order.
func (p *Plugin) List(ctx context.Context) ([]Info, error) {
	result, err := p.call(ctx, p.deadline(), toolConfigs, []byte(`{}`))
	if err != nil {
		return nil, p.fail(ctx, toolConfigs, err)
	}
	infos, err := decodeInfos(result, true)
	return infos, p.fail(ctx, toolConfigs, err)
}

func (p *Plugin) describeArguments() []byte {
	return append(wire.AppendString([]byte(`{"name":`), p.cfg.Name), '}')
}

// suggest adds what the server does have, as far as it tells.
func (p *Plugin) suggest(ctx context.Context, err error) error {
	result, listErr := p.call(ctx, p.deadline(), toolConfigs, []byte(`{}`))
	if listErr != nil {
		return err
	}
	infos, listErr := decodeInfos(result, true)
	if listErr != nil || len(infos) == 0 {
		return err
	}
	names := make([]string, 0, len(infos))
	for _, info := range infos {
		names = append(names, info.Name)
	}
	return hint.Add(err, "this server has: "+strings.Join(names, ", ")+" (names are case-sensitive)")
}

var errNotDeclared = errors.New("the server does not have this plugin")

// decodeInfo reads the tools/call result of get_plugin_config. The server finds
// a plugin in any case of its name, invoke_hook only in the right one: so does
// this.
func decodeInfo(result json.RawMessage, name string) (*Info, error) {
	infos, err := decodeInfos(result, false)
	if err != nil {
		return nil, err
	}
	switch {
	case len(infos) == 0 || infos[0].Name == "":
		return nil, errNotDeclared
	case infos[0].Name != name && strings.EqualFold(infos[0].Name, name):
		return nil, hint.Add(errNotDeclared, "the server's plugin is called "+infos[0].Name)
	case infos[0].Name != name:
		return nil, badAnswerf("asked for plugin %q, got %q", name, infos[0].Name)
	}
	return &infos[0], nil
}

// decodeInfos reads one plugin config from each text block. A list tells what
// there is, with modes that we do not know, too.
func decodeInfos(result json.RawMessage, list bool) ([]Info, error) {
	texts, isError, err := toolTexts(result)
	if err != nil {
		return nil, err
	}
	if isError {
		return nil, toolError(texts)
	}
	var infos []Info
	for _, text := range texts {
		if err := wire.Check(text); err != nil {
			return nil, badAnswerf("the text is not JSON: %s", err)
		}
		if wire.IsNull(text) {
			continue
		}
		if wire.Kind(text) != '{' {
			return nil, badAnswerf("a plugin's config is not an object")
		}
		info := Info{Raw: text}
		d := &decoder{in: "config", anyWord: list}
		for key, value := range wire.Members(text) {
			if !wire.IsNull(value) {
				info.set(d, key, value)
			}
		}
		if d.err != nil {
			return nil, d.err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (i *Info) set(d *decoder, key []byte, value json.RawMessage) {
	switch string(key) {
	case "name":
		i.Name = d.text(key, value)
	case "kind":
		i.Kind = d.text(key, value)
	case "description":
		i.Description = d.text(key, value)
	case "version":
		i.Version = d.text(key, value)
	case "mode":
		i.Mode = d.word(key, value, report.IsMode)
	case "on_error":
		i.OnError = d.word(key, value, report.IsOnError)
	case "conditions":
		i.Conditions = d.conditions(key, value)
	case "priority":
		i.Priority = d.number(key, value)
	case "hooks":
		i.Hooks = []plugin.Hook{}
		for _, name := range d.texts(key, value, maxHooks) {
			if hook := plugin.Hook(name); !slices.Contains(i.Hooks, hook) {
				i.Hooks = append(i.Hooks, hook)
			}
		}
	}
}

// word reads one of a closed list: a mode that we do not know could mean
// anything, so the plugin counts as not known.
func (d *decoder) word(key []byte, value json.RawMessage, known func(string) bool) string {
	text := d.text(key, value)
	if d.err == nil && !d.anyWord && !known(text) {
		d.fail("%s.%s is %.100q, which is none that is known", d.in, key, text)
	}
	return text
}

// What a server may list. Each call looks through it, and each answer is compared
// with the one before.
const (
	maxHooks    = 256
	maxPatterns = 10_000 // of all conditions
)

// texts reads an array of at most so many.
func (d *decoder) texts(key []byte, value json.RawMessage, most int) []string {
	if wire.Kind(value) != '[' {
		d.fail("%s.%s is not an array", d.in, key)
		return nil
	}
	texts := []string{}
	for one := range wire.Elements(value) {
		if len(texts) >= most {
			d.fail("%s.%s is too long", d.in, key)
			break
		}
		texts = append(texts, d.text(key, one))
	}
	return texts
}

// conditions reads when a plugin is to run. Of what is not known here nothing is
// lost: a condition without it leaves out less.
func (d *decoder) conditions(key []byte, value json.RawMessage) []report.Condition {
	if wire.Kind(value) != '[' {
		d.fail("%s.%s is not an array", d.in, key)
		return nil
	}
	conditions := []report.Condition{}
	left := maxPatterns
	for one := range wire.Elements(value) {
		if left--; left < 0 {
			d.fail("%s.%s is too long", d.in, key)
			return nil
		}
		if wire.Kind(one) != '{' {
			d.fail("%s.%s holds something other than objects", d.in, key)
			return nil
		}
		var c report.Condition
		lists := map[string]*[]string{
			"server_ids": &c.ServerIDs, "tenant_ids": &c.TenantIDs, "tools": &c.Tools, "prompts": &c.Prompts,
			"resources": &c.Resources, "agents": &c.Agents, "user_patterns": &c.UserPatterns, "content_types": &c.ContentTypes,
		}
		for name, list := range wire.Members(one) {
			if into := lists[string(name)]; into != nil && !wire.IsNull(list) {
				*into = d.texts(name, list, left)
				left -= len(*into)
			}
		}
		conditions = append(conditions, c)
	}
	return conditions
}
