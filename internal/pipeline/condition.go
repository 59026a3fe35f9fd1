package pipeline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"mime"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// Condition limits the requests that a plugin sees. Within one all fields must
// match; an empty field matches everything.
type Condition = report.Condition

// subject is what a round looks at in a payload, each part when somebody first
// asks for it: what is found out for one plugin holds for all.
type subject struct {
	hook    plugin.Hook
	payload json.RawMessage

	done        bool
	name        string // of the tool, prompt, resource or agent
	contentType string

	user      []byte // whose text is userName
	userName  string
	userKnown bool

	once    sync.Once
	headers *node // the payload, of whose members only the headers are read
	err     error
}

func newSubject(hook plugin.Hook, payload json.RawMessage) *subject {
	return &subject{hook: hook, payload: payload}
}

// read finds the name and the content type. What cannot be read stays empty, and
// an empty subject meets the condition.
func (s *subject) read() {
	if s.done {
		return
	}
	s.done = true
	of := nameMember(s.hook)
	if of != "" {
		s.name = textMember(s.payload, of)
	}
	if of != "" && s.hook != plugin.ResourcePostFetch {
		return
	}
	var content json.RawMessage
	if found, err := plugin.GetMember(s.payload, "content", &content); found && err == nil {
		s.contentType = cmp.Or(textMember(content, "mimeType"), textMember(content, "mime_type"))
	}
}

// nameMember is the member of a hook's payload that names what it is about; empty
// for HTTP hooks and those of the peers' own.
func nameMember(hook plugin.Hook) string {
	switch hook {
	case plugin.ToolPreInvoke, plugin.ToolPostInvoke:
		return "name"
	case plugin.PromptPreFetch, plugin.PromptPostFetch:
		return "prompt_id"
	case plugin.ResourcePreFetch, plugin.ResourcePostFetch:
		return "uri"
	case plugin.AgentPreInvoke, plugin.AgentPostInvoke:
		return "agent_id"
	default:
		return ""
	}
}

// textMember is a member that is a string, by its exact name; empty if there is
// none.
func textMember(object json.RawMessage, name string) (text string) {
	if _, err := plugin.GetMember(object, name, &text); err != nil {
		return ""
	}
	return text
}

// userText is the user's name, as long as the request's user is the same.
func (s *subject) userText(req *Request) (name string, known bool) {
	if s.user == nil || !bytes.Equal(s.user, req.Global.User) {
		s.user = append([]byte{}, req.Global.User...)
		s.userName, s.userKnown = req.userText()
	}
	return s.userName, s.userKnown
}

// withHeaders is the payload with its headers read.
func (s *subject) withHeaders() (*node, error) {
	s.once.Do(func() { s.headers, s.err = parseOnly(s.payload, "headers") })
	return s.headers, s.err
}

// concerns reports whether any of the entry's conditions is met.
func (s *subject) concerns(e *Entry, req *Request) bool {
	if len(e.Conditions) == 0 {
		return true
	}
	return slices.ContainsFunc(e.Conditions, func(c Condition) bool { return s.meets(c, req) })
}

func (s *subject) meets(c Condition, req *Request) bool {
	return exactly(c.ServerIDs, req.Global.ServerID) &&
		exactly(c.TenantIDs, req.Global.TenantID) &&
		s.names(c.Tools, req, plugin.ToolPreInvoke, plugin.ToolPostInvoke) &&
		s.names(c.Prompts, req, plugin.PromptPreFetch, plugin.PromptPostFetch) &&
		s.names(c.Resources, req, plugin.ResourcePreFetch, plugin.ResourcePostFetch) &&
		s.names(c.Agents, req, plugin.AgentPreInvoke, plugin.AgentPostInvoke) &&
		s.isFrom(c.UserPatterns, req) && s.isOf(c.ContentTypes)
}

func (s *subject) isFrom(patterns []string, req *Request) bool {
	if len(patterns) == 0 {
		return true
	}
	user, known := s.userText(req)
	return !known || matchesUser(patterns, user)
}

func (s *subject) isOf(types []string) bool {
	if len(types) == 0 {
		return true
	}
	s.read()
	return s.contentType == "" || matchesType(types, s.contentType)
}

// exactly is met too when the request does not say: a guardrail is not skipped
// because something is unknown.
func exactly(list []string, value string) bool {
	return len(list) == 0 || value == "" || slices.Contains(list, value)
}

// names matches a name, or the upstream's own name. On hooks that have no such
// name the condition cannot be evaluated and counts as met, as in the reference.
func (s *subject) names(patterns []string, req *Request, hooks ...plugin.Hook) bool {
	if len(patterns) == 0 || !slices.Contains(hooks, s.hook) {
		return true
	}
	s.read()
	name := s.name
	if name == "" {
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
