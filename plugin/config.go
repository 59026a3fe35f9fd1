package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Config is what one entry of a plugin file gives to [Kind.New].
type Config struct {
	// Name is the entry's name. It is what invoke_hook asks for.
	Name string

	// Hooks are those of the entry's `hooks:`; empty when it lists none, which
	// means all that the kind implements by default.
	Hooks []Hook

	// Raw is the entry's `config:` as JSON; `{}` when the entry has none.
	Raw json.RawMessage

	// Logger receives the plugin's log lines. A plugin server never leaves it
	// nil, nor does plugintest.Config.
	Logger *slog.Logger
}

// ConfigError is a fault in a plugin's own configuration.
type ConfigError struct {
	// Path leads from `config:` to the fault: "words[2].search". Empty means
	// the whole of it.
	Path string

	// Message says what is wrong, in lower case, without the path.
	Message string
}

// Error gives path and message.
func (e *ConfigError) Error() string {
	if e.Path == "" {
		return e.Message
	}
	return e.Path + ": " + e.Message
}

// Decode reads the entry's `config:` into v, a pointer to a struct that holds
// the defaults. A key that the struct does not have is refused: a misspelt key
// of a guardrail must not be ignored. Names that start with "x-" are free for
// notes. The error is a [*ConfigError] that names the key.
func (c Config) Decode(v any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(c.Raw, &members); err != nil || members == nil {
		return &ConfigError{Message: "not an object"}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if strings.HasPrefix(name, "x-") {
			continue
		}
		// One at a time, so that each fault is known to be this member's.
		raw, err := json.Marshal(map[string]json.RawMessage{name: members[name]})
		if err == nil {
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.DisallowUnknownFields()
			err = dec.Decode(v)
		}
		if err != nil {
			return &ConfigError{Path: name, Message: decodeFault(err, name)}
		}
	}
	return nil
}

// decodeFault says what encoding/json found, in the words of who writes YAML.
func decodeFault(err error, name string) string {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok && strings.HasSuffix(err.Error(), "unknown field "+strconv.Quote(name)):
		return "unknown key"
	case !ok:
		return strings.TrimPrefix(err.Error(), "json: ")
	case wrong.Field != "" && wrong.Field != name:
		return fmt.Sprintf("%s is %s, want %s", wrong.Field, found(wrong.Value), wanted(wrong.Type))
	default:
		return fmt.Sprintf("%s, want %s", found(wrong.Value), wanted(wrong.Type))
	}
}

// found names a value as encoding/json describes it.
func found(value string) string {
	switch value {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	}
	if number, ok := strings.CutPrefix(value, "number "); ok {
		return "the number " + number
	}
	return "a " + value
}

// wanted names what a Go type takes.
func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "a whole number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	case reflect.Pointer:
		return wanted(t.Elem())
	default:
		return t.String()
	}
}
