package builtin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// maxSchemaErrors bounds the details of a violation: a list of any length may
// be wrong at every element.
const maxSchemaErrors = 100

// schemaErrors puts what a validation found into the reference's words and
// order: "a: [2]: Type mismatch: expected string". Members come in the order in
// which the schema names them. The texts hold names and the schema's own
// limits, never the values that failed: those may be anybody's secrets.
func schemaErrors(invalid *jsonschema.ValidationError, rank map[string]int) []string {
	var leaves []*jsonschema.ValidationError
	collectLeaves(invalid, &leaves)
	slices.SortStableFunc(leaves, func(a, b *jsonschema.ValidationError) int {
		return slices.CompareFunc(a.InstanceLocation, b.InstanceLocation, func(x, y string) int {
			return compareSteps(x, y, rank)
		})
	})
	var out []string
	for _, leaf := range leaves {
		at := prefix(leaf.InstanceLocation)
		for _, text := range describe(leaf.ErrorKind) {
			if text = at + text; !slices.Contains(out, text) { // reached by two references
				if out = append(out, text); len(out) == maxSchemaErrors {
					return append(out, "and more") // one error can say thousands
				}
			}
		}
	}
	return out
}

// collectLeaves finds the errors that say something themselves. Those under
// anyOf and the like are alternatives, of which none needs to be mended.
func collectLeaves(e *jsonschema.ValidationError, out *[]*jsonschema.ValidationError) {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains, *kind.PropertyNames:
	default:
		if len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				collectLeaves(cause, out)
			}
			return
		}
	}
	*out = append(*out, e)
}

func compareSteps(x, y string, rank map[string]int) int {
	i, errX := strconv.Atoi(x)
	j, errY := strconv.Atoi(y)
	if errX == nil && errY == nil {
		return cmp.Compare(i, j)
	}
	rx, okX := rank[x]
	ry, okY := rank[y]
	if okX && okY {
		return cmp.Compare(rx, ry)
	}
	if okX != okY { // those that the schema names come first
		if okX {
			return -1
		}
		return 1
	}
	return strings.Compare(x, y)
}

// prefix writes a place as the reference does.
func prefix(at []string) string {
	var b strings.Builder
	for _, step := range at {
		if _, err := strconv.Atoi(step); err == nil {
			step = "[" + step + "]"
		}
		b.WriteString(step + ": ")
	}
	return b.String()
}

// describe says what is wrong. The first two are the reference's words.
func describe(k jsonschema.ErrorKind) []string {
	switch k := k.(type) {
	case *kind.Type:
		return []string{"Type mismatch: expected " + strings.Join(k.Want, " or ")}
	case *kind.Required:
		return each("Missing required property: ", k.Missing)
	case *kind.AdditionalProperties:
		slices.Sort(k.Properties)
		return each("Unexpected property: ", k.Properties)
	case *kind.DependentRequired:
		return each("Missing required property: ", k.Missing)
	case *kind.FalseSchema:
		return []string{"Not allowed"}
	case *kind.Enum:
		return []string{"Not one of the allowed values"}
	case *kind.Const:
		return []string{"Not the required value"}
	case *kind.Pattern:
		return []string{"Does not match pattern " + k.Want}
	case *kind.Minimum:
		return limit("Less than ", k.Want)
	case *kind.Maximum:
		return limit("More than ", k.Want)
	case *kind.ExclusiveMinimum:
		return limit("Not more than ", k.Want)
	case *kind.ExclusiveMaximum:
		return limit("Not less than ", k.Want)
	case *kind.MultipleOf:
		return limit("Not a multiple of ", k.Want)
	case *kind.AnyOf:
		return []string{"Matches none of the schemas of anyOf"}
	case *kind.OneOf:
		return []string{"Does not match exactly one of the schemas of oneOf"}
	case *kind.Not:
		return []string{"Matches the schema of not"}
	default:
		return []string{describeSize(k)}
	}
}

// describeSize says what is too short or too long; any other fault is named by
// its keyword.
func describeSize(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("Shorter than %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("Longer than %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("Fewer than %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("More than %d items", k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("Fewer than %d properties", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("More than %d properties", k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("Items %d and %d are equal", k.Duplicates[0], k.Duplicates[1])
	default:
		return "Does not satisfy " + strings.Join(k.KeywordPath(), "/")
	}
}

func each(text string, names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = text + name
	}
	return out
}

func limit(text string, n *big.Rat) []string {
	f, _ := n.Float64()
	return []string{text + strconv.FormatFloat(f, 'g', -1, 64)}
}

// ranks numbers the member names of a schema by their first place in it.
func ranks(schema json.RawMessage) map[string]int {
	rank := map[string]int{}
	dec := json.NewDecoder(bytes.NewReader(schema))
	for {
		token, err := dec.Token()
		if err != nil {
			return rank
		}
		if name, ok := token.(string); ok {
			if _, ok := rank[name]; !ok {
				rank[name] = len(rank)
			}
		}
	}
}

// maxExponent bounds the numbers that are compared exactly: 1e999999 is seven
// characters to send and a third of a megabyte to compute with.
const maxExponent = 400

// maxNumber bounds their length: to compute with a million digits takes seconds.
const maxNumber = 1000

// unusableNumber finds a number that is beyond these.
func unusableNumber(value any) (at string, found bool) {
	switch v := value.(type) {
	case json.Number:
		if len(v) > maxNumber {
			return "", true
		}
		_, exponent, ok := strings.Cut(strings.ToLower(string(v)), "e")
		if !ok {
			return "", false
		}
		n, err := strconv.Atoi(exponent)
		return "", err != nil || n > maxExponent || n < -maxExponent
	case []any:
		for i, item := range v {
			if at, found := unusableNumber(item); found {
				return fmt.Sprintf("[%d]: %s", i, at), true
			}
		}
	case map[string]any:
		for _, name := range sortedKeys(v) {
			if at, found := unusableNumber(v[name]); found {
				return name + ": " + at, true
			}
		}
	}
	return "", false
}

func sortedKeys(m map[string]any) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
