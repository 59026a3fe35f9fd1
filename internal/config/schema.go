package config

import (
	"encoding/json"
	"strings"
)

// Schema is the JSON Schema (2020-12) of a plugin file and of a gateway's file,
// which one of its own keys tells apart, indented. It is made
// from the tables that the decoder reads, so it knows the same keys. A template
// is a text, so every value may also be one.
func Schema() []byte {
	var ours []object
	for _, key := range gatewayKeys {
		ours = append(ours, object{{"required", []string{key}}})
	}
	out := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "Sallyport plugin file or gateway file"},
		{"type", "object"},
		{"if", object{{"anyOf", ours}}},
		{"then", object{{"$ref", "#/$defs/gateway"}}},
		{"else", object{{"$ref", "#/$defs/plugins"}}},
		{"$defs", object{{"gateway", gatewayShape.schema()}, {"plugins", fileShape.schema()}}},
	}
	raw, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return nil // an object of texts, lists and numbers always encodes
	}
	return append(raw, '\n')
}

// object is a JSON object whose keys keep their order.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON keeps the order.
func (o object) MarshalJSON() ([]byte, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		raw, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.WriteString(quoteJSON(m.key))
		b.WriteByte(':')
		b.Write(raw)
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// template is what a scalar may be instead: its value is known only at run time.
var templateSchema = object{{"type", "string"}, {"pattern", `\{\{.*\}\}`}}

func orTemplate(o ...object) object { return object{{"anyOf", append(o, templateSchema)}} }

func (s *shape) schema() object {
	switch s.form {
	case formWord:
		if s.fold {
			return object{{"type", "string"}} // in any case: no list of words can say it
		}
		return orTemplate(object{{"enum", s.words}})
	case formInt:
		return orTemplate(object{{"type", "integer"}, {"minimum", s.min}, {"maximum", s.max}},
			object{{"type", "string"}, {"pattern", `^\s*[+-]?[0-9]+\s*$`}})
	case formSeconds:
		return orTemplate(object{{"type", "number"}, {"exclusiveMinimum", 0}, {"maximum", maxSeconds}},
			object{{"type", "string"}, {"pattern", `^\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*$`}})
	case formBool:
		return orTemplate(object{{"type", "boolean"}}, object{{"enum", []int{0, 1}}},
			object{{"type", "string"}, {"pattern", `^\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee]|[Yy][Ee][Ss]|[Nn][Oo]|[Oo][Nn]|[Oo][Ff][Ff]|0|1)\s*$`}})
	case formList:
		return object{{"type", "array"}, {"items", s.elem.schema()}}
	case formMap:
		return object{{"type", "object"}, {"additionalProperties", s.elem.schema()}}
	case formObject:
		return s.objectSchema()
	case formFree:
		return object{}
	case formOr:
		return object{{"anyOf", []object{{{"const", s.words[0]}}, s.elem.schema()}}}
	case formShort:
		return object{{"anyOf", []object{s.elem.field(s.words[0]).shape.schema(), s.elem.schema()}}}
	default:
		return object{{"type", []string{"string", "number", "boolean"}}} // 1.0 is a version, too
	}
}

func (s *shape) objectSchema() object {
	var properties object
	var required []string
	for _, f := range s.fields {
		switch {
		case f.refused != "":
			continue
		case f.required:
			required = append(required, f.key)
		}
		one := object{{"description", f.doc}}
		if f.def != "" {
			one = append(one, member{"default", f.defaultJSON()})
		}
		if f.unused != "" {
			one = append(one, member{"deprecated", true})
		}
		inner := f.shape.schema()
		if !f.required {
			inner = object{{"anyOf", []object{inner, {{"type", "null"}}}}}
		}
		properties = append(properties, member{f.key, append(one, inner...)})
	}
	out := object{{"type", "object"}, {"properties", properties}, {"patternProperties", object{{"^x-", true}}}, {"additionalProperties", false}}
	if required != nil {
		out = append(out, member{"required", required})
	}
	return out
}
