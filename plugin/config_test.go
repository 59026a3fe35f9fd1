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
		Limit int     `json:"limit"`
		Share float64 `json:"share"`
		Count *uint   `json:"count"`
		On    bool    `json:"on"`
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
		`{"greeting":1}`:            {"greeting", "a number, want a string"},
		`{"names":["a",2]}`:         {"names", "a number, want a string"}, // Go 1.27 also says which
		`{"names":"a"}`:             {"names", "a string, want a list"},
		`{"greeting":["a"]}`:        {"greeting", "a list, want a string"},
		`{"greeting":{}}`:           {"greeting", "an object, want a string"},
		`{"inner":true}`:            {"inner", "true or false, want an object"},
		`{"inner":{"limit":"3"}}`:   {"inner", "inner.limit is a string, want a whole number"},
		`{"inner":{"limit":1.5}}`:   {"inner", "inner.limit is the number 1.5, want a whole number"},
		`{"inner":{"share":"3"}}`:   {"inner", "inner.share is a string, want a number"},
		`{"inner":{"count":-3}}`:    {"inner", "inner.count is the number -3, want a whole number, not negative"},
		`{"inner":{"on":1}}`:        {"inner", "inner.on is a number, want true or false"},
		`{"inner":{"limits":3}}`:    {"inner", `unknown field "limits"`},
		`{"inner":{"limit":1e400}}`: {"inner", "inner.limit is the number 1e400, want a whole number"},
	} {
		var v testConfig
		err := Config{Raw: json.RawMessage(raw)}.Decode(&v)
		if e, ok := errors.AsType[*ConfigError](err); !ok || e.Path != want.Path || !strings.HasSuffix(e.Message, want.Message) {
			t.Errorf("%s: got %v, want %v", raw, err, &want)
		}
	}
}
