package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// lengthGuard bounds the length of the texts that a tool returns, each by
// itself, in code points: it cuts them or refuses them.
type lengthGuard struct {
	min      int
	max      *int // nil: no limit
	strategy string
	block    bool
	ellipsis string
}

var _ plugin.Plugin = (*lengthGuard)(nil)

func newLengthGuard(c plugin.Config) (plugin.Plugin, error) {
	s := withForeign(c, []foreign{
		{key: "limit_mode", why: "tokens are not counted here: give the limit in characters, as max_chars", harmless: []string{`"character"`}},
		{key: "min_tokens"}, {key: "max_tokens"}, {key: "chars_per_token"}, // of that mode
		{key: "word_boundary"}, {key: "max_text_length"}, {key: "max_structure_size"}, {key: "max_recursion_depth"},
	}, "min_chars", "max_chars", "strategy", "ellipsis")
	s.nullable("max_chars")
	g := &lengthGuard{
		min:      s.integer("min_chars", 0, 0),
		strategy: s.text("strategy", "truncate"),
		ellipsis: s.text("ellipsis", "…"),
	}
	if n := s.integer("max_chars", noLimit, 1); n != noLimit {
		g.max = &n
	}
	switch strings.ToLower(g.strategy) {
	case "truncate":
	case "block":
		g.block = true
	default:
		s.fail("strategy", "%q is neither truncate nor block", g.strategy)
	}
	if g.max != nil && g.min > *g.max {
		s.fail("min_chars", "%d is over max_chars %d: no text is within", g.min, *g.max)
	}
	if s.err != nil {
		return nil, s.err
	}
	if g.min == 0 && g.max == nil {
		c.Logger.Warn("neither min_chars nor max_chars: this plugin lets everything pass")
	}
	return onHooks(g, c.Hooks, g.Hooks()...), nil
}

// noLimit is a maximum that no text reaches.
const noLimit = math.MaxInt

// Hooks implements [plugin.Plugin].
func (g *lengthGuard) Hooks() []plugin.Hook { return []plugin.Hook{plugin.ToolPostInvoke} }

// lengthNote is what the metadata says about one text.
type lengthNote struct {
	OriginalLength int  `json:"original_length"`
	WithinBounds   bool `json:"within_bounds"`
	*outOfBounds
	*cut
}

type outOfBounds struct {
	MinChars int    `json:"min_chars"`
	MaxChars *int   `json:"max_chars"`
	Strategy string `json:"strategy"`
}

type cut struct {
	Truncated bool `json:"truncated"`
	NewLength int  `json:"new_length"`
}

// maxNotes bounds the metadata: a result may hold any number of texts.
const maxNotes = 100

// errTooLong ends the walk at the first text that is to be refused.
var errTooLong = errors.New("length out of bounds")

// Invoke implements [plugin.Plugin].
func (g *lengthGuard) Invoke(_ context.Context, hook plugin.Hook, payload json.RawMessage, _ *plugin.Context) (*plugin.Result, error) {
	var notes []lengthNote
	several := false
	modified, changed, err := plugin.MapStrings(payload, func(at plugin.Path, s string) (string, error) {
		if !isText(hook, at) {
			return s, nil
		}
		whole := isWholeText(at)
		several = several || len(at) > 1 && at[1].Index >= 0
		now, note := g.judge(s, whole)
		if (whole || !note.WithinBounds) && len(notes) < maxNotes {
			notes = append(notes, note)
		}
		if g.block && !note.WithinBounds {
			notes[len(notes)-1] = note // also when there were too many
			return "", errTooLong
		}
		return now, nil
	})
	var r *plugin.Result
	switch {
	case errors.Is(err, errTooLong):
		r = plugin.Refuse(g.violation(notes[len(notes)-1].OriginalLength))
	case err != nil:
		return nil, fmt.Errorf("measure the payload of %s: %w", hook, err)
	case changed:
		r = &plugin.Result{Continue: true, ModifiedPayload: modified}
	default:
		r = plugin.Continue()
	}
	switch {
	case len(notes) == 1 && !several:
		r.Metadata = encode(notes[0])
	case len(notes) > 0 || isEmptyList(payload):
		r.Metadata = encode(map[string]any{"items": append([]lengthNote{}, notes...)})
	}
	return r, nil
}

// isEmptyList reports whether the result is a list of nothing: that has notes,
// if none.
func isEmptyList(payload json.RawMessage) bool {
	var p map[string]json.RawMessage
	var list []json.RawMessage
	return json.Unmarshal(payload, &p) == nil && json.Unmarshal(p["result"], &list) == nil && list != nil && len(list) == 0
}

// judge measures one text and cuts it where it must. The minimum is for whole
// texts only: a word in structured content may be short.
func (g *lengthGuard) judge(s string, whole bool) (string, lengthNote) {
	n := countChars(s)
	note := lengthNote{OriginalLength: n, WithinBounds: true}
	tooLong := g.max != nil && n > *g.max
	if !tooLong && (!whole || n >= g.min) {
		return s, note
	}
	note.WithinBounds = false
	note.outOfBounds = &outOfBounds{MinChars: g.min, MaxChars: g.max, Strategy: g.strategy}
	switch {
	case g.block:
	case tooLong:
		s = g.truncate(s)
		note.cut = &cut{Truncated: true, NewLength: countChars(s)}
	default:
		note.cut = &cut{NewLength: n}
	}
	return s, note
}

// truncate cuts s to the maximum, the ellipsis included where it fits.
func (g *lengthGuard) truncate(s string) string {
	keep, tail := *g.max, g.ellipsis
	if n := countChars(tail); n < keep {
		keep -= n
	} else {
		tail = ""
	}
	return s[:offsetOf(s, keep)] + tail
}

func (g *lengthGuard) violation(length int) *plugin.Violation {
	most := "None"
	if g.max != nil {
		most = strconv.Itoa(*g.max)
	}
	return &plugin.Violation{
		Reason:      "Output length out of bounds",
		Description: fmt.Sprintf("Result length %d not in [%d, %s]", length, g.min, most),
		Code:        "OUTPUT_LENGTH_VIOLATION",
		Details:     encode(map[string]any{"length": length, "min": g.min, "max": g.max, "strategy": g.strategy}),
	}
}

// isWholeText reports whether the string at a path is a text of the result in
// its own right: the result itself, an element of it, its text, or the text of
// a content block or of a resource embedded in one.
func isWholeText(at plugin.Path) bool {
	at = at[1:] // result
	if len(at) > 0 && at[0].Is("content") {
		at = at[1:]
	}
	if len(at) > 0 && at[0].Index >= 0 {
		at = at[1:]
	}
	if len(at) > 0 && at[0].Is("resource") {
		at = at[1:]
	}
	return len(at) == 0 || len(at) == 1 && at[0].Is("text")
}

// countChars counts code points. A lone surrogate is one, though it stands in
// s as three bytes that are no UTF-8.
func countChars(s string) int {
	if utf8.ValidString(s) {
		return utf8.RuneCountInString(s)
	}
	n := 0
	for ; s != ""; n++ {
		s = s[charLen(s):]
	}
	return n
}

// offsetOf is the byte offset of the n-th code point, counted from 0.
func offsetOf(s string, n int) int {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		at += charLen(s[at:])
	}
	return at
}

func charLen(s string) int {
	if len(s) >= 3 && s[0] == 0xed && s[1]&0xe0 == 0xa0 {
		return 3
	}
	_, n := utf8.DecodeRuneInString(s)
	return n
}
