package builtin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/pyre"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// resourceFilter refuses resources by scheme, host and size, and rewrites their
// text by patterns.
type resourceFilter struct {
	maxSize   int
	protocols []string // as configured; compared in any case
	domains   []string // lower case
	filters   []*pyre.Sub
}

var _ plugin.ResourcePreFetcher = (*resourceFilter)(nil)

func newResourceFilter(c plugin.Config) (plugin.Plugin, error) {
	s := newSettings(c.Raw, "", "max_content_size", "allowed_protocols", "blocked_domains", "content_filters")
	p := &resourceFilter{
		maxSize:   s.integer("max_content_size", 1<<20, 0),
		protocols: s.texts("allowed_protocols", []string{"file", "http", "https"}),
	}
	for _, domain := range s.texts("blocked_domains", nil) {
		p.domains = append(p.domains, strings.TrimSuffix(strings.ToLower(domain), "."))
	}
	for i, raw := range s.items("content_filters") {
		p.filters = append(p.filters, s.filter(raw, fmt.Sprintf("content_filters[%d]", i)))
	}
	if s.err != nil {
		return nil, s.err
	}
	return onHooks(&filteredResources{p, plugin.New(p)}, c.Hooks, plugin.ResourcePreFetch, plugin.ResourcePostFetch), nil
}

// filter reads one {"pattern", "replacement"}.
func (s *settings) filter(raw json.RawMessage, path string) *pyre.Sub {
	if s.err != nil {
		return nil
	}
	one := newSettings(raw, path, "pattern", "replacement")
	pattern, replacement := one.required("pattern"), one.text("replacement", "***")
	if s.err = one.err; s.err != nil {
		return nil
	}
	re := s.pattern(one.at("pattern"), pattern)
	if s.err != nil {
		return nil
	}
	sub, err := re.NewSub(replacement)
	if err != nil {
		s.fail(one.at("replacement"), "%s", err)
	}
	return sub
}

// filteredResources runs the hook before by its payload's fields, and those
// after by whatever text there is in the payload.
type filteredResources struct {
	filter *resourceFilter
	before plugin.Plugin
}

// Hooks implements [plugin.Plugin].
func (f *filteredResources) Hooks() []plugin.Hook {
	return []plugin.Hook{plugin.ResourcePreFetch, plugin.ResourcePostFetch, plugin.PromptPostFetch, plugin.ToolPostInvoke}
}

// Invoke implements [plugin.Plugin].
func (f *filteredResources) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	if hook == plugin.ResourcePreFetch {
		return f.before.Invoke(ctx, hook, payload, c)
	}
	return f.filter.after(ctx, hook, payload, c)
}

// ResourcePreFetch implements [plugin.ResourcePreFetcher].
func (p *resourceFilter) ResourcePreFetch(_ context.Context, r *plugin.ResourcePre, c *plugin.Context) (*plugin.Result, error) {
	uri, err := parseURI(r.URI)
	if err != nil {
		return plugin.Refuse(&plugin.Violation{
			Reason:      "Invalid URI",
			Description: "Could not parse resource URI: " + err.Error(),
			Code:        "INVALID_URI",
			Details:     encode(map[string]string{"uri": r.URI, "error": err.Error()}),
		}), nil
	}
	if v := p.judge(r.URI, uri); v != nil {
		return plugin.Refuse(v), nil
	}
	var user any
	if len(c.GlobalContext.User) > 0 {
		user = c.GlobalContext.User
	}
	for _, m := range []struct {
		name  string
		value any
	}{
		{"validated", true},
		{"protocol", uri.scheme},
		{"request_id", c.GlobalContext.RequestID},
		{"user", user},
		{"resource_filter_plugin", "pre_fetch_validated"},
		{"allowed_size", p.maxSize},
	} {
		if r.Metadata, err = plugin.SetMember(r.Metadata, m.name, m.value); err != nil {
			return nil, fmt.Errorf("set metadata %s: %w", m.name, err)
		}
	}
	if err := c.State.Set("uri_validated", true); err != nil {
		return nil, err
	}
	if err := c.State.Set("original_uri", r.URI); err != nil {
		return nil, err
	}
	result, err := plugin.Modified(r)
	if err != nil {
		return nil, err
	}
	result.Metadata = json.RawMessage(`{"validation":"passed"}`)
	return result, nil
}

// judge says why a URI is refused, nil when it is not.
func (p *resourceFilter) judge(uri string, u parsedURI) *plugin.Violation {
	switch {
	case u.scheme == "":
		return &plugin.Violation{
			Reason:      "Invalid URI format",
			Description: "URI must have a valid scheme (protocol)",
			Code:        "INVALID_URI",
			Details:     encode(map[string]string{"uri": uri}),
		}
	case !slices.ContainsFunc(p.protocols, func(allowed string) bool { return strings.EqualFold(allowed, u.scheme) }):
		return &plugin.Violation{
			Reason:      "Protocol not allowed",
			Description: "Protocol '" + u.scheme + "' is not in allowed list",
			Code:        "PROTOCOL_BLOCKED",
			Details:     encode(map[string]any{"uri": uri, "protocol": u.scheme, "allowed": append([]string{}, p.protocols...)}),
		}
	case p.blocked(u):
		return &plugin.Violation{
			Reason:      "Domain is blocked",
			Description: "Domain '" + u.authority + "' is in blocked list",
			Code:        "DOMAIN_BLOCKED",
			Details:     encode(map[string]string{"uri": uri, "domain": u.authority}),
		}
	}
	return nil
}

// blocked reports whether the host is a blocked domain or under one. A domain
// with a port is that port's only, one without is any port's.
func (p *resourceFilter) blocked(u parsedURI) bool {
	if u.host == "" {
		return false
	}
	for _, domain := range p.domains {
		for _, host := range []string{u.host, u.host + ":" + u.port} {
			if host == domain || strings.HasSuffix(host, "."+domain) {
				return true
			}
		}
	}
	return false
}

// parsedURI is what a URI is judged by.
type parsedURI struct {
	scheme    string // lower case; empty when there is none
	authority string // as it stands
	host      string // lower case, unescaped, without user, port and last dot
	port      string
}

// parseURI reads only what is judged: names of resources need not be URLs that
// package net/url accepts. What the authority really is must be the same for
// everybody who reads it, so that what is read in different ways is refused.
func parseURI(uri string) (parsedURI, error) {
	var u parsedURI
	// Some readers take these out, wherever they are. A space in a path is a file's.
	if i := strings.IndexFunc(uri, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 || strings.HasPrefix(uri, " ") {
		return u, fmt.Errorf("a space or control character at byte %d", max(i, 0))
	}
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok || !isScheme(scheme) {
		return u, nil
	}
	u.scheme = strings.ToLower(scheme)
	after, ok := strings.CutPrefix(rest, "//")
	if !ok {
		if strings.HasPrefix(strings.ReplaceAll(rest, `\`, "/"), "//") {
			return u, fmt.Errorf("a backslash before the host")
		}
		return u, nil
	}
	u.authority = after
	if i := strings.IndexAny(after, "/?#"); i >= 0 {
		u.authority = after[:i]
	}
	if strings.Contains(u.authority, `\`) {
		return u, fmt.Errorf("a backslash in the host")
	}
	if strings.Contains(u.authority, " ") {
		return u, fmt.Errorf("a space in the host")
	}
	return u, u.splitHost()
}

// errIPv6 has the reference's words, which are part of the violation.
var errIPv6 = errors.New("Invalid IPv6 URL") //nolint:staticcheck // see above

// splitHost sets host and port from the authority.
func (u *parsedURI) splitHost() error {
	host := u.authority[strings.LastIndexByte(u.authority, '@')+1:]
	if strings.HasPrefix(host, "[") {
		end := strings.IndexByte(host, ']')
		if end < 0 {
			return errIPv6
		}
		u.port = strings.TrimPrefix(host[end+1:], ":")
		u.host = strings.ToLower(host[:end+1])
		return nil
	}
	if strings.ContainsAny(host, "[]") {
		return errIPv6
	}
	host, u.port, _ = strings.Cut(host, ":")
	host, err := url.PathUnescape(host)
	if err != nil {
		return fmt.Errorf("an invalid escape in the host")
	}
	// The other full stops of IDNA, and width, are the same to a resolver.
	host = strings.Map(func(r rune) rune {
		switch {
		case r == '。' || r == '．' || r == '｡':
			return '.'
		case r > 0xff00 && r < 0xff5f:
			return r - 0xff00 + ' '
		}
		return r
	}, host)
	u.host = strings.TrimRight(strings.ToLower(host), ".")
	return nil
}

func isScheme(s string) bool {
	for i := range len(s) {
		switch c := s[i] | 0x20; {
		case c >= 'a' && c <= 'z':
		case i > 0 && (s[i] >= '0' && s[i] <= '9' || s[i] == '+' || s[i] == '-' || s[i] == '.'):
		default:
			return false
		}
	}
	return s != ""
}

// tooLarge stops the walk over a payload.
type tooLarge struct{ size int }

func (e *tooLarge) Error() string { return fmt.Sprintf("%d bytes", e.size) }

// after judges the size of each text and of each resource's bytes, and rewrites
// text. It needs nothing from the hook before: that may run elsewhere, or not.
func (p *resourceFilter) after(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, invokeLimit)
	defer cancel()
	uri := ""
	modified, changed, err := plugin.MapStrings(payload, func(at plugin.Path, s string) (string, error) {
		switch {
		case len(at) == 1 && at[0].Is("uri"):
			uri = strings.Clone(s)
		case len(at) > 1 && at[len(at)-1].Is("blob"):
			if size := base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(s, "="))); size > p.maxSize {
				return s, &tooLarge{size}
			}
		case isText(hook, at):
			if len(s) > p.maxSize {
				return s, &tooLarge{len(s)}
			}
			return p.rewrite(ctx, at, s)
		}
		return s, nil
	})
	if large, ok := err.(*tooLarge); ok { //nolint:errorlint // MapStrings gives it back as it is
		return p.refuseSize(large.size, hook, payload), nil
	}
	if err != nil {
		return nil, fmt.Errorf("filter the payload of %s: %w", hook, err)
	}
	if hook != plugin.ResourcePostFetch {
		return &plugin.Result{Continue: true, ModifiedPayload: ifChanged(modified, changed)}, nil
	}
	if changed {
		if err := c.State.Set("content_filtered", true); err != nil {
			return nil, err
		}
	}
	original := encode(uri)
	if kept, ok := c.State["original_uri"]; ok {
		original = kept
	}
	return &plugin.Result{
		Continue:        true,
		ModifiedPayload: ifChanged(modified, changed),
		Metadata:        encode(map[string]any{"filtered": c.State["content_filtered"] != nil, "original_uri": original}),
	}, nil
}

func ifChanged(payload json.RawMessage, changed bool) json.RawMessage {
	if !changed {
		return nil
	}
	return payload
}

// rewrite applies all filters to one text.
func (p *resourceFilter) rewrite(ctx context.Context, at plugin.Path, s string) (string, error) {
	for i, filter := range p.filters {
		replaced, err := filter.Replace(ctx, s)
		if err != nil {
			return "", &plugin.Error{
				Message: fmt.Sprintf("content_filters[%d].pattern on %s: %v", i, at, err),
				Code:    "search_limit",
			}
		}
		s = replaced
	}
	return s, nil
}

func (p *resourceFilter) refuseSize(size int, hook plugin.Hook, payload json.RawMessage) *plugin.Result {
	details := map[string]any{"size": size, "max_size": p.maxSize}
	if hook == plugin.ResourcePostFetch {
		var r struct{ URI string }
		_ = json.Unmarshal(payload, &r) // has been walked: it is JSON
		details["uri"] = r.URI
	}
	return plugin.Refuse(&plugin.Violation{
		Reason:      "Content exceeds maximum size",
		Description: fmt.Sprintf("Resource content exceeds maximum size of %d bytes", p.maxSize),
		Code:        "CONTENT_TOO_LARGE",
		Details:     encode(details),
	})
}
