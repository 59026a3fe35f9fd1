package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strings"
)

// outcome is what a call comes to, by aspect: what the gateway that made it goes
// on with. Spelling does not count, and neither does a payload that repeats what
// was sent.
type outcome map[string]any

// parityAnswer is what a plugin server sends.
type parityAnswer struct {
	Result *struct {
		Continue *bool `json:"continue_processing"`
		Modified any   `json:"modified_payload"`
		Metadata any   `json:"metadata"`

		Violation map[string]any `json:"violation"`
	} `json:"result"`
	Error   any             `json:"error"`
	Context json.RawMessage `json:"context"`
}

// outcomeOf reads an answer to c, which was sent in the context before. It also
// gives the context that the next hook of the request gets.
func outcomeOf(c *parityCall, before, text json.RawMessage) (outcome, json.RawMessage, error) {
	var a parityAnswer
	if err := decodeNumbers(text, &a); err != nil {
		return nil, nil, fmt.Errorf("%w: %s", err, clip(text))
	}
	if a.Error != nil {
		return outcome{"error": true}, before, nil
	}
	if a.Result == nil || a.Result.Continue == nil {
		return nil, nil, fmt.Errorf("neither result nor error: %s", clip(text))
	}
	after := before
	if len(a.Context) > 0 && string(a.Context) != "null" {
		after = a.Context
	}
	o := outcome{"continue": *a.Result.Continue}
	for name, value := range a.Result.Violation { // nil members and those that nobody reads are none
		if value == nil || !slices.Contains([]string{"reason", "description", "code", "details", "mcp_error_code", "http_status_code"}, name) {
			delete(a.Result.Violation, name)
		}
	}
	if len(a.Result.Violation) > 0 {
		o.set("violation", a.Result.Violation)
	}
	o.set("metadata", a.Result.Metadata)
	if *a.Result.Continue {
		payload := a.Result.Modified
		if payload == nil {
			if err := decodeNumbers(c.payload, &payload); err != nil {
				return nil, nil, err
			}
		}
		o["payload"] = tidy(model(c.hook, payload))
	}
	var context struct {
		State, Metadata any
		Global          struct{ State any } `json:"global_context"`
	}
	if err := decodeNumbers(after, &context); err != nil {
		return nil, nil, err
	}
	o.set("state", context.State)
	o.set("context_metadata", context.Metadata)
	o.set("global_state", context.Global.State)
	return o, after, nil
}

// set adds an aspect unless it says nothing.
func (o outcome) set(name string, value any) {
	if m, ok := value.(map[string]any); value != nil && (!ok || len(m) > 0) {
		o[name] = tidy(value)
	}
}

// against gives the aspects in which o is otherwise than the reference's, and
// what o has there: null where it has nothing.
func (o outcome) against(reference outcome) map[string]json.RawMessage {
	differing := map[string]json.RawMessage{}
	for _, side := range []outcome{o, reference} {
		for name := range side {
			ours, theirs := canonical(o[name]), canonical(reference[name])
			if !bytes.Equal(ours, theirs) {
				differing[name] = ours
			}
		}
	}
	return differing
}

// model gives a payload as its model reads it: null and absent are the same in
// it, and MCP's names are used. Arguments, results of tools and structured
// content are nobody's model.
func model(hook string, payload any) any {
	members, ok := payload.(map[string]any)
	if !ok {
		return payload
	}
	for _, name := range []string{"args", "metadata", "parameters"} {
		if value, ok := members[name].(map[string]any); ok && len(value) == 0 {
			delete(members, name)
		}
	}
	for name, value := range members {
		if value == nil {
			delete(members, name)
		}
	}
	switch hook {
	case "prompt_post_fetch":
		members["result"] = modelled(members["result"])
	case "resource_post_fetch":
		members["content"] = modelled(members["content"])
		if content, ok := members["content"].(map[string]any); ok { // what only the reference's object has
			delete(content, "type")
			delete(content, "id")
		}
	case "agent_pre_invoke":
		return modelled(members)
	}
	return members
}

func modelled(value any) any {
	switch v := value.(type) {
	case []any:
		for i := range v {
			v[i] = modelled(v[i])
		}
	case map[string]any:
		for _, name := range sortedNames(v) {
			item := v[name]
			delete(v, name)
			if item == nil {
				continue
			}
			switch name {
			case "mime_type":
				name = "mimeType"
			case "meta":
				name = "_meta"
			}
			v[name] = modelled(item)
		}
	}
	return value
}

var tokens = regexp.MustCompile(`\[TOKEN:[0-9a-f]{8}\]`)

// tidy takes out what is otherwise each time: tokens, the seconds that are left
// of a window, and the order of what the reference keeps in sets.
func tidy(value any) any {
	switch v := value.(type) {
	case string:
		return tokens.ReplaceAllString(v, "[TOKEN:…]")
	case []any:
		for i := range v {
			v[i] = tidy(v[i])
		}
	case map[string]any:
		for name, item := range v {
			list, isList := item.([]any)
			seconds, isNumber := item.(json.Number)
			switch {
			case isList && (name == "types" || name == "detected_types"):
				slices.SortFunc(list, func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
			case isNumber && name == "reset_in":
				v[name] = windowOf(seconds)
			default:
				v[name] = tidy(item)
			}
		}
	}
	return value
}

// windowOf is the window that so many seconds are left of, right after it began.
func windowOf(left json.Number) json.Number {
	n, err := left.Int64()
	for _, window := range []int64{1, 60, 3600} {
		if err == nil && n > window/2 && n <= window {
			return json.Number(fmt.Sprint(window))
		}
	}
	return left
}

// canonical writes a value so that equal ones are equal bytes.
func canonical(value any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(plain(value)) // has been JSON
	return bytes.TrimSpace(b.Bytes())
}

// plain gives numbers one spelling, whatever their size.
func plain(value any) any {
	switch v := value.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(string(v)); ok && r.IsInt() {
			return json.Number(r.Num().String())
		}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = plain(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for name := range v {
			out[name] = plain(v[name])
		}
		return out
	}
	return value
}

// judge says what there is between ours and the seed's: nothing, what is listed,
// or a fault. meant reports that it is listed.
func (c *parityCall) judge(ours, reference outcome) (meant bool, err error) {
	differing := ours.against(reference)
	both := fmt.Sprintf("\n\treference %s\n\tours:     %s", reference.only(differing), flow(differing))
	switch {
	case len(differing) == 0 && c.differs == "":
		return false, nil
	case len(differing) == 0:
		return false, fmt.Errorf("is listed to differ (%s), and does not", c.differs)
	case c.differs == "":
		return false, fmt.Errorf("differs, and is not listed:%s", both)
	}
	for _, name := range sortedNames(differing) {
		var want any
		raw, ok := c.ours[name]
		if ok {
			if err := decodeNumbers(raw, &want); err != nil {
				return false, err
			}
		}
		if !ok || !bytes.Equal(canonical(want), differing[name]) {
			return false, fmt.Errorf("differs otherwise than listed (%s) in %s:%s", c.differs, name, both)
		}
	}
	for _, name := range sortedNames(c.ours) {
		if _, ok := differing[name]; !ok {
			return false, fmt.Errorf("is listed to differ in %s, and does not:%s", name, both)
		}
	}
	return true, nil
}

// judgeNewest does the same for the newest line. Its plugins word their verdicts
// otherwise from release to release, so that only what is decided counts.
func (c *parityCall) judgeNewest(ours, reference outcome) (meant bool, err error) {
	ours, reference = ours.decided(), reference.decided()
	differing := ours.against(reference)
	switch {
	case len(differing) == 0 && c.newest == "":
		return false, nil
	case len(differing) == 0:
		return false, fmt.Errorf("is listed to decide otherwise (%s), and does not", c.newest)
	case c.newest == "" && c.differs == "":
		return false, fmt.Errorf("decides otherwise, and is not listed:\n\treference %s\n\tours:     %s", reference.only(differing), flow(differing))
	}
	return true, nil
}

// decided is what comes of a call: it goes on with a payload, or is refused with
// a code, or fails.
func (o outcome) decided() outcome {
	d := outcome{}
	for _, name := range []string{"continue", "payload", "error"} {
		if value, ok := o[name]; ok {
			d[name] = value
		}
	}
	if v, ok := o["violation"].(map[string]any); ok && o["continue"] == false {
		d["code"] = v["code"]
	}
	return d
}

func (o outcome) only(names map[string]json.RawMessage) string {
	part := map[string]json.RawMessage{}
	for name := range names {
		part[name] = canonical(o[name])
	}
	return flow(part)
}

// flow writes aspects on one line, ready for a file of cases.
func flow(aspects map[string]json.RawMessage) string {
	var parts []string
	for _, name := range sortedNames(aspects) {
		parts = append(parts, name+": "+string(aspects[name]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
