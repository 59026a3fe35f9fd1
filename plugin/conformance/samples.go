package conformance

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// big is an integer that a double cannot hold.
const big = "9007199254740993"

// sample is what one hook is called with.
type sample struct {
	full    string // with every field
	minimal string // with the required ones
	renamed string // with names in the other spelling; empty when it has none

	// free leads to a free-form object of the payload that holds n: big and
	// z: null; empty when there is none.
	free []string

	// given says that full is the caller's.
	given bool

	// fixed is the field that the hook may not change; empty when there is none.
	fixed string
}

func samples() map[plugin.Hook]sample {
	const free = `{"text":"Hello, Ada","n":` + big + `,"z":null,"list":[1.50,{"a":null}]}`
	const result = `{"content":[{"type":"text","text":"Hello, Ada"}],"isError":false,"structuredContent":` + free + `}`
	const messages = `[{"role":"user","content":{"type":"text","text":"Hello, Ada"}}]`
	image := func(name string) string {
		return `{"prompt_id":"conformance","result":{"messages":[{"role":"user","content":{"type":"image","data":"aGk=","` + name + `":"image/png"}}],"description":"d"}}`
	}
	text := func(name string) string {
		return `{"uri":"file:///conformance.txt","content":{"type":"resource","id":"1","uri":"file:///conformance.txt","` + name + `":"text/plain","text":"Hello, Ada"}}`
	}
	const request = `"path":"/mcp","method":"POST","headers":{"accept":"application/json"}`
	const client = `,"client_host":"127.0.0.1","client_port":40000`
	return map[plugin.Hook]sample{
		plugin.ToolPreInvoke: {
			full:    `{"name":"conformance","args":` + free + `,"headers":{"X-Conformance":"1"}}`,
			minimal: `{"name":"conformance"}`, free: []string{"args"},
		},
		plugin.ToolPostInvoke: {
			full:    `{"name":"conformance","result":` + result + `}`,
			minimal: `{"name":"conformance","result":"Hello, Ada"}`, free: []string{"result", "structuredContent"}, fixed: "name",
		},
		plugin.PromptPreFetch: {
			full:    `{"prompt_id":"conformance","args":{"who":"Ada"}}`,
			minimal: `{"prompt_id":"conformance"}`, fixed: "prompt_id",
		},
		plugin.PromptPostFetch: {
			full: image("mimeType"), minimal: `{"prompt_id":"conformance","result":{"messages":` + messages + `}}`,
			renamed: image("mime_type"), fixed: "prompt_id",
		},
		plugin.ResourcePreFetch: {
			full:    `{"uri":"file:///conformance.txt","metadata":` + free + `}`,
			minimal: `{"uri":"file:///conformance.txt"}`, free: []string{"metadata"},
		},
		plugin.ResourcePostFetch: {
			full: text("mime_type"), minimal: `{"uri":"file:///conformance.txt","content":{"type":"resource","id":"1","uri":"file:///conformance.txt"}}`,
			renamed: text("mimeType"), fixed: "uri",
		},
		plugin.HTTPPreRequest: {full: `{` + request + client + `}`, minimal: `{` + request + `}`},
		plugin.HTTPPostRequest: {
			full:    `{` + request + client + `,"response_headers":{"content-type":"application/json"},"status_code":200}`,
			minimal: `{` + request + `}`,
		},
		plugin.HTTPAuthResolveUser: {
			full:    `{"credentials":{"scheme":"Bearer","credentials":"conformance"},"headers":{"accept":"application/json"}` + client + `}`,
			minimal: `{"headers":{}}`,
		},
		plugin.HTTPAuthCheckPermission: {
			full: `{"user_email":"ada@example.com","permission":"tools.invoke","resource_type":"tool","team_id":"t","is_admin":false,` +
				`"auth_method":"jwt","client_host":"127.0.0.1","user_agent":"conformance"}`,
			minimal: `{"user_email":"ada@example.com","permission":"tools.invoke"}`,
		},
		plugin.AgentPreInvoke: {
			full: `{"agent_id":"conformance","messages":` + messages + `,"tools":["t"],"headers":{"X-Conformance":"1"},"model":"m","system_prompt":"s","parameters":` + free + `}`,
			// Messages are a model's: whatever else they hold may go.
			minimal: `{"agent_id":"conformance","messages":` + messages + `}`, free: []string{"parameters"},
		},
		plugin.AgentPostInvoke: {
			full:    `{"agent_id":"conformance","messages":` + messages + `,"tool_calls":[` + free + `]}`,
			minimal: `{"agent_id":"conformance","messages":` + messages + `}`, fixed: "agent_id",
		},
	}
}

// sampleOf is the sample of a hook; custom hooks take any object.
func sampleOf(hook plugin.Hook) sample {
	if s, ok := samples()[hook]; ok {
		return s
	}
	return sample{full: `{"text":"Hello, Ada"}`, minimal: `{}`}
}

// ruleGiven is about [Options.Payloads].
const ruleGiven = "the payload given is one of the hook"

// sample is that of a hook, with the payload given for it, if there is one. A
// payload that is none of the hook is reported.
func (o *Options) sample(r report) sample {
	s := sampleOf(r.hook)
	given, ok := o.Payloads[r.hook]
	if !ok {
		return s
	}
	if err := checkPayload(r.hook, []byte(given)); err != nil {
		r.add("§3", ruleGiven, failf("%v: %s", err, brief([]byte(given))))
		return s
	}
	r.add("§3", ruleGiven, pass)
	s.full, s.given = string(withNumber([]byte(given), s.free)), true
	return s
}

// unused reports payloads of hooks that no plugin has.
func (o *Options) unused(r report, hooks []plugin.Hook) {
	for _, hook := range slices.Sorted(maps.Keys(o.Payloads)) {
		if !slices.Contains(hooks, hook) {
			r.about(hook).add("§3", ruleGiven, failf("no plugin has the hook"))
		}
	}
}

// withNumber adds big and a null to the free-form object that path leads to,
// and that object where it is missing.
func withNumber(payload json.RawMessage, path []string) json.RawMessage {
	if len(path) == 0 {
		return payload
	}
	inner := wire.Member(payload, path[0])
	switch {
	case !wire.IsNull(inner) && wire.Kind(inner) != '{': // a result that is a text
		return payload
	case len(path) > 1:
		inner = withNumber(inner, path[1:])
	default:
		inner = wire.SetMember(nil, wire.SetMember(nil, inner, "n", []byte(big)), "z", []byte("null"))
	}
	return wire.SetMember(nil, payload, path[0], inner)
}

// withUnknown adds a member that nobody knows.
func withUnknown(object string) json.RawMessage {
	return wire.SetMember(nil, []byte(object), "io.github.sallyport-mcp/unknown", []byte(`[null,1.50]`))
}

// globalMetadata is what plugins may read and not change.
const globalMetadata = `{"original_name":"conformance","tool":{"name":"conformance","description":"d","annotations":{},"input_schema":{"type":"object"}}}`

// kept is the state that a plugin finds, and has to leave as it is unless it
// wants something of it.
const kept = `{"n":` + big + `,"z":null}`

const stateKey = "sallyport_conformance"

// contextOf makes the context of one request.
func contextOf(id string) json.RawMessage {
	b := []byte(`{"state":{"` + stateKey + `":` + kept + `},"global_context":{"request_id":`)
	b = wire.AppendString(b, id)
	return append(b, `,"user":"ada","server_id":"conformance","state":{"`+stateKey+`":1.50},"metadata":`+globalMetadata+`},"metadata":{}}`...)
}

// member follows a path of names.
func member(raw json.RawMessage, path []string) json.RawMessage {
	for _, name := range path {
		raw = wire.Member(raw, name)
	}
	return raw
}
