package gateway

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// down is a name that cannot be resolved because an upstream has never said
// what it has.
type down struct {
	source *source
	err    error
}

func (d *down) Error() string { return fmt.Sprintf("upstream %q: %s", d.source.Name(), d.err) }
func (d *down) Unwrap() error { return d.err }

// find resolves the name of a tool or prompt. The error is a [*wire.Error] when
// nobody has it, else a [*down].
func (c *catalog) find(ctx context.Context, k kind, name string) (*entry, error) {
	for _, p := range []patience{hurried, anew} {
		c.refresh(ctx, k, p)
		if e := c.view(k).byName[name]; e != nil {
			return e, nil
		}
	}
	if e := c.guess(k, name); e != nil {
		return e, nil
	}
	if d := c.unlisted(k); d != nil {
		return nil, d
	}
	what := "tool"
	if k == prompts {
		what = "prompt"
	}
	return nil, wire.Errorf(wire.CodeInvalidParams, "Unknown %s: %s", what, clip(name))
}

// findResource resolves a URI: by the resources that are listed, then by the
// templates, then to the only upstream that has resources at all.
func (c *catalog) findResource(ctx context.Context, uri string) (*entry, error) {
	for _, p := range []patience{hurried, anew} {
		c.refresh(ctx, resources, p)
		if e := c.view(resources).byName[uri]; e != nil {
			return e, nil
		}
		c.refresh(ctx, templates, p)
		for _, e := range c.view(templates).entries {
			if e.match.matches(uri) {
				return &entry{name: uri, own: uri, source: e.source}, nil
			}
		}
	}
	var only []*source
	for _, s := range c.sources {
		if s.shelves[resources].has() {
			only = append(only, s)
		}
	}
	if len(only) == 1 {
		return &entry{name: uri, own: uri, source: only[0]}, nil
	}
	if d := c.unlisted(resources); d != nil {
		return nil, d
	}
	return nil, &wire.Error{
		Code: wire.CodeInvalidParams, Message: "Resource not found",
		Data: append(wire.AppendString([]byte(`{"uri":`), uri), '}'),
	}
}

// guess finds the upstream that a name belongs to by its prefix, among those
// that have never listed what they have: it will say itself what is wrong.
func (c *catalog) guess(k kind, name string) *entry {
	n := &c.g.cfg.Naming
	for _, s := range c.sources {
		if _, known, _ := s.shelves[k].state(); known {
			continue
		}
		own, ok := name, len(c.sources) == 1
		if n.Prefix == "always" {
			own, ok = strings.CutPrefix(name, s.Name()+n.Separator)
		}
		if ok {
			return &entry{name: name, own: own, source: s}
		}
	}
	return nil
}

// unlisted finds an upstream that might have what is looked for but has never
// said; nil when all have.
func (c *catalog) unlisted(k kind) *down {
	for _, s := range c.sources {
		if _, known, err := s.shelves[k].state(); !known && err != nil {
			return &down{s, err}
		}
	}
	return nil
}

// matcher tells which URIs a template stands for.
type matcher struct{ pattern *regexp.Regexp }

// newMatcher reads a URI template (RFC 6570). What its expressions may expand to
// is not narrowed further than by their operators.
func newMatcher(template string) (*matcher, error) {
	var b strings.Builder
	b.WriteString("^")
	rest := template
	for {
		literal, after, found := strings.Cut(rest, "{")
		b.WriteString(regexp.QuoteMeta(literal))
		if !found {
			break
		}
		expression, tail, closed := strings.Cut(after, "}")
		if !closed || expression == "" {
			return nil, fmt.Errorf("uriTemplate %q is not a template", clip(template))
		}
		switch {
		case strings.ContainsAny(expression[:1], "+#/?&;."), strings.Contains(expression, "*"):
			b.WriteString(".*")
		default:
			b.WriteString("[^/?#]*")
		}
		rest = tail
	}
	pattern, err := regexp.Compile(b.String() + "$")
	if err != nil {
		return nil, fmt.Errorf("uriTemplate %q: %w", clip(template), err)
	}
	return &matcher{pattern}, nil
}

func (m *matcher) matches(uri string) bool { return m.pattern.MatchString(uri) }
