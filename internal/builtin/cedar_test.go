package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// cedarConfig makes the configuration of policies and whatever else is given.
func cedarConfig(policies string, more ...string) string {
	members := map[string]string{"policies": policies}
	for i := 0; i+1 < len(more); i += 2 {
		members[more[i]] = more[i+1]
	}
	return string(encode(members))
}

func cedarContext(user, server, original string) *plugin.Context {
	c := &plugin.Context{GlobalContext: plugin.GlobalContext{RequestID: "r", TenantID: "acme", ServerID: server, User: json.RawMessage(user)}}
	if original != "" {
		c.GlobalContext.Metadata = plugin.Object{"original_name": encode(original)}
	}
	return c
}

func TestCedarDecides(t *testing.T) {
	const (
		allow = `permit (principal, action, resource);`
		call  = `{"name":"read","args":{"path":"/etc/passwd","n":9007199254740993,"f":1.5,"l":["a","b"],"z":null,"w":5.0}}`
	)
	tests := []struct{ name, policies, hook, payload, want string }{
		{"nothing permits", `permit (principal == User::"bob", action, resource);`, "tool_pre_invoke", call, "No policy permits this"},
		{"by principal", `permit (principal == User::"alice", action, resource);`, "tool_pre_invoke", call, ""},
		{"by tenant", `permit (principal in Tenant::"acme", action, resource);`, "tool_pre_invoke", call, ""},
		{"by action", `permit (principal, action == Action::"prompt_pre_fetch", resource);`, "tool_pre_invoke", call, "No policy permits this"},
		{"by tool", `permit (principal, action, resource == Tool::"read");`, "tool_pre_invoke", call, ""},
		{"by server", `permit (principal, action, resource in Server::"files");`, "tool_pre_invoke", call, ""},
		{"by another server", `permit (principal, action, resource in Server::"web");`, "tool_pre_invoke", call, "No policy permits this"},
		{"by attribute", `permit (principal, action, resource) when { resource.name like "re*" };`, "tool_pre_invoke", call, ""},
		{"a prompt is no tool", `permit (principal, action, resource == Tool::"read");`, "prompt_pre_fetch", `{"prompt_id":"read"}`, "No policy permits this"},
		{"a prompt", `permit (principal, action, resource == Prompt::"read") when { context.arguments.a == "x" };`, "prompt_pre_fetch", `{"prompt_id":"read","args":{"a":"x"}}`, ""},
		{"a resource", `permit (principal, action, resource is Resource) when { resource.uri like "file:///data/*" };`, "resource_pre_fetch", `{"uri":"file:///data/x"}`, ""},
		{"an agent", `permit (principal, action, resource == Agent::"a") when { context.arguments.t == 1 };`, "agent_pre_invoke", `{"agent_id":"a","messages":[],"parameters":{"t":1}}`, ""},
		{"forbid beats permit", allow + `forbid (principal, action, resource) when { context.arguments.path like "/etc/*" };`, "tool_pre_invoke", call, "A policy forbids this"},
		{"an exact number", `permit (principal, action, resource) when { context.arguments.n == 9007199254740993 && context.arguments.w == 5 };`, "tool_pre_invoke", call, ""},
		{"decimal, set, absence", `permit (principal, action, resource) when { context.arguments.f == decimal("1.5") && context.arguments.l.contains("b") && !(context.arguments has z) };`, "tool_pre_invoke", call, ""},
		{"a forbid that cannot be evaluated", allow + `forbid (principal, action, resource) when { context.arguments.n like "/etc/*" };`, "tool_pre_invoke", call, "A policy that could forbid this cannot be evaluated"},
		{"a permit that cannot be evaluated", `permit (principal, action, resource) when { context.arguments.missing == 1 };`, "tool_pre_invoke", call, "No policy permits this"},
		{"another spelling of args is not looked at", allow + `forbid (principal, action, resource) when { context.arguments.path == "x" };`, "tool_pre_invoke", `{"name":"t","args":{"path":"x"},"ARGS":{"path":"y"}}`, "A policy forbids this"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlugin(t, "cedar", cedarConfig(tt.policies))
			_, _, violation := verdict(t, p, tt.hook, tt.payload, cedarContext(`"alice"`, "files", ""))
			if (violation == "") != (tt.want == "") || tt.want != "" && !strings.Contains(violation, `"description":"`+tt.want+`"`) {
				t.Errorf("got %s, want %s", violation, tt.want)
			}
		})
	}
}

func TestCedarNamesThePolicies(t *testing.T) {
	p := mustPlugin(t, "cedar", cedarConfig(`@id("readers") permit (principal, action, resource); @id("no-write") forbid (principal, action, resource == Tool::"write"); forbid (principal, action, resource) when { context.arguments.a like "*" };`))
	for payload, want := range map[string]string{
		`{"name":"read","args":{"a":5}}`:    `{"reason":"Not permitted by policy","description":"A policy that could forbid this cannot be evaluated","code":"CEDAR_DENIED","details":{"failed_policies":["policy2"]},"mcp_error_code":null}`,
		`{"name":"write","args":{"a":"x"}}`: `{"reason":"Not permitted by policy","description":"A policy forbids this","code":"CEDAR_DENIED","details":{"policies":["no-write","policy2"]},"mcp_error_code":null}`,
	} {
		if _, _, violation := verdict(t, p, "tool_pre_invoke", payload, nil); violation != want {
			t.Errorf("got %s\nwant %s", violation, want)
		}
	}
	p = mustPlugin(t, "cedar", cedarConfig(`@id("readers") permit (principal, action, resource);`))
	if _, metadata, _ := verdict(t, p, "tool_pre_invoke", `{"name":"read"}`, nil); metadata != `{"cedar_policies":["readers"]}` {
		t.Errorf("got %s", metadata)
	}
}

// A second upstream prefixes all names, which must not switch a forbid off.
func TestCedarKnowsAToolByEitherName(t *testing.T) {
	p := mustPlugin(t, "cedar", cedarConfig(`permit (principal, action, resource); forbid (principal, action, resource == Tool::"delete");`))
	if _, _, violation := verdict(t, p, "tool_pre_invoke", `{"name":"up__delete"}`, cedarContext(``, "up", "delete")); violation == "" {
		t.Error("the upstream's own name is forbidden, and passes")
	}
	p = mustPlugin(t, "cedar", cedarConfig(`permit (principal, action, resource == Tool::"read");`))
	if _, _, violation := verdict(t, p, "tool_pre_invoke", `{"name":"up__read"}`, cedarContext(``, "up", "read")); violation != "" {
		t.Errorf("got %s", violation)
	}
}

func TestCedarKnowsUsersAndEntities(t *testing.T) {
	const entities = `[{"uid":{"type":"User","id":"a@x"},"attrs":{},"parents":[{"type":"Group","id":"staff"}]},{"uid":{"type":"Group","id":"staff"},"attrs":{},"parents":[]}]`
	for _, tt := range []struct {
		policy, user string
		allowed      bool
	}{
		{`permit (principal in Group::"staff", action, resource);`, `"a@x"`, true},
		{`permit (principal in Group::"staff", action, resource);`, `{"email":"a@x","teams":["t"]}`, true},
		{`permit (principal in Group::"staff", action, resource);`, `"b@x"`, false},
		{`permit (principal, action, resource) when { context.user.teams.contains("t") };`, `{"email":"a@x","teams":["t"]}`, true},
		{`permit (principal == User::"anonymous", action, resource);`, ``, true},
	} {
		p := mustPlugin(t, "cedar", cedarConfig(tt.policy, "entities", entities))
		if _, _, violation := verdict(t, p, "tool_pre_invoke", `{"name":"t"}`, cedarContext(tt.user, "", "")); (violation == "") != tt.allowed {
			t.Errorf("%s as %s: got %s", tt.policy, tt.user, violation)
		}
	}
}

func TestCedarReadsFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"p.cedar":       `permit (principal in Group::"staff", action, resource);`,
		"e.json":        `[{"uid":{"type":"User","id":"al"},"attrs":{},"parents":[{"type":"Group","id":"staff"}]}]`,
		"s.cedarschema": `entity Group; entity User in [Group]; entity Tool; action tool_pre_invoke appliesTo { principal: User, resource: Tool, context: {} };`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	config := cedarConfig("@"+dir+"/p.cedar", "entities", "@"+dir+"/e.json", "schema", "@"+dir+"/s.cedarschema")
	if _, _, violation := verdict(t, mustPlugin(t, "cedar", config), "tool_pre_invoke", `{"name":"t"}`, cedarContext(`"al"`, "", "")); violation != "" {
		t.Errorf("got %s", violation)
	}
}

func TestCedarConfigFaults(t *testing.T) {
	const (
		allow  = `permit (principal, action, resource);`
		schema = `entity User; entity Tool { name: String }; action tool_pre_invoke appliesTo { principal: User, resource: Tool, context: {} };`
	)
	dir := t.TempDir()
	tests := []struct{ config, want string }{
		{`{}`, "policies: required, but missing"},
		{`{"policy":"x"}`, `policy: unknown key "policy" (known: policies, entities, schema)`},
		{cedarConfig("permit"), "policies: not Cedar policies: "},
		{cedarConfig("// none"), "policies: no policy: all would be refused"},
		{cedarConfig(`@id("a") ` + allow + `@id("a") ` + allow), `policies: two policies have the id "a"`},
		{cedarConfig("@" + dir + "/none"), "policies: stat " + dir + "/none: "},
		{cedarConfig("@" + dir), "policies: " + dir + " is not a file"},
		{cedarConfig(allow, "entities", "x"), "entities: not Cedar's JSON of entities: "},
		{`{"policies":"` + allow + `","entities":{}}`, "entities: not Cedar's JSON of entities: "},
		{cedarConfig(allow, "schema", "entity"), "schema: not a Cedar schema: "},
		{cedarConfig(`permit (principal, action, resource is Tool) when { resource.size > 1 };`, "schema", schema), "policies: policy policy0: "},
		{cedarConfig(allow, "schema", schema, "entities", `[{"uid":{"type":"Robot","id":"r"},"attrs":{},"parents":[]}]`), "entities: "},
	}
	for _, tt := range tests {
		_, err := newPlugin(t, "cedar", tt.config)
		if _, ok := errors.AsType[*plugin.ConfigError](err); !ok || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v\nwant %s", tt.config, err, tt.want)
		}
	}
}

func TestCedarTakesABrokenPayloadForAnError(t *testing.T) {
	p := mustPlugin(t, "cedar", leastConfig("cedar"))
	for _, payload := range []string{`{}`, `[]`, `{"name":null}`, `{"name":"t","args":[]}`, `{"name":"t","args":{"a":`} {
		if r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, json.RawMessage(payload), &plugin.Context{}); err == nil {
			t.Errorf("%s: got %+v", payload, r)
		}
	}
}
