package plugin

import (
	"encoding/json"
	"testing"
)

func TestUserNameOfStringsAndObjects(t *testing.T) {
	for user, want := range map[string]string{
		``:                                "",
		`null`:                            "",
		`"alice"`:                         "alice",
		`{"email":"a@b","id":"7"}`:        "a@b",
		`{"email":"","username":"alice"}`: "alice",
		`{"email":1,"sub":"s"}`:           "s",
		`{"admin":true}`:                  "",
		`[1]`:                             "",
	} {
		g := GlobalContext{User: json.RawMessage(user)}
		if got := g.UserName(); got != want {
			t.Errorf("%s: got %q, want %q", user, got, want)
		}
	}
}

func TestOriginalName(t *testing.T) {
	for _, tt := range []struct {
		metadata Object
		want     string
	}{
		{nil, ""},
		{Object{"original_name": json.RawMessage(`"echo"`)}, "echo"},
		{Object{"original_name": json.RawMessage(`1`)}, ""},
	} {
		g := GlobalContext{Metadata: tt.metadata}
		if got := g.OriginalName(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
