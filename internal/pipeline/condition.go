package pipeline

import (
	"encoding/json"
	"mime"
	"path"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Condition limits the requests that a plugin sees. Within one all fields must
// match; an empty field matches everything.
type Condition = report.Condition

// subject is what conditions look at in a payload. It is read when the first
// condition asks.
type subject struct {
	hook    plugin.Hook
	payload json.RawMessage
	done    bool

	Name        string          `json:"name"`
	PromptID    string          `json:"prompt_id"`
	URI         string          `json:"uri"`
	AgentID     string          `json:"agent_id"`
	Content     json.RawMessage `json:"content"`
	contentType string
}

func newSubject(hook plugin.Hook, payload json.RawMessage) *subject {
	return &subject{hook: hook, payload: payload}
}

func (s *subject) read() {
	if s.done {
		return
	}
	s.done = true
	// What cannot be read stays empty, and an empty subject meets the condition.
	_ = json.Unmarshal(s.payload, s)
	var content struct {
		Camel string `json:"mimeType"`
		Snake string `json:"mime_type"`
	}
	if len(s.Content) > 0 && json.Unmarshal(s.Content, &content) == nil {
		s.contentType = content.Camel
		if s.contentType == "" {
			s.contentType = content.Snake
		}
	}
}

// concerns reports whether any of the entry's conditions is met.
func (s *subject) concerns(e *Entry, req *Request) bool {
	if len(e.Conditions) == 0 {
		return true
	}
	return slices.ContainsFunc(e.Conditions, func(c Condition) bool { return s.meets(c, req) })
}

func (s *subject) meets(c Condition, req *Request) bool {
	s.read()
	user, known := req.userText()
	return exactly(c.ServerIDs, req.Global.ServerID) &&
		exactly(c.TenantIDs, req.Global.TenantID) &&
		s.names(c.Tools, s.Name, req, plugin.ToolPreInvoke, plugin.ToolPostInvoke) &&
		s.names(c.Prompts, s.PromptID, req, plugin.PromptPreFetch, plugin.PromptPostFetch) &&
		s.names(c.Resources, s.URI, req, plugin.ResourcePreFetch, plugin.ResourcePostFetch) &&
		s.names(c.Agents, s.AgentID, req, plugin.AgentPreInvoke, plugin.AgentPostInvoke) &&
		(len(c.UserPatterns) == 0 || !known || matchesUser(c.UserPatterns, user)) &&
		(len(c.ContentTypes) == 0 || s.contentType == "" || matchesType(c.ContentTypes, s.contentType))
}

// exactly is met too when the request does not say: a guardrail is not skipped
// because something is unknown.
func exactly(list []string, value string) bool {
	return len(list) == 0 || value == "" || slices.Contains(list, value)
}

// names matches a name, or the upstream's own name. On hooks that have no such
// name the condition cannot be evaluated and counts as met, as in the reference.
func (s *subject) names(patterns []string, name string, req *Request, hooks ...plugin.Hook) bool {
	if len(patterns) == 0 || name == "" || !slices.Contains(hooks, s.hook) {
		return true
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		return glob(pattern, name) || (req.OriginalName != "" && glob(pattern, req.OriginalName)) ||
			slices.ContainsFunc(req.FormerNames, func(former string) bool { return glob(pattern, former) })
	})
}

func matchesUser(patterns []string, user string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if strings.Contains(pattern, "*") {
			return glob(pattern, user)
		}
		return strings.Contains(user, pattern)
	})
}

func matchesType(types []string, contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(types, func(t string) bool {
		want, _, err := mime.ParseMediaType(t)
		if err != nil {
			want = strings.ToLower(strings.TrimSpace(t))
		}
		ok, _ := path.Match(want, media)
		return ok || want == media
	})
}

// glob matches s against a pattern in which * stands for any text, / included.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	rest, ok := strings.CutPrefix(s, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(rest, part)
		if !found {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
