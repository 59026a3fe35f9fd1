package builtin

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// cedarQuestion is one hook call as Cedar sees it: may this User do this Action
// (the hook) to this Tool, Prompt, Resource or Agent, with these arguments in
// the context.
type cedarQuestion struct {
	hook    plugin.Hook
	kind    cedar.EntityType
	names   []string // the client's, and the upstream's own; each is asked for
	user    cedar.EntityUID
	server  string
	tenant  string
	context cedar.Record
}

// cedarTargets says how each hook names what it is about.
var cedarTargets = map[plugin.Hook]struct {
	kind            cedar.EntityType
	name, arguments string
}{
	plugin.ToolPreInvoke:    {"Tool", "name", "args"},
	plugin.PromptPreFetch:   {"Prompt", "prompt_id", "args"},
	plugin.ResourcePreFetch: {"Resource", "uri", "metadata"},
	plugin.AgentPreInvoke:   {"Agent", "agent_id", "parameters"},
}

func newCedarQuestion(hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*cedarQuestion, error) {
	target, ok := cedarTargets[hook]
	if !ok {
		return nil, errors.New("not a hook of this kind")
	}
	var p map[string]json.RawMessage
	if err := json.Unmarshal(payload, &p); err != nil {
		return nil, err
	}
	name, err := text(p[target.name], target.name)
	if err != nil {
		return nil, err
	}
	arguments, err := cedarRecord(p[target.arguments])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", target.arguments, err)
	}
	global := c.GlobalContext
	record := cedar.RecordMap{
		"arguments":  arguments,
		"server_id":  cedar.String(global.ServerID),
		"tenant_id":  cedar.String(global.TenantID),
		"request_id": cedar.String(global.RequestID),
	}
	if len(global.User) > 0 && global.User[0] == '{' {
		if record["user"], err = cedarRecord(global.User); err != nil {
			return nil, fmt.Errorf("user: %w", err)
		}
	}
	return &cedarQuestion{
		hook: hook, kind: target.kind, names: namesOf(name, c),
		user:   cedar.NewEntityUID("User", cedar.String(userName(global.User))),
		server: global.ServerID, tenant: global.TenantID,
		context: cedar.NewRecord(record),
	}, nil
}

// request is the question under one of the names, and what is asked about: it
// has its name as an attribute, and is in its server.
func (q *cedarQuestion) request(name string) (cedar.Request, cedar.Entity) {
	resource := cedar.NewEntityUID(q.kind, cedar.String(name))
	key := cedar.String("name")
	if q.hook == plugin.ResourcePreFetch {
		key = "uri"
	}
	return cedar.Request{
		Principal: q.user,
		Action:    cedar.NewEntityUID("Action", cedar.String(q.hook)),
		Resource:  resource,
		Context:   q.context,
	}, entityIn(resource, "Server", q.server, cedar.RecordMap{key: cedar.String(name)})
}

// principal is the user, who is in the tenant.
func (q *cedarQuestion) principal() cedar.Entity {
	return entityIn(q.user, "Tenant", q.tenant, nil)
}

func entityIn(uid cedar.EntityUID, kind cedar.EntityType, parent string, attributes cedar.RecordMap) cedar.Entity {
	e := cedar.Entity{UID: uid, Attributes: cedar.NewRecord(attributes)}
	if parent != "" {
		e.Parents = cedar.NewEntityUIDSet(cedar.NewEntityUID(kind, cedar.String(parent)))
	}
	return e
}

// cedarRecord makes a record of a JSON object; absent and null are empty.
func cedarRecord(raw json.RawMessage) (cedar.Value, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return cedar.NewRecord(nil), nil
	}
	value, err := decodeExact(raw)
	if err != nil {
		return nil, err
	}
	if _, ok := value.(map[string]any); !ok {
		return nil, errors.New("not an object")
	}
	return cedarValue(value), nil
}

// cedarValue makes a value of Cedar's from one of JSON. Whole numbers are Long,
// others decimal; what neither can hold is its text. A list is a set. Null,
// which Cedar does not have, is nil: such a member is absent.
func cedarValue(value any) cedar.Value {
	switch v := value.(type) {
	case string:
		return cedar.String(v)
	case bool:
		return cedar.Boolean(v)
	case json.Number:
		return cedarNumber(string(v))
	case []any:
		items := make([]cedar.Value, 0, len(v))
		for _, item := range v {
			if item := cedarValue(item); item != nil {
				items = append(items, item)
			}
		}
		return cedar.NewSet(items...)
	case map[string]any:
		record := cedar.RecordMap{}
		for name, item := range v {
			if item := cedarValue(item); item != nil {
				record[cedar.String(name)] = item
			}
		}
		return cedar.NewRecord(record)
	default:
		return nil
	}
}

func cedarNumber(n string) cedar.Value {
	if i, err := strconv.ParseInt(n, 10, 64); err == nil {
		return cedar.Long(i)
	}
	if whole, zeros, ok := strings.Cut(n, "."); ok && strings.Trim(zeros, "0") == "" {
		if i, err := strconv.ParseInt(whole, 10, 64); err == nil { // 5.0 is 5
			return cedar.Long(i)
		}
	}
	if d, err := types.ParseDecimal(n); err == nil {
		return d
	}
	return cedar.String(n)
}
