package builtin

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/plugin"
)

func TestSQLSanitizerFindsRiskyStatements(t *testing.T) {
	const noDelete, noUpdate = "DELETE without WHERE clause", "UPDATE without WHERE clause"
	tests := []struct{ name, sql, want string }{
		{"a query", "SELECT * FROM t WHERE id = 1", ""},
		{"blocked, any case", "drop table t", `Blocked statement matched: \bDROP\b`},
		{"part of a word", "SELECT dropped, altered FROM t", ""},
		{"in a comment that is taken out", "SELECT 1 -- DROP", ""},
		{"in a literal, as dynamic SQL has it", "EXECUTE 'TRUNCATE t'", `Blocked statement matched: \bTRUNCATE\b`},
		{"put together from pieces", "DR/**/OP TABLE t", `Blocked statement matched: \bDROP\b`},
		{"delete", "DELETE FROM t", noDelete},
		{"delete, with", "delete from t where id=1", ""},
		{"a comment for a space", "DELETE/**/FROM t", noDelete},
		{"where in a comment", "DELETE FROM t -- WHERE 1=1", noDelete},
		{"where in a MySQL comment", "DELETE FROM t # WHERE 1=1", noDelete},
		{"a PostgreSQL operator is no comment", "UPDATE t SET a = b #> '{x}' WHERE id=1", ""},
		{"where in a nested comment", "DELETE FROM t /* /* */ WHERE 1=1 */", noDelete},
		{"where in an open comment", "DELETE FROM t /* WHERE 1=1", noDelete},
		{"where in a comment that taking others out would make", "UPDATE t SET a=1 -/**/- WHERE id=1", ""},
		{"as it would be sent on, to a database that knows #", "UPDATE#--x\nWHERE", noUpdate},
		{"where in a literal", "UPDATE t SET a = 'WHERE'", noUpdate},
		{"where in a literal with a backslash", `UPDATE t SET a = '\' WHERE 1=1 -- '`, noUpdate},
		{"where in another statement", "DELETE FROM t; SELECT * FROM u WHERE a=1", noDelete},
		{"where before it", "SELECT 1 WHERE a=1; DELETE FROM t", noDelete},
		{"where in a subquery", "UPDATE t SET a = (SELECT b FROM u WHERE c=1)", noUpdate},
		{"within a common table expression", "WITH d AS (DELETE FROM t WHERE a=1 RETURNING *) SELECT * FROM d", ""},
		{"update", "UPDATE t SET a=1", noUpdate},
		{"update of a quoted name", `UPDATE "t" SET a=1`, noUpdate},
		{"a comment sign in a literal", "UPDATE t SET a='--' WHERE id=1", ""},
		{"apostrophes of a sentence hide nothing", "don't DELETE FROM t, can't", noDelete},
		{"beyond ASCII", "UPDATE größe SET a=1", noUpdate},
		{"other space", "DELETE\vFROM t", noDelete},
		{"Unicode's space", "UPDATE\u00a0t SET a=1", noUpdate},
		{"MySQL's modifiers", "DELETE LOW_PRIORITY quick FROM t", noDelete},
		{"SQL Server's TOP", "DELETE TOP (10) PERCENT FROM t", noDelete},
		{"a quoted name without a space", "UPDATE`t`SET a=1", noUpdate},
		{"quotes of Markdown and JSON", "say `update` and {\"update\":\"x\"}", ""},
		{"where as the name of a result", "DELETE FROM t RETURNING id AS where", noDelete},
		{"where as a variable", "DELETE FROM t ORDER BY @where", noDelete},
		{"where in brackets", "DELETE FROM t OUTPUT deleted.id AS [where]", noDelete},
		{"an alias before where", "DELETE FROM t AS was WHERE was.id=1", ""},
		{"where in PostgreSQL's dollars", "DELETE FROM t RETURNING $x$ where $x$", noDelete},
		{"parameters are no dollar quotes", "UPDATE t SET a=$1 WHERE b=$2", ""},
		{"where in Oracle's quotes", "DELETE FROM t RETURNING q'[it's where]'", noDelete},
		{"a MySQL comment that runs", "SELECT 1 WHERE 1; /*!50000DELETE FROM t*/", noDelete},
		{"no MySQL comment", "SELECT 1 WHERE 5--1; DELETE FROM t", noDelete},
		{"a comment that ends early in SQLite", `SELECT 1 WHERE 1; SELECT '\'; /* /* */ DELETE FROM t; SELECT '`, noDelete},
		{"a backslash in PostgreSQL", `SELECT 1 WHERE 1; SELECT E'\' /* ', 1 # 1; DELETE FROM t; SELECT '*/'`, noDelete},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := mustPlugin(t, "plugins.sql_sanitizer.sql_sanitizer.SQLSanitizerPlugin", `{"fields":null}`)
			payload := string(encode(map[string]any{"name": "drop", "args": map[string]any{"q": tt.sql}}))
			_, _, violation := verdict(t, p, "tool_pre_invoke", payload, nil)
			want := ""
			if tt.want != "" {
				want = `{"reason":"Risky SQL detected","description":"Potentially dangerous SQL detected in tool args","code":"SQL_SANITIZER","details":{"issues":` + string(encode([]string{"q: " + tt.want})) + `},"mcp_error_code":null}`
			}
			if violation != want {
				t.Errorf("got %s\nwant %s", violation, want)
			}
		})
	}
}

func TestSQLSanitizerLooksIntoCommentsThatRun(t *testing.T) {
	p := mustPlugin(t, "plugins.sql_sanitizer.sql_sanitizer.SQLSanitizerPlugin", `{"strip_comments":false}`)
	for sql, passes := range map[string]bool{"/*!50000DROP TABLE t*/": false, "/*50000DROP TABLE t*/": true} {
		payload := string(encode(map[string]any{"name": "x", "args": map[string]any{"q": sql}}))
		if _, _, violation := verdict(t, p, "tool_pre_invoke", payload, nil); (violation == "") != passes {
			t.Errorf("%s: %s", sql, violation)
		}
	}
}

func TestSQLSanitizerStripsComments(t *testing.T) {
	for in, want := range map[string]string{
		"SELECT 1 -- one\nFROM t": "SELECT 1 \nFROM t",
		"SELECT /* c */ 1":        "SELECT  1",
		"SELECT/* c */1":          "SELECT 1",
		"-- all":                  "",
		"'a -- b' /*c*/":          "'a -- b' ",
		`'it\'s -- x'`:            `'it\'s -- x'`,
		"SELECT 1 /* open":        "SELECT 1 /* open",
		"a /* /* */ b":            "a  b",
		"SELECT 5 - -3":           "SELECT 5 - -3",
		"a-/**/-b":                "a- -b",
		"DEL/*a*//*b*/ETE":        "DEL ETE",
		"/*a*/x /*b*//*c*/y":      "x y",
	} {
		if got := withoutComments(in)[0]; got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestSQLSanitizerConfiguration(t *testing.T) {
	tests := []struct{ name, config, hook, payload, modified, metadata, issues string }{
		{"a prompt", `{}`, "prompt_pre_fetch", `{"prompt_id":"p","args":{"q":"SELECT 1 -- c","r":"\u0041"}}`, `{"prompt_id":"p","args":{"q":"SELECT 1 ","r":"\u0041"}}`, `{"sql_sanitized":true}`, ``},
		{"a prompt that is refused", `{}`, "prompt_pre_fetch", `{"prompt_id":"p","args":{"q":"DROP"}}`, ``, ``, `detected in prompt args`},
		{"nested", `{}`, "tool_pre_invoke", `{"name":"t","args":{"a":[{"b":"DROP"}]}}`, ``, ``, `"a[0].b: Blocked`},
		{"fields", `{"fields":["sql"]}`, "tool_pre_invoke", `{"name":"t","args":{"a":"DROP -- c","sql":"SELECT 1--"}}`, `{"name":"t","args":{"a":"DROP -- c","sql":"SELECT 1"}}`, `{"sql_sanitized":true}`, ``},
		{"fields, nested", `{"fields":["sql"]}`, "tool_pre_invoke", `{"name":"t","args":{"q":{"sql":["DROP"]}}}`, ``, ``, `"q.sql[0]: Blocked`},
		{"without blocking", `{"block_on_violation":false}`, "tool_pre_invoke", `{"name":"t","args":{"q":"DROP--"}}`, `{"name":"t","args":{"q":"DROP"}}`, `{"sql_issues":["q: Blocked statement matched: \\bDROP\\b"],"sql_sanitized":true}`, ``},
		{"comments stay, and are looked into", `{"strip_comments":false}`, "tool_pre_invoke", `{"name":"t","args":{"q":"SELECT 1 -- DROP"}}`, ``, ``, `matched: \\bDROP`},
		{"patterns of one's own", `{"blocked_statements":["\\bexec\\b"]}`, "tool_pre_invoke", `{"name":"t","args":{"q":"EXEC x; DROP y"}}`, ``, ``, `["q: Blocked statement matched: \\bexec\\b"]`},
		{"no WHERE needed", `{"block_delete_without_where":false,"block_update_without_where":false}`, "tool_pre_invoke", `{"name":"t","args":{"q":"DELETE FROM t; UPDATE t SET a=1"}}`, ``, ``, ``},
		{"interpolation", `{"require_parameterization":true}`, "tool_pre_invoke", `{"name":"t","args":{"q":"SELECT {x}"}}`, ``, ``, `Possible non-parameterized interpolation detected`},
		{"interpolation is not looked for", `{}`, "tool_pre_invoke", `{"name":"t","args":{"q":"SELECT a + b"}}`, ``, ``, ``},
		{"headers and names are no SQL", `{}`, "tool_pre_invoke", `{"name":"DROP","args":{"DROP":1},"headers":{"a":"DROP"}}`, ``, ``, ``},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			modified, metadata, violation := verdict(t, mustPlugin(t, "sql_sanitizer", tt.config), tt.hook, tt.payload, nil)
			if modified != tt.modified || metadata != tt.metadata || !strings.Contains(violation, tt.issues) || (violation == "") != (tt.issues == "") {
				t.Errorf("got %s\n%s\n%s", modified, metadata, violation)
			}
		})
	}
}

func TestSQLSanitizerFailsClosed(t *testing.T) {
	p := mustPlugin(t, "sql_sanitizer", `{"blocked_statements":["(a+)+(?=c)$"]}`)
	payload := `{"name":"t","args":{"q":"` + strings.Repeat("a", 5000) + `x"}}`
	r, err := p.Invoke(context.Background(), plugin.ToolPreInvoke, json.RawMessage(payload), &plugin.Context{})
	if e, ok := errors.AsType[*plugin.Error](err); r != nil || !ok || e.Code != "search_limit" || !strings.HasPrefix(e.Message, "blocked_statements[0]: the pattern takes too long on this text") {
		t.Errorf("got %+v, %v", r, err)
	}
	for config, want := range map[string]string{
		`{"blocked_statements":["("]}`: "blocked_statements[0]: missing ), unterminated subpattern at position 0",
		`{"fields":"sql"}`:             "fields: not a list",
		`{"strip_comment":true}`:       `strip_comment: unknown key "strip_comment"`,
	} {
		if _, err := newPlugin(t, "sql_sanitizer", config); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: got %v", config, err)
		}
	}
}

// FuzzSQLSanitizer puts texts together from what matters: what is sent on in
// place of a text that was found harmless must be harmless too.
func FuzzSQLSanitizer(f *testing.F) {
	parts := strings.Fields("DELETE FROM UPDATE t WHERE DROP ( ) ; -- /* */ # ' \" ` \\ x é = /**/ DEL ETE")
	f.Add([]byte("\x51\x0b\x4b\x52"))
	f.Fuzz(func(t *testing.T, which []byte) {
		var b strings.Builder
		for _, c := range which {
			b.WriteString(parts[int(c&0x3f)%len(parts)])
			b.WriteString([]string{"", " ", "\n", ""}[c>>6])
		}
		p, err := newPlugin(t, "sql_sanitizer", `{}`)
		if err != nil {
			t.Fatal(err)
		}
		payload := encode(map[string]any{"name": "t", "args": map[string]string{"q": b.String()}})
		r, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, payload, &plugin.Context{})
		if err != nil {
			t.Fatal(err)
		}
		if r.ModifiedPayload == nil {
			return
		}
		again, err := p.Invoke(t.Context(), plugin.ToolPreInvoke, r.ModifiedPayload, &plugin.Context{})
		if err != nil || !again.Continue {
			t.Fatalf("%s passes as %s, which is refused: %+v, %v", payload, r.ModifiedPayload, again.Violation, err)
		}
	})
}
