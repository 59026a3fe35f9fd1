package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// plugin checks one plugin of the server.
func (c *checker) plugin(ctx context.Context, info remote.Info) error {
	r := report{plugin: info.Name, results: &c.results}
	r.add("§2", "get_plugin_config finds it in any case", c.anyCase(ctx, info.Name))
	r.add("§2", "its mode is a mode", checkMode(info.Mode))
	r.add("§2", "mcp is never sent", checkAbsent(info.Raw, "mcp"))
	r.add("§2", "secrets in its config are masked", checkMasked(wire.Member(info.Raw, "config"), ""))
	r.add("§2", "its hooks are named, each once", checkNamed(info.Raw))
	if info.Mode == "disabled" {
		return nil
	}
	hook := sampleHook(info.Hooks)
	if other := otherCase(info.Name); other != info.Name {
		r.add("§2", "invoke_hook wants its name in the right case", c.unableToFind(ctx, other, string(hook)))
	}
	r.add("§6", "a hook that is not declared is an error with the usual text", c.unableToFind(ctx, info.Name, string(undeclared)))
	p, err := c.remote(info.Name)
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }() // nothing is left to lose
	for _, hook := range info.Hooks {
		h := &served{report: r.about(hook), p: p, name: info.Name, hook: hook, o: &c.o}
		h.run(ctx)
	}
	return nil
}

func (c *checker) anyCase(ctx context.Context, name string) verdict {
	got, err := c.session.tool(ctx, "get_plugin_config", append(wire.AppendString([]byte(`{"name":`), otherCase(name)), '}'))
	if err != nil {
		return failf("%v", err)
	}
	if got.isError || len(got.texts) != 1 || wire.Check(got.texts[0]) != nil {
		return failf("got %s", clip(got.raw))
	}
	if found, _ := wire.String(wire.Member(got.texts[0], "name")); found != name {
		return failf("%s gives %q", otherCase(name), found)
	}
	return pass
}

func checkMode(mode string) verdict {
	switch mode {
	case "enforce", "enforce_ignore_error", "permissive", "disabled":
		return pass
	case "sequential", "concurrent", "transform", "audit", "fire_and_forget":
		return warnf("%s is of the newer names: ContextForge's first gateways refuse the server", mode)
	}
	return failf("%q", mode)
}

func checkAbsent(object json.RawMessage, name string) verdict {
	if raw := wire.Member(object, name); !wire.IsNull(raw) {
		return failf("it is %s", clip(raw))
	}
	return pass
}

// checkNamed reads the hooks as they stand, for remote drops doubles.
func checkNamed(config json.RawMessage) verdict {
	var hooks []string
	for raw := range wire.Elements(wire.Member(config, "hooks")) {
		hook, ok := wire.String(raw)
		if !ok || hook == "" || slices.Contains(hooks, hook) {
			return failf("%s is no name, or there twice", raw)
		}
		hooks = append(hooks, hook)
	}
	if len(hooks) == 0 {
		return warnf("it names none, and gateways count on all")
	}
	return pass
}

// checkMasked looks for text under names that promise a secret.
func checkMasked(value json.RawMessage, at string) verdict {
	for i := range wire.Elements(value) {
		if v := checkMasked(i, at); v.status != Pass {
			return v
		}
	}
	for key, member := range wire.Members(value) {
		path := strings.TrimPrefix(at+"."+string(key), ".")
		text, isText := wire.String(member)
		if isText && text != "" && text != "***" && secretLike(string(key)) {
			return warnf("%s is readable for whoever may call", path)
		}
		if v := checkMasked(member, path); v.status != Pass {
			return v
		}
	}
	return pass
}

func secretLike(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"password", "passwd", "secret", "token", "api_key", "apikey", "private_key"},
		func(end string) bool { return strings.HasSuffix(key, end) })
}

// served is one hook of a plugin on a server.
type served struct {
	report
	p    *remote.Plugin
	name string
	hook plugin.Hook
	o    *Options
}

func (h *served) call(ctx context.Context, payload []byte, context json.RawMessage) (*remote.Answer, error) {
	return h.p.Call(ctx, h.hook, payload, context)
}

func (h *served) run(ctx context.Context) {
	s := h.o.sample(h.report)
	base, err := h.call(ctx, []byte(s.full), contextOf("base"))
	switch {
	case err != nil:
		h.add("§4", ruleVerdict, failf("%v", err))
		return
	case base.Error != nil:
		h.add("§4", ruleVerdict, warnf("the plugin failed: %s", base.Error.Message))
		h.add("§6", "an error names its plugin", checkError(base.Error, h.name))
	default:
		h.add("§4", ruleVerdict, pass)
		checkResult(h.report, s, base.Result)
		h.context(base)
	}
	h.variants(ctx, s, base.Error != nil)
	h.add("§5", ruleIsolated, h.concurrent(ctx, s))
}

func checkError(e *plugin.Error, name string) verdict {
	if e.Plugin != name {
		return failf("plugin_name is %q", e.Plugin)
	}
	return pass
}

// context checks what came back of the context.
func (h *served) context(a *remote.Answer) {
	got := wire.Member(a.Raw, "context")
	state := wire.Member(wire.Member(got, "state"), stateKey)
	v := pass
	switch {
	case got == nil:
		v = failf("there was state, and no context came back")
	case state == nil:
		v = skipf("the plugin took it away")
	case string(wire.Member(state, "n")) != big || wire.Member(state, "z") == nil:
		v = failf("%s became %s", kept, state)
	}
	h.add("§5", ruleState, v)
	global := wire.Member(got, "global_context")
	metadata := wire.Member(global, "metadata")
	v = pass
	switch {
	case got == nil:
		v = skipf("no context came back")
	case metadata != nil && !sameJSON(metadata, []byte(globalMetadata)):
		v = warnf("it was changed, which gateways ignore")
	}
	h.add("§5", ruleMetadata, v)
}

// sameJSON compares objects but for the order of their members and spaces.
func sameJSON(a, b json.RawMessage) bool {
	canonical := func(raw json.RawMessage) []byte {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) != nil {
			return nil
		}
		out, err := json.Marshal(v)
		if err != nil {
			return nil
		}
		return out
	}
	return bytes.Equal(canonical(a), canonical(b))
}

// variants sends the same payload in other forms, which must not turn a
// verdict into an error.
func (h *served) variants(ctx context.Context, s sample, failing bool) {
	type variant struct {
		section, rule string
		payload       []byte
		context       json.RawMessage
	}
	all := []variant{
		{"§3", ruleOptional, []byte(s.minimal), []byte(`{"state":{},"global_context":{"request_id":"minimal","state":{},"metadata":{}},"metadata":{}}`)},
		{"§3", "unknown fields are ignored", withUnknown(s.full), withUnknown(string(contextOf("unknown")))},
		{"§5", ruleUser, []byte(s.full), wire.SetMember(nil, contextOf("x"), "global_context",
			[]byte(`{"request_id":"user","user":{"email":"ada@example.com"},"state":{},"metadata":{}}`))},
	}
	if s.renamed != "" {
		all = append(all, variant{"§3", "snake_case and camelCase are the same", []byte(s.renamed), contextOf("renamed")})
	}
	for _, v := range all {
		if failing {
			h.add(v.section, v.rule, skipf("the plugin fails anyhow"))
			continue
		}
		got, err := h.call(ctx, v.payload, v.context)
		switch {
		case err != nil:
			h.add(v.section, v.rule, failf("%v", err))
		case got.Error != nil && v.rule == ruleUser && remote.TakesTextUser(got.Error):
			h.add(v.section, v.rule, warnf("the server takes text alone: a gateway sends it the user's email"))
		case got.Error != nil:
			h.add(v.section, v.rule, failf("the plugin failed on %s: %s", brief(v.payload), got.Error.Message))
		default:
			h.add(v.section, v.rule, pass)
		}
	}
}

// concurrent makes calls at the same time, and sees whose answer is whose.
func (h *served) concurrent(ctx context.Context, s sample) verdict {
	verdicts := make([]verdict, many)
	var wg sync.WaitGroup
	for i := range verdicts {
		wg.Go(func() {
			id := fmt.Sprintf("call-%d", i)
			verdicts[i] = pass
			got, err := h.call(ctx, []byte(s.full), contextOf(id))
			if err != nil {
				verdicts[i] = failf("%v", err)
				return
			}
			back := wire.Member(wire.Member(wire.Member(got.Raw, "context"), "global_context"), "request_id")
			if text, _ := wire.String(back); back != nil && text != id {
				verdicts[i] = failf("the context of %s is that of %s", id, text)
			}
		})
	}
	wg.Wait()
	for _, v := range verdicts {
		if v.status == Fail {
			return v
		}
	}
	return pass
}
