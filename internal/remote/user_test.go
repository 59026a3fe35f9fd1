package remote

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// textOnly answers as ContextForge's first servers do: a user that is an object
// is none of their models', and no plugin runs.
func textOnly(users *[]string, ran *int) func(json.RawMessage) string {
	return func(arguments json.RawMessage) string {
		user := wire.Member(wire.Member(wire.Member(arguments, "context"), "global_context"), "user")
		*users = append(*users, string(user))
		if wire.Kind(user) == '{' {
			return `{"plugin_name":"P","error":{"message":"1 validation error for PluginContext\nglobal_context.user\n` +
				`  Input should be a valid string [type=string_type, input_value={'email': 'a@x'}, input_type=dict]\n    For further information visit https://errors.pydantic.dev/2.12/v/string_type",` +
				`"plugin_name":"P","code":"","details":{},"mcp_error_code":-32603}}`
		}
		*ran++
		return `{"plugin_name":"P","result":{"continue_processing":true},"context":{"state":{"n":1},"global_context":{"state":{}},"metadata":{}}}`
	}
}

func TestAServerThatTakesAUserAsTextAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		user string
		want []string // two calls
		ran  int
	}{
		"text":                    {`"a@x"`, []string{`"a@x"`, `"a@x"`}, 2},
		"none":                    {``, []string{``, ``}, 2},
		"an object":               {`{"email":"a@x","is_admin":true}`, []string{`{"email":"a@x","is_admin":true}`, `"a@x"`, `"a@x"`}, 2},
		"an object without email": {`{"sub":"42"}`, []string{`{"sub":"42"}`, `"42"`, `"42"`}, 2},
		"an object without name":  {`{"is_admin":true}`, []string{`{"is_admin":true}`, `{"is_admin":true}`}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var users []string
			ran := 0
			p := client(t, serve(t, &python{fake: fake{invoke: textOnly(&users, &ran)}}).URL)
			for range 2 {
				c := &plugin.Context{GlobalContext: plugin.GlobalContext{RequestID: "r", User: json.RawMessage(tt.user)}}
				_, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{}`), c)
				var failed *plugin.Error
				if (tt.ran == 0) != errors.As(err, &failed) {
					t.Fatal(err)
				}
				if string(c.GlobalContext.User) != tt.user {
					t.Errorf("the caller's user has become %s", c.GlobalContext.User)
				}
				if tt.ran > 0 && string(c.State["n"]) != "1" {
					t.Errorf("state is %s", c.State)
				}
			}
			if got, want := strings.Join(users, " "), strings.Join(tt.want, " "); got != want || ran != tt.ran {
				t.Errorf("sent the users %s, and %d hooks ran; want %s and %d", got, ran, want, tt.ran)
			}
			if tt.ran == 0 {
				return
			}
			// What it is now has to be found out: it may have been replaced.
			if _, err := p.Describe(t.Context()); err != nil {
				t.Fatal(err)
			}
			users = nil
			c := &plugin.Context{GlobalContext: plugin.GlobalContext{RequestID: "r", User: json.RawMessage(tt.user)}}
			if _, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{}`), c); err != nil || users[0] != tt.want[0] {
				t.Errorf("sent %s after a new look, %v", users, err)
			}
		})
	}
}

// Any other failure is the plugin's own, and its hook has run.
func TestAFailureThatSpeaksOfAUserIsNoReasonToCallAgain(t *testing.T) {
	for _, message := range []string{
		"1 validation error for Order\nglobal_context.user\n  Input should be a valid string [type=string_type]",
		"2 validation errors for PluginContext\nglobal_context.user.str\n  Input should be a valid string [type=string_type]",
		"1 validation error for PluginContext\nglobal_context.user\n  Field required [type=missing]",
		"ValueError('1 validation error for PluginContext')",
	} {
		text, _ := json.Marshal(message)
		f := &fake{invoke: func(json.RawMessage) string {
			return `{"plugin_name":"P","error":{"message":` + string(text) + `,"plugin_name":"P"}}`
		}}
		c := &plugin.Context{GlobalContext: plugin.GlobalContext{RequestID: "r", User: json.RawMessage(`{"email":"a@x"}`)}}
		_, err := client(t, serve(t, f).URL).Invoke(t.Context(), plugin.ToolPreInvoke, json.RawMessage(`{}`), c)
		if n := f.count(toolInvoke); err == nil || n != 1 {
			t.Errorf("%q: the hook was called %d times, %v", message, n, err)
		}
	}
}
