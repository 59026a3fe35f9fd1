package plugin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
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

	// Logger receives the plugin's log lines. It is never nil.
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

// decodeFault says what encoding/json found, without the words of Go.
func decodeFault(err error, name string) string {
	wrong, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok && strings.HasSuffix(err.Error(), "unknown field "+strconv.Quote(name)):
		return "unknown key"
	case !ok:
		return strings.TrimPrefix(err.Error(), "json: ")
	case wrong.Field != "" && wrong.Field != name:
		return fmt.Sprintf("%s is a %s, want %s", wrong.Field, wrong.Value, wrong.Type)
	default:
		return fmt.Sprintf("a %s, want %s", wrong.Value, wrong.Type)
	}
}
