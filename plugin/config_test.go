package plugin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

type testConfig struct {
	Greeting string   `json:"greeting"`
	Names    []string `json:"names"`
	Inner    struct {
		Limit int `json:"limit"`
	} `json:"inner"`
}

func TestDecodeKeepsDefaults(t *testing.T) {
	got := testConfig{Greeting: "Hello", Names: []string{"a"}}
	c := Config{Raw: json.RawMessage(`{"inner":{"limit":3},"x-note":{"any":"thing"},"names":["b"]}`)}
	if err := c.Decode(&got); err != nil || got.Greeting != "Hello" || got.Inner.Limit != 3 || got.Names[0] != "b" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for raw, want := range map[string]ConfigError{
		`[]`:                        {"", "not an object"},
		`null`:                      {"", "not an object"},
		``:                          {"", "not an object"},
		`{"greting":"Hi"}`:          {"greting", "unknown key"},
		`{"greeting":1}`:            {"greeting", "a number, want string"},
		`{"names":["a",2]}`:         {"names", "a number, want string"}, // Go 1.27 also says which
		`{"inner":{"limit":"3"}}`:   {"inner", "inner.limit is a string, want int"},
		`{"inner":{"limits":3}}`:    {"inner", `unknown field "limits"`},
		`{"inner":{"limit":1e400}}`: {"inner", "inner.limit is a number 1e400, want int"},
	} {
		var v testConfig
		err := Config{Raw: json.RawMessage(raw)}.Decode(&v)
		if e, ok := errors.AsType[*ConfigError](err); !ok || e.Path != want.Path || !strings.HasSuffix(e.Message, want.Message) {
			t.Errorf("%s: got %v, want %v", raw, err, &want)
		}
	}
}
