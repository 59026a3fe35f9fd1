package builtin

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/sallyport-mcp/sallyport/internal/pyre"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// piiFilter masks personal data, or refuses what holds any.
type piiFilter struct {
	scan    piiScan
	custom  []piiPattern
	allowed []*pyre.Regexp // whitelist_patterns
	masks   masker
	block   bool
	log     bool
	details bool
	hooks   []plugin.Hook
	logger  *slog.Logger

	detected, masked atomic.Int64 // since the start
}

// piiPattern is one of custom_patterns.
type piiPattern struct {
	kind int
	re   *pyre.Regexp
	mask string
}

var _ plugin.Plugin = (*piiFilter)(nil)

// piiSwitches are the keys that turn the types off, custom excepted.
var piiSwitches = [piiCustom]string{
	"detect_ssn", "detect_bsn", "detect_credit_card", "detect_email", "detect_phone", "detect_ip_address",
	"detect_date_of_birth", "detect_passport", "detect_driver_license", "detect_bank_account",
	"detect_medical_record", "detect_aws_keys", "detect_api_keys",
}

func newPIIFilter(c plugin.Config) (plugin.Plugin, error) {
	s := withForeign(c, []foreign{{key: "max_text_bytes"}, {key: "max_nested_depth"}, {key: "max_collection_items"}},
		append(piiSwitches[:], "default_mask_strategy", "redaction_text", "block_on_detection",
			"log_detections", "include_detection_details", "custom_patterns", "whitelist_patterns")...)
	p := &piiFilter{
		block:   s.boolean("block_on_detection", false),
		log:     s.boolean("log_detections", true),
		details: s.boolean("include_detection_details", true),
		hooks:   c.Hooks,
		logger:  c.Logger,
		masks: masker{
			otherwise: s.maskWay("default_mask_strategy", maskRedact),
			redaction: s.text("redaction_text", "[REDACTED]"),
			tokenKey:  make([]byte, 32),
		},
	}
	_, _ = rand.Read(p.masks.tokenKey) // never fails
	if len(p.hooks) == 0 {
		p.hooks = []plugin.Hook{plugin.PromptPreFetch, plugin.PromptPostFetch, plugin.ToolPreInvoke, plugin.ToolPostInvoke}
	}
	for kind, name := range piiSwitches {
		p.scan.on[kind] = s.boolean(name, true)
	}
	for i, raw := range s.items("custom_patterns") {
		if pattern, enabled := s.customPattern(raw, fmt.Sprintf("custom_patterns[%d]", i)); enabled {
			p.custom = append(p.custom, pattern)
		}
	}
	for i, pattern := range s.texts("whitelist_patterns", nil) {
		p.allowed = append(p.allowed, s.pattern(fmt.Sprintf("whitelist_patterns[%d]", i), pattern))
	}
	if s.err != nil {
		return nil, s.err
	}
	return p, nil
}

func (s *settings) maskWay(key, otherwise string) string {
	return s.choice(key, otherwise, maskRedact, maskPartial, maskHash, maskTokenize, maskRemove)
}

// customPattern reads one {"type", "pattern", "description", …}.
func (s *settings) customPattern(raw json.RawMessage, path string) (piiPattern, bool) {
	if s.err != nil {
		return piiPattern{}, false
	}
	one := newSettings(raw, path, "type", "pattern", "description", "mask_strategy", "enabled")
	one.nullable("mask_strategy")
	kind, pattern := one.required("type"), one.required("pattern")
	if _, ok := one.members["description"]; !ok {
		one.fail(one.at("description"), "required, but missing")
	}
	one.text("description", "")
	p := piiPattern{kind: slices.Index(piiNames[:], kind), mask: one.maskWay("mask_strategy", "")}
	if p.kind < 0 {
		one.fail(one.at("type"), "%q is none of %s", kind, strings.Join(piiNames[:], ", "))
	}
	enabled := one.boolean("enabled", true)
	if p.re = one.pattern(one.at("pattern"), pattern); p.mask == "" {
		p.mask = s.maskWay("default_mask_strategy", maskRedact)
	}
	s.err = one.err
	return p, enabled
}

// Hooks implements [plugin.Plugin].
func (p *piiFilter) Hooks() []plugin.Hook { return p.hooks }

// piiFinding is what was found in one text.
type piiFinding struct {
	where string // as metadata and violations name it
	top   string // the argument that it is in
	kinds []int  // one for each finding
}

// Invoke implements [plugin.Plugin].
func (p *piiFilter) Invoke(ctx context.Context, hook plugin.Hook, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, invokeLimit)
	defer cancel()
	var findings []piiFinding
	modified, changed, err := plugin.MapStrings(payload, func(at plugin.Path, s string) (string, error) {
		if !isSearched(hook, at) {
			return s, nil
		}
		whole := func() string { return piiPlace(hook, at) }
		now, _, err := eachText(whole, keyOf(at[1:], ""), s, 0, func(where func() string, key, s string) (string, bool, error) {
			spans, err := p.find(ctx, s, key)
			if err != nil || len(spans) == 0 {
				return s, false, err
			}
			f := piiFinding{where: where(), top: piiTop(at)}
			for _, found := range spans {
				f.kinds = append(f.kinds, found.kind)
			}
			findings = append(findings, f)
			if p.block {
				return s, true, nil
			}
			return replaceSpans(s, spans, func(found span) string { return p.masks.mask(spelled(s[found.start:found.end]), found) }), true, nil
		})
		return now, err
	})
	if err != nil {
		return nil, fmt.Errorf("search the payload of %s: %w", hook, err)
	}
	if hook == plugin.PromptPostFetch {
		nameMessages(findings, payload)
	}
	return p.conclude(hook, findings, modified, changed, payload, c)
}

// find gives what there is to mask in one text, in order and without overlaps.
func (p *piiFilter) find(ctx context.Context, text, key string) ([]span, error) {
	found, err := p.findIn(ctx, text, key)
	if err != nil {
		return nil, err
	}
	if plain, ok := spell(text); ok {
		more, err := p.findIn(ctx, plain.text, key)
		if err != nil {
			return nil, err
		}
		for _, s := range more {
			found = append(found, plain.original(s))
		}
	}
	kept := found[:0]
	for _, s := range found {
		ok, err := p.isAllowed(ctx, text[s.start:s.end])
		if err != nil {
			return nil, err
		}
		if !ok {
			kept = append(kept, s)
		}
	}
	return settle(kept), nil
}

func (p *piiFilter) findIn(ctx context.Context, text, key string) ([]span, error) {
	found := p.scan.find(text, key)
	for i, pattern := range p.custom {
		err := pattern.re.FindAll(ctx, text, func(start, end int) {
			if start < end {
				found = append(found, span{start: start, end: end, kind: pattern.kind, rank: rankCustom, mask: pattern.mask})
			}
		})
		if err != nil {
			return nil, &plugin.Error{Message: fmt.Sprintf("custom_patterns[%d].pattern: %v", i, err), Code: "search_limit"}
		}
	}
	return found, nil
}

func (p *piiFilter) isAllowed(ctx context.Context, value string) (bool, error) {
	for i, re := range p.allowed {
		if ok, err := re.MatchIn(ctx, value); err != nil {
			return false, &plugin.Error{Message: fmt.Sprintf("whitelist_patterns[%d]: %v", i, err), Code: "search_limit"}
		} else if ok {
			return true, nil
		}
	}
	return false, nil
}

// conclude makes the verdict, and says in the context what was found.
func (p *piiFilter) conclude(hook plugin.Hook, findings []piiFinding, modified json.RawMessage, changed bool, payload json.RawMessage, c *plugin.Context) (*plugin.Result, error) {
	count, names := tally(findings)
	p.detected.Add(int64(count))
	if count > 0 && p.log {
		p.logger.Warn("personal data found", "hook", hook, "types", names, "count", count, "refused", p.block)
	}
	if count > 0 && p.block {
		return plugin.Refuse(piiViolation(hook, findings, payload)), nil
	}
	p.masked.Add(int64(count))
	if count > 0 && p.details {
		stage, places := piiStage(hook)
		if err := setDetections(c, stage, map[string]any{"detected": true, places: wheres(findings), "types": names, "total_count": count}); err != nil {
			return nil, err
		}
	}
	if hook == plugin.PromptPostFetch || hook == plugin.ToolPostInvoke {
		stats := map[string]int64{"total_detections": p.detected.Load(), "total_masked": p.masked.Load()}
		if err := c.Metadata.Set("pii_filter_stats", stats); err != nil {
			return nil, err
		}
	}
	return &plugin.Result{Continue: true, ModifiedPayload: ifChanged(modified, changed)}, nil
}

// setDetections adds what one hook has found to the object that all hooks of a
// request share.
func setDetections(c *plugin.Context, stage string, v map[string]any) error {
	detections, err := plugin.SetMember(c.Metadata["pii_detections"], stage, v)
	if err != nil { // somebody else's
		if detections, err = plugin.SetMember(nil, stage, v); err != nil {
			return err
		}
	}
	return c.Metadata.Set("pii_detections", detections)
}

// tally gives the number of findings, and their types in the order of the list.
func tally(findings []piiFinding) (int, []string) {
	var seen [piiTypes]bool
	count := 0
	for _, f := range findings {
		count += len(f.kinds)
		for _, kind := range f.kinds {
			seen[kind] = true
		}
	}
	names := []string{}
	for kind, name := range piiNames {
		if seen[kind] {
			names = append(names, name)
		}
	}
	return count, names
}

func wheres(findings []piiFinding) []string {
	var out []string
	for _, f := range findings {
		if !slices.Contains(out[max(0, len(out)-8):], f.where) { // those of one text come together
			out = append(out, f.where)
		}
	}
	return out
}

// piiStage gives the hook's name in the metadata, and what its places are.
func piiStage(hook plugin.Hook) (stage, places string) {
	switch hook {
	case plugin.PromptPreFetch:
		return "pre_fetch", "fields"
	case plugin.PromptPostFetch:
		return "post_fetch", "messages"
	case plugin.ToolPreInvoke:
		return string(hook), "arguments"
	default:
		return string(hook), "fields"
	}
}

// piiPlace names a text: an argument of a prompt by its name, all else by path.
func piiPlace(hook plugin.Hook, at plugin.Path) string {
	if hook == plugin.PromptPreFetch {
		return pathText(at[1:])
	}
	return pathText(at)
}

func piiTop(at plugin.Path) string {
	switch {
	case len(at) > 2 && at[1].Is("messages"):
		return strconv.Itoa(at[2].Index)
	case len(at) > 1:
		return at[1].Key
	}
	return ""
}

// nameMessages names the places of findings by the role of their message.
func nameMessages(findings []piiFinding, payload json.RawMessage) {
	if len(findings) == 0 {
		return
	}
	var p struct {
		Result struct {
			Messages []struct {
				Role json.RawMessage `json:"role"`
			} `json:"messages"`
		} `json:"result"`
	}
	_ = json.Unmarshal(payload, &p) // what is not of this form has no role
	for i := range findings {
		role := "unknown"
		if n, err := strconv.Atoi(findings[i].top); err == nil && n >= 0 && n < len(p.Result.Messages) {
			_ = json.Unmarshal(p.Result.Messages[n].Role, &role)
		}
		findings[i].where = "message_" + role
	}
}

// piiViolation is the refusal, in the reference's words.
func piiViolation(hook plugin.Hook, findings []piiFinding, payload json.RawMessage) *plugin.Violation {
	count, names := tally(findings)
	switch hook {
	case plugin.PromptPreFetch, plugin.PromptPostFetch:
		first := slices.DeleteFunc(slices.Clone(findings), func(f piiFinding) bool { return f.top != findings[0].top })
		count, names = tally(first)
		field, what := first[0].top, "argument '"+first[0].top+"'"
		if hook == plugin.PromptPostFetch {
			field, what = first[0].where, "prompt message"
		}
		return &plugin.Violation{
			Reason:      "PII detected in prompt",
			Description: "Sensitive information detected in " + what,
			Code:        "PII_DETECTED",
			Details:     encode(map[string]any{"field": field, "types": names, "count": count}),
		}
	case plugin.ToolPreInvoke:
		return &plugin.Violation{
			Reason:      "PII detected in tool arguments",
			Description: "Detected PII in tool arguments",
			Code:        "PII_DETECTED_IN_TOOL_ARGS",
			Details:     encode(map[string]any{"detected_types": names, "total_count": count}),
		}
	default:
		return resultViolation(names, count, payload)
	}
}

func resultViolation(names []string, count int, payload json.RawMessage) *plugin.Violation {
	v := &plugin.Violation{
		Reason:      "PII detected in tool result",
		Description: "Detected PII in nested tool result data",
		Code:        "PII_DETECTED_IN_TOOL_RESULT",
		Details:     encode(map[string]any{"detected_types": names, "total_count": count}),
	}
	var p plugin.ToolPost
	if err := json.Unmarshal(payload, &p); err == nil && p.Result[0] == '"' { // bare text
		v.Description = "Detected " + strings.Join(names, ", ") + " in tool output"
		v.Details = encode(map[string]any{"detected_types": names, "count": count})
	}
	return v
}
