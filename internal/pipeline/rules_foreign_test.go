package pipeline_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sallyport-mcp/sallyport/internal/pipeline"
	"github.com/sallyport-mcp/sallyport/internal/remote"
	"github.com/sallyport-mcp/sallyport/plugin"
)

// foreign is a plugin server that is not ours: its answers are the texts that a
// test gives, byte by byte.
type foreign struct {
	config string // of get_plugin_config
	answer string // of invoke_hook
	asked  string // the arguments of the last invoke_hook
}

func (f *foreign) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		ID     json.RawMessage
		Params struct {
			Name      string
			Arguments json.RawMessage
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	text := f.config
	if m.Params.Name == "invoke_hook" {
		f.asked, text = string(m.Params.Arguments), f.answer
	}
	quoted, _ := json.Marshal(text)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[{"type":"text","text":%s}]}}`, m.ID, quoted)
}

// pipelineOf is one with plugin P on that server.
func (f *foreign) pipelineOf(t *testing.T, e pipeline.Entry) made {
	t.Helper()
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	p, err := remote.New(remote.Config{Name: "P", URL: srv.URL + "/mcp", Hooks: e.Hooks}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	e.Name, e.Plugin, e.Learn = "P", p, open
	return newPipeline(t, pipeline.Options{}, e)
}

// A server that is not ours sends nulls, both spellings and fields that nobody
// here knows: what is known of it counts, the rest is ignored, and whose verdict
// it is says the entry, not the server.
func TestRule_AnswersOfOtherServers_Remote(t *testing.T) {
	const image = `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"image","data":"aGk=","mimeType":"image/png"}}]}}`
	for name, c := range map[string]struct {
		answer        string
		hook          plugin.Hook
		payload, want string // given, where they are empty
	}{
		"nulls": {answer: `{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":null,"violation":null,"metadata":null,"http_headers":null,"retry_delay_ms":null,"executions":null,"modified_extensions":null},"error":null,"context":null}`,
			want: "pass " + given},
		"unknown fields": {answer: `{"took":1,"plugin_name":"P","result":{"verdict":"no","continue_processing":true,"Continue_Processing":false,"executions":[{"x":{}}],"modified_extensions":{"a":1},"modified_payload":` + changed + `},"trace":[]}`,
			want: "changed " + changed},
		"an unknown field of the payload": {answer: `{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":{"name":"t","args":{"a":"changed"},"trace":1}}}`,
			want: "changed " + changed},
		"camel case": {answer: `{"plugin_name":"P","result":{"continueProcessing":true,"modifiedPayload":` + changed + `,"retryDelayMs":1,"httpHeaders":{}}}`,
			want: "changed " + changed},
		"snake case in a payload": {hook: plugin.PromptPostFetch, payload: image,
			answer: `{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":` + strings.NewReplacer("mimeType", "mime_type", "aGk=", "eA==").Replace(image) + `}}`,
			want:   "changed " + strings.Replace(image, "aGk=", "eA==", 1)},
		"camel case in a payload": {hook: plugin.PromptPostFetch, payload: strings.Replace(image, "mimeType", "mime_type", 1),
			answer: `{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":` + strings.Replace(image, "aGk=", "eA==", 1) + `}}`,
			want:   "changed " + strings.NewReplacer("mimeType", "mime_type", "aGk=", "eA==").Replace(image)},
		"numbers": {answer: `{"plugin_name":"P","result":{"continue_processing":true,"modified_payload":{"name":"t","args":{"a":9007199254740993,"b":1.10e5}}}}`,
			want: `changed {"name":"t","args":{"a":9007199254740993,"b":1.10e5}}`},
		"a refusal of another's": {answer: `{"plugin_name":"P","result":{"continue_processing":false,"violation":{"reason":"r","description":"d","code":"c","details":null,"mcp_error_code":null,"http_status_code":null,"http_headers":null,"plugin_name":"Q","severity":"high"}}}`,
			want: `refused by P: {"reason":"r","description":"d","code":"c","mcp_error_code":null}`},
		"a refusal without a word": {answer: `{"plugin_name":"P","result":{"continue_processing":false,"violation":null}}`,
			want: `refused by P: {"reason":"Refused","description":"The plugin refused the request without a reason","code":"","mcp_error_code":null}`},
		"the newer fields of a refusal": {answer: `{"plugin_name":"P","result":{"continue_processing":false,"violation":{"reason":"r","description":"d","code":"c","mcpErrorCode":-32001,"httpStatusCode":429,"httpHeaders":{"Retry-After":"1"}}}}`,
			want: `refused by P: {"reason":"r","description":"d","code":"c","mcp_error_code":-32001,"http_status_code":429,"http_headers":{"Retry-After":"1"}}`},
		"a violation of one that goes on": {answer: `{"plugin_name":"P","result":{"continue_processing":true,"violation":{"reason":"r","description":"d","code":"c"}}}`,
			want: "pass " + given},
		"an error of nulls": {answer: `{"plugin_name":"P","result":null,"error":{"message":"boom","plugin_name":"Q","code":null,"details":null,"mcp_error_code":null,"traceback":"x"},"context":null}`,
			want: "failed by P: boom"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &foreign{config: `{"name":"P"}`, answer: c.answer}
			hook, payload := plugin.ToolPreInvoke, given
			if c.payload != "" {
				hook, payload = c.hook, c.payload
			}
			out := f.pipelineOf(t, pipeline.Entry{}).Run(t.Context(), hook, json.RawMessage(payload), request())
			got := describe(out)
			if r := out.Refusal; r != nil && r.Violation != nil {
				v := *r.Violation
				if v.Details = nil; string(r.Violation.Details) != "" && string(r.Violation.Details) != "{}" {
					t.Errorf("details %s", r.Violation.Details)
				}
				raw, _ := json.Marshal(&v)
				got += " by " + r.Plugin + ": " + strings.Replace(string(raw), `"details":null,`, "", 1)
			} else if r != nil {
				said, ok := errors.AsType[*plugin.Error](r.Err)
				if !ok {
					t.Fatalf("error %v", r.Err)
				}
				got += " by " + r.Plugin + ": " + said.Message
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Of a context that comes back counts what a plugin may change, in nulls and in
// other spellings too; what it may not change stays, and so does all of it where
// none comes back.
func TestRule_ContextOfOtherServers_Remote(t *testing.T) {
	f := &foreign{config: `{"name":"P"}`}
	p := f.pipelineOf(t, pipeline.Entry{})
	req := &pipeline.Request{Global: plugin.GlobalContext{
		RequestID: "r1", User: json.RawMessage(`"alice"`),
		State: plugin.Object{"g": json.RawMessage("1")}, Metadata: plugin.Object{"m": json.RawMessage(`{"z":null}`)},
	}}
	// What the server is sent, after what it has answered: absent fields are left
	// out, the nulls of free-form objects are not.
	const first = `{"state":{},"global_context":{"request_id":"r1","user":"alice","state":{"g":1},"metadata":{"m":{"z":null}}},"metadata":{}}`
	const kept = `{"state":{"n":9007199254740993,"z":null},"global_context":{"request_id":"r1","user":"alice","state":{"g":2},"metadata":{"m":{"z":null}}},"metadata":{"own":1}}`
	for i, step := range []struct{ sent, context string }{
		{first, `{"state":{"n":9007199254740993,"z":null},"metadata":{"own":1},"unknown":1,"global_context":{"request_id":"r2","user":"mallory","tenant_id":"t","server_id":"s","content_type":null,"state":{"g":2},"metadata":{"m":2}}}`},
		{kept, `null`},
		{kept, ``},
		{kept, `{"state":null,"metadata":{},"global_context":null}`},
		{strings.NewReplacer(`{"n":9007199254740993,"z":null}`, `{}`, `{"own":1}`, `{}`).Replace(kept), `{"state":{"n":9007199254740993,"z":null},"metadata":{"own":1},"globalContext":{"state":{"g":3}}}`},
		{strings.Replace(kept, `{"g":2}`, `{"g":3}`, 1), ``},
	} {
		f.answer = `{"plugin_name":"P","result":{"continue_processing":true}}`
		if step.context != "" {
			f.answer = strings.TrimSuffix(f.answer, "}") + `,"context":` + step.context + `}`
		}
		if out := p.Run(t.Context(), plugin.ToolPreInvoke, json.RawMessage(given), req); out.Refusal != nil {
			t.Fatalf("%d: %+v", i, out.Refusal)
		}
		want := `{"hook_type":"tool_pre_invoke","plugin_name":"P","payload":` + given + `,"context":` + step.sent + `}`
		if f.asked != want {
			t.Errorf("%d: it was sent\n%s, want\n%s", i, f.asked, want)
		}
	}
}

// A configuration of nulls and unknown fields is one that settles nothing, and
// both vocabularies of modes are understood.
func TestRule_ConfigOfOtherServers_Remote(t *testing.T) {
	const refuses = `{"plugin_name":"P","result":{"continue_processing":false,"violation":{"reason":"r","description":"d","code":"c"}}}`
	const fails = `{"plugin_name":"P","error":{"message":"boom"}}`
	for config, want := range map[string]struct{ refuses, fails string }{
		`{"name":"P","description":null,"author":null,"kind":null,"namespace":null,"version":null,"hooks":null,"tags":null,"mode":null,"on_error":null,"priority":null,"conditions":null,"applied_to":null,"config":null,"mcp":null,"future":{"x":1}}`: {"refused", "failed"},
		`{"name":"P","mode":"enforce"}`:                                                  {"refused", "failed"},
		`{"name":"P","mode":"sequential"}`:                                               {"refused", "failed"},
		`{"name":"P","mode":"concurrent"}`:                                               {"refused", "failed"},
		`{"name":"P","mode":"enforce_ignore_error"}`:                                     {"refused", "failed, ignored " + given},
		`{"name":"P","mode":"sequential","on_error":"ignore"}`:                           {"refused", "failed, ignored " + given},
		`{"name":"P","mode":"sequential","on_error":"disable"}`:                          {"refused", "failed, disabled " + given},
		`{"name":"P","mode":"permissive"}`:                                               {"would refuse " + given, "failed, ignored " + given},
		`{"name":"P","mode":"transform"}`:                                                {"would refuse " + given, "failed, ignored " + given},
		`{"name":"P","mode":"transform","on_error":"fail"}`:                              {"would refuse " + given, "failed"},
		`{"name":"P","mode":"audit"}`:                                                    {"would refuse " + given, "failed, ignored " + given},
		`{"name":"P","mode":"enforce","hooks":["prompt_pre_fetch","a_hook_of_its_own"]}`: {given, given},
		`{"name":"P","mode":"disabled"}`:                                                 {"failed", "failed"},
		`{"name":"P","mode":"Enforce"}`:                                                  {"failed", "failed"},
		`{"name":"p"}`:                                                                   {"failed", "failed"},
		`{}`:                                                                             {"failed", "failed"},
		`null`:                                                                           {"failed", "failed"},
		`no JSON`:                                                                        {"failed", "failed"},
	} {
		for _, c := range []struct{ answer, want string }{{refuses, want.refuses}, {fails, want.fails}} {
			f := &foreign{config: config, answer: c.answer}
			if got := describe(f.pipelineOf(t, pipeline.Entry{}).run(t)); got != c.want {
				t.Errorf("%s: got %q, want %q", config, got, c.want)
			}
		}
	}
}
