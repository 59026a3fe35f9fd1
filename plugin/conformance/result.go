package conformance

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// The rules about a verdict, in the same words for a plugin and a server.
const (
	ruleVerdict  = "each call has a verdict or an error"
	ruleOptional = "optional fields may be absent"
	rulePayload  = "modified_payload has the hook's shape"
	ruleFixed    = "only the hook's own fields are changed"
	ruleNumbers  = "numbers and nulls in free-form objects survive"
	ruleReason   = "a violation has reason, description and code"
	ruleMetadata = "global metadata is read-only"
	ruleState    = "state that the plugin does not touch comes back"
	ruleUser     = "user may be an object"
	ruleIsolated = "calls at the same time do not mix"
)

// checkResult judges the form of a verdict on s.full.
func checkResult(r report, s sample, result *plugin.Result) {
	r.add("§4", ruleReason, checkViolation(result))
	modified := result.ModifiedPayload
	if wire.IsNull(modified) {
		why := skipf("the plugin changed nothing: a payload that it changes shows more")
		if s.given {
			why = skipf("the plugin changed nothing of the payload given")
		}
		r.add("§4", rulePayload, why)
		if s.fixed != "" {
			r.add("§7", ruleFixed, why)
		}
		if len(s.free) > 0 {
			r.add("§3", ruleNumbers, why)
		}
		return
	}
	r.add("§4", rulePayload, checkShape(r.hook, modified))
	if s.fixed != "" {
		before, _ := wire.String(wire.Member([]byte(s.full), s.fixed))
		after, ok := wire.String(wire.Member(modified, s.fixed))
		v := pass
		if ok && before != after {
			v = warnf("%s is changed, which gateways ignore", s.fixed)
		}
		r.add("§7", ruleFixed, v)
	}
	if len(s.free) > 0 {
		r.add("§3", ruleNumbers, checkFree(member(modified, s.free)))
	}
}

func checkViolation(result *plugin.Result) verdict {
	v := result.Violation
	switch {
	case result.Continue && v == nil:
		return pass
	case v == nil:
		return warnf("it refuses without a violation: nobody learns why")
	case v.Reason == "" || v.Description == "" || v.Code == "":
		return failf("reason %q, description %q, code %q", v.Reason, v.Description, v.Code)
	}
	return pass
}

// checkFree looks at a free-form object that held big and a null.
func checkFree(object json.RawMessage) verdict {
	n, z := wire.Member(object, "n"), wire.Member(object, "z")
	switch {
	case n == nil:
		return skipf("the plugin took the object away, or the number")
	case string(n) != big:
		return failf("%s became %s", big, n)
	case z == nil:
		return failf("a null is gone")
	}
	return pass
}

// checkShape judges modified_payload, which is not the payload's own shape on
// the HTTP hooks.
func checkShape(hook plugin.Hook, modified json.RawMessage) verdict {
	if err := shape(hook, modified); err != nil {
		return failf("%v: %s", err, clip(modified))
	}
	return pass
}

func shape(hook plugin.Hook, modified json.RawMessage) error {
	if err := wire.Check(modified); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if wire.Kind(modified) != '{' {
		return errors.New("not an object")
	}
	if hook == plugin.HTTPPreRequest || hook == plugin.HTTPPostRequest {
		for name, value := range wire.Members(modified) {
			if wire.Kind(value) != '"' {
				return fmt.Errorf("header %s is not a string", name)
			}
		}
		return nil
	}
	if hook == plugin.HTTPAuthResolveUser {
		if email, ok := wire.String(wire.Member(modified, "email")); !ok || email == "" {
			return errors.New("the user has no email")
		}
		return nil
	}
	if hook == plugin.HTTPAuthCheckPermission {
		if k := wire.Kind(wire.Member(modified, "granted")); k != 't' && k != 'f' {
			return errors.New("granted is neither true nor false")
		}
		return nil
	}
	return decode(hook, modified)
}

// checkPayload says why given is no payload of the hook.
func checkPayload(hook plugin.Hook, given json.RawMessage) error {
	if err := wire.Check(given); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if wire.Kind(given) != '{' {
		return errors.New("not an object")
	}
	return decode(hook, given)
}

// decode reads a payload as the hook's type does.
func decode(hook plugin.Hook, raw json.RawMessage) error {
	if v := payloadOf(hook); v != nil {
		return json.Unmarshal(raw, v)
	}
	return nil
}

// payloadOf is a typed payload of the hook to decode into, nil for custom hooks.
func payloadOf(hook plugin.Hook) any {
	payloads := map[plugin.Hook]any{
		plugin.ToolPreInvoke: &plugin.ToolPre{}, plugin.ToolPostInvoke: &plugin.ToolPost{},
		plugin.PromptPreFetch: &plugin.PromptPre{}, plugin.PromptPostFetch: &plugin.PromptPost{},
		plugin.ResourcePreFetch: &plugin.ResourcePre{}, plugin.ResourcePostFetch: &plugin.ResourcePost{},
		plugin.AgentPreInvoke: &plugin.AgentPre{}, plugin.AgentPostInvoke: &plugin.AgentPost{},
		plugin.HTTPPreRequest: &plugin.HTTPPre{}, plugin.HTTPPostRequest: &plugin.HTTPPost{},
		plugin.HTTPAuthResolveUser: &plugin.ResolveUser{}, plugin.HTTPAuthCheckPermission: &plugin.CheckPermission{},
	}
	return payloads[hook]
}
