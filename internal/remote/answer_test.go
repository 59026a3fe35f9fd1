package remote

import (
	"encoding/json"
	"net/http"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/report"
	"github.com/sallyport-mcp/sallyport/internal/wire"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// TestRecordedAnswers reads answers as the reference gave them.
func TestRecordedAnswers(t *testing.T) {
	data, err := os.ReadFile("testdata/recorded.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct {
		Cases []struct {
			Case    string
			Request struct {
				Arguments struct {
					PluginName string `json:"plugin_name"`
					Payload    json.RawMessage
				}
			}
			ResponseText []json.RawMessage `json:"response_text"`
		}
	}
	if err := json.Unmarshal(data, &recorded); err != nil {
		t.Fatal(err)
	}
	if len(recorded.Cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range recorded.Cases {
		t.Run(c.Case, func(t *testing.T) {
			a, err := decodeAnswer(toolResult(string(c.ResponseText[0])), c.Request.Arguments.PluginName)
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				Result *struct {
					Continue bool             `json:"continue_processing"`
					Payload  *json.RawMessage `json:"modified_payload"`
					V        *struct {
						Reason, Description, Code string
						Details                   json.RawMessage
						MCP                       int `json:"mcp_error_code"`
					} `json:"violation"`
					Metadata *json.RawMessage
				}
				Error   *plugin.Error
				Context *plugin.Context
			}
			if err := json.Unmarshal(c.ResponseText[0], &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Error, a.Error); diff != "" {
				t.Errorf("error (-want +got):\n%s", diff)
			}
			if (want.Result != nil) != (a.Result != nil) {
				t.Fatalf("result is %v", a.Result)
			}
			if want.Result == nil {
				return
			}
			wantResult := &plugin.Result{Continue: want.Result.Continue}
			if want.Result.Payload != nil {
				wantResult.ModifiedPayload = *want.Result.Payload
			}
			if want.Result.Metadata != nil {
				wantResult.Metadata = *want.Result.Metadata
			}
			if v := want.Result.V; v != nil {
				wantResult.Violation = &plugin.Violation{Reason: v.Reason, Description: v.Description, Code: v.Code, Details: v.Details, MCPCode: &v.MCP}
			}
			if diff := cmp.Diff(wantResult, a.Result); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			got := &plugin.Context{}
			a.apply(got)
			if diff := cmp.Diff(want.Context.State, got.State); diff != "" {
				t.Errorf("state (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want.Context.GlobalContext.State, got.GlobalContext.State); diff != "" {
				t.Errorf("global state (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTolerantResults(t *testing.T) {
	delay, status := int64(5), 429
	tests := map[string]struct {
		text string
		want plugin.Result
	}{
		"nulls": {`{"plugin_name":"P","error":null,"context":null,"result":{"continue_processing":true,"modified_payload":null,"violation":null,"metadata":null,"http_headers":null,"retry_delay_ms":null}}`, plugin.Result{Continue: true}},
		"newer fields": {
			`{"plugin_name":"P","result":{"continue_processing":false,"http_headers":{"A":"b"},"retry_delay_ms":5,"executions":[],"modified_extensions":{},"violation":{"reason":"r","description":"d","code":"c","http_status_code":429,"http_headers":{"X":"y"},"plugin_name":"P"}}}`,
			plugin.Result{HTTPHeaders: map[string]string{"A": "b"}, RetryDelayMS: &delay, Violation: &plugin.Violation{Reason: "r", Description: "d", Code: "c", HTTPStatus: &status, HTTPHeaders: map[string]string{"X": "y"}}},
		},
		"camel case": {`{"plugin_name":"P","result":{"continueProcessing":true,"modifiedPayload":{"a":1}}}`, plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(`{"a":1}`)}},
		"exact numbers": {
			`{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":{"n":9007199254740993,"f":1.10e5}}}`,
			plugin.Result{Continue: true, ModifiedPayload: json.RawMessage(`{"n":9007199254740993,"f":1.10e5}`)},
		},
		"lone surrogate": {`{"plugin_name":"P","result":{"continue_processing":true,"metadata":{"s":"\ud83d"}}}`, plugin.Result{Continue: true, Metadata: json.RawMessage(`{"s":"\ud83d"}`)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := decodeAnswer(toolResult(tt.text), "P")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&tt.want, a.Result); diff != "" {
				t.Errorf("result (-want +got):\n%s", diff)
			}
			if string(a.Raw) != tt.text {
				t.Errorf("raw is %s", a.Raw)
			}
		})
	}
}

func TestTheFirstTextWithAVerdictCounts(t *testing.T) {
	content := `{"content":[{"type":"image","data":"","mimeType":"image/png"},{"type":"text","text":"hello"},{"type":"text","text":"{\"plugin_name\":\"P\"}"},` +
		`{"type":"text","text":"{\"plugin_name\":\"P\",\"result\":{\"continue_processing\":false}}"},{"type":"text","text":"{\"plugin_name\":\"P\",\"result\":{\"continue_processing\":true}}"}]}`
	a, err := decodeAnswer([]byte(content), "P")
	if err != nil {
		t.Fatal(err)
	}
	if a.Result.Continue {
		t.Error("a later block was taken")
	}
}

// TestNonsense gives answers that must not be taken for a verdict.
func TestNonsense(t *testing.T) {
	ok := string(toolResult(passes))
	tests := map[string]struct{ result, text string }{
		"no content":             {`{"isError":false}`, "without content"},
		"empty content":          {`{"content":[]}`, "no text with a result or an error"},
		"text missing":           {`{"content":[{"type":"text"}]}`, "a text block without text"},
		"not JSON":               {string(toolResult("hello")), "the text is not JSON"},
		"duplicate member":       {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":false},"result":{"continue_processing":true}}`)), "the text is not JSON"},
		"duplicate deep inside":  {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":false,"continue_processing":true}}`)), "the text is not JSON"},
		"other plugin":           {string(toolResult(`{"plugin_name":"Q","result":{"continue_processing":true}}`)), `an answer of plugin "Q"`},
		"no plugin":              {string(toolResult(`{"result":{"continue_processing":true}}`)), "an answer of plugin"},
		"no verdict":             {string(toolResult(`{"plugin_name":"P","result":{}}`)), "no continue_processing"},
		"null verdict":           {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":null}}`)), "no continue_processing"},
		"verdict is text":        {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":"yes"}}`)), "not true or false"},
		"verdict in other case":  {string(toolResult(`{"plugin_name":"P","result":{"Continue_Processing":true}}`)), "no continue_processing"},
		"two spellings":          {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":false,"continueProcessing":true}}`)), "two spellings"},
		"both":                   {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":true},"error":{"message":"m"}}`)), "both a result and an error"},
		"result is a list":       {string(toolResult(`{"plugin_name":"P","result":[]}`)), "result is not an object"},
		"payload is a list":      {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":[]}}`)), "modified_payload is not an object"},
		"violation is text":      {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":false,"violation":"no"}}`)), "violation is not an object"},
		"code is text":           {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":false,"violation":{"mcp_error_code":"1"}}}`)), "violation.mcp_error_code is not an integer"},
		"error is text":          {string(toolResult(`{"plugin_name":"P","error":"boom"}`)), "error is not an object"},
		"context is a list":      {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":true},"context":[]}`)), "context is not an object"},
		"state is a list":        {string(toolResult(`{"plugin_name":"P","result":{"continue_processing":true},"context":{"state":[]}}`)), "context.state is not an object"},
		"tool error":             {`{"content":[{"type":"text","text":"Unknown tool:\n invoke_hook"}],"isError":true}`, "the server says: Unknown tool: invoke_hook"},
		"isError is text":        {`{"isError":"true","content":[{"type":"text","text":"{\"plugin_name\":\"P\",\"result\":{\"continue_processing\":true}}"}]}`, "isError is not true or false"},
		"result type of no kind": {`{"resultType":5,"content":[{"type":"text","text":"{\"plugin_name\":\"P\",\"result\":{\"continue_processing\":true}}"}]}`, "result type 5"},
		"input required":         {`{"content":[],"resultType":"input_required"}`, "input_required"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p := client(t, serve(t, answerWith(func(id string) (int, string, string) {
				return 200, wire.MediaJSON, `{"jsonrpc":"2.0","id":` + id + `,"result":` + tt.result + `}`
			})).URL)
			_, err := invoke(t, p, `{}`)
			wantKind(t, err, BadAnswer, tt.text)
		})
	}
	envelopes := map[string]struct {
		status            int
		media, body, text string
	}{
		"HTML":             {200, "text/html", "<html>", `content type "text/html"`},
		"no content":       {202, "", "", "HTTP 202 Accepted"},
		"no JSON":          {200, wire.MediaJSON, "{", "not a JSON-RPC message"},
		"trailing bytes":   {200, wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"result":` + ok + `}{}`, "not a JSON-RPC message"},
		"other id":         {200, wire.MediaJSON, `{"jsonrpc":"2.0","id":99,"result":` + ok + `}`, "the answer has id 99"},
		"id as text":       {200, wire.MediaJSON, `{"jsonrpc":"2.0","id":"ID","result":` + ok + `}`, "the answer has id"},
		"a request":        {200, wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"method":"roots/list"}`, "a roots/list request instead of an answer"},
		"an error":         {200, wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32603,"message":"sorry"}}`, "sorry (code -32603)"},
		"stream without":   {200, wire.MediaSSE, ": nothing\n\n", "ended without an answer"},
		"stream of noise":  {200, wire.MediaSSE, "data: noise\n\n", "not a JSON-RPC message"},
		"server error":     {500, "text/plain", "oh\x00 no", "HTTP 500 Internal Server Error"},
		"modern complaint": {400, wire.MediaJSON, `{"jsonrpc":"2.0","id":ID,"error":{"code":-32020,"message":"Header mismatch"}}`, "Header mismatch (code -32020)"},
	}
	for name, tt := range envelopes {
		t.Run(name, func(t *testing.T) {
			p := client(t, serve(t, answerWith(func(id string) (int, string, string) {
				return tt.status, tt.media, replaceID(tt.body, id)
			})).URL)
			_, err := invoke(t, p, `{}`)
			wantKind(t, err, BadAnswer, tt.text)
		})
	}
	t.Run("behind a broken proxy", func(t *testing.T) {
		p := client(t, serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })).URL)
		_, err := invoke(t, p, `{}`)
		wantKind(t, err, Unreachable, "HTTP 502")
	})
}

func FuzzHookAnswer(f *testing.F) {
	f.Add(string(toolResult(passes)))
	f.Add(`{"content":[{"type":"text","text":"{\"plugin_name\":\"P\",\"result\":{\"continue_processing\":false,\"violation\":{\"code\":\"c\",\"details\":{}}},\"context\":{\"state\":{\"a\":1},\"global_context\":{\"state\":{}}}}"}]}`)
	f.Add(`{"content":[{"type":"text","text":"{\"plugin_name\":\"P\",\"error\":{\"message\":\"m\",\"mcp_error_code\":-1}}"}],"isError":true}`)
	f.Fuzz(func(t *testing.T, result string) {
		if wire.Check([]byte(result)) != nil {
			return // does not get this far
		}
		a, err := decodeAnswer([]byte(result), "P")
		if err != nil {
			return
		}
		if (a.Result == nil) == (a.Error == nil) {
			t.Fatalf("neither or both: %+v", a)
		}
		if wire.Check(a.Raw) != nil {
			t.Fatalf("raw is not JSON: %q", a.Raw)
		}
		// What is handed on can be encoded again.
		c := &plugin.Context{}
		a.apply(c)
		if _, err := encodeContext(c); err != nil {
			t.Fatal(err)
		}
		if a.Result != nil {
			if _, err := json.Marshal(a.Result); err != nil {
				t.Fatal(err)
			}
			sameVerdict(t, a)
		}
	})
}

// sameVerdict reads an answer once more, in the plainest way.
func sameVerdict(t *testing.T, a *Answer) {
	t.Helper()
	var plain struct {
		Result map[string]json.RawMessage
	}
	members := map[string]json.RawMessage{}
	if err := json.Unmarshal(a.Raw, &members); err != nil || json.Unmarshal(members["result"], &plain.Result) != nil {
		t.Fatalf("%v: %s", err, a.Raw)
	}
	said := func(names ...string) string {
		for _, name := range names {
			if raw := plain.Result[name]; raw != nil && string(raw) != "null" {
				return string(raw)
			}
		}
		return ""
	}
	if got := said("continue_processing", "continueProcessing"); got != strconv.FormatBool(a.Result.Continue) {
		t.Fatalf("continue is %v, and was %q", a.Result.Continue, got)
	}
	if got := said("modified_payload", "modifiedPayload"); got != string(a.Result.ModifiedPayload) {
		t.Fatalf("the payload is %s, and was %q", a.Result.ModifiedPayload, got)
	}
	if (said("violation") != "") != (a.Result.Violation != nil) {
		t.Fatalf("the violation is %+v: %s", a.Result.Violation, a.Raw)
	}
}

// FuzzConfigAnswer reads any result of get_plugin_config: of what is taken for a
// configuration everything that may take effect is known here.
func FuzzConfigAnswer(f *testing.F) {
	f.Add(string(toolResult(`{"name":"P","hooks":["a",null],"mode":"enforce","priority":1}`)))
	f.Add(string(toolResult(`{"name":"P","hooks":["tool_pre_invoke"],"mode":"audit","on_error":"disable","priority":-1,"conditions":[{"tools":["a*"],"server_ids":null,"x":1},{}],"applied_to":null}`)))
	f.Add(string(toolResult(`{"name":"P","mode":null,"on_error":null,"priority":null,"conditions":null,"hooks":null}`)))
	f.Add(string(toolResult(`{"name":"P","mode":"lenient","conditions":[{"tools":"a"}]}`)))
	f.Add(string(toolResult(`{}`)))
	f.Fuzz(func(t *testing.T, result string) {
		if wire.Check([]byte(result)) != nil {
			return
		}
		info, err := decodeInfo([]byte(result), "P")
		if err != nil {
			return
		}
		if info.Name != "P" || wire.Check(info.Raw) != nil {
			t.Fatalf("config %+v", info)
		}
		var plain map[string]json.RawMessage
		if err := json.Unmarshal(info.Raw, &plain); err != nil {
			t.Fatal(err)
		}
		says := func(name string) bool { return plain[name] != nil && string(plain[name]) != "null" }
		if says("mode") != report.IsMode(info.Mode) || says("on_error") != report.IsOnError(info.OnError) ||
			says("priority") != (info.Priority != nil) || says("conditions") != (info.Conditions != nil) || says("hooks") != (info.Hooks != nil) {
			t.Fatalf("of %s is taken %+v", info.Raw, info)
		}
		var conditions []map[string]json.RawMessage
		if says("conditions") && (json.Unmarshal(plain["conditions"], &conditions) != nil || len(conditions) != len(info.Conditions)) {
			t.Fatalf("conditions %s are %+v", plain["conditions"], info.Conditions)
		}
	})
}
