package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// verdicts is what a row of the table says of a server.
type verdicts struct{ revision, text string }

// token is the client's, which plugins see as credentials and nowhere else.
const token = "a-token-of-the-client"

// guard tries the server under the gateway: first what every plugin does, then
// what goes wrong.
func (s *pythonServer) guard(ctx context.Context) (_ *verdicts, err error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.kill()) }()
	between, err := newRelay(ctx, s.network(), s.socket+"-relay", s.addr())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, between.close()) }()
	st, err := s.newStage(ctx, between.addr, "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, st.close()) }()
	st.relay = between

	tries := 0
	for _, k := range kinds() {
		for _, try := range k.tries(s.era.era) {
			st.attempt(ctx, k, try)
			tries++
		}
	}
	more := []func(*stage, context.Context) error{
		(*stage).payloads, (*stage).oldClient, (*stage).customers, (*stage).permissions, (*stage).statuses, (*stage).newer, (*stage).crowd,
	}
	if s.over != overStdio {
		more = append(more, (*stage).cut)
	}
	if s.over == overHTTP {
		more = append(more, (*stage).forgotten) // sessions are seen where there is no TLS
	}
	if s.over == overHTTP || s.over == overTLS {
		more = append(more, (*stage).direct, (*stage).conforms)
	}
	for _, try := range more {
		if err := try(st, ctx); err != nil {
			st.failures = append(st.failures, err)
		}
		tries++
	}
	if len(st.failures) > 0 {
		st.failures = st.failures[:min(len(st.failures), enough)]
		return nil, fmt.Errorf("%w\nthe gateway complains:\n%s", errors.Join(st.failures...), st.gateway.complaints())
	}
	revision := modern
	// On stdio the gateway does not say; the Python SDK 1.x knows nothing newer.
	if strings.Contains(st.gateway.text(), "plugin server is of the legacy era") || s.over == overStdio && strings.HasPrefix(s.era.packages["mcp"], "1.") {
		revision = legacy
	}
	text := fmt.Sprintf("12 hooks and a custom one: %d tries, each hook run once", tries)
	if s.era.era == seed {
		text = fmt.Sprintf("12 hooks and a custom one: %d tries, each hook run once, but twice by the server if it raises", tries)
	}
	if s.over != overStdio {
		text += fmt.Sprintf("; %d connections", between.connections())
	}
	return &verdicts{revision, text}, nil
}

// kind is a method of MCP with a hook before and after.
type kind struct {
	pre, post string
	call      call
	asked     string // what reaches the upstream when nothing is changed
	changed   string // and once the hook before has changed it
	after     func(*stage, string, *reply)
}

const toolArguments = `{"text":"Hello","n":9007199254740993,"z":null,"f":1.50,"list":[1,{"a":null}]}`

// pythonArguments are they as Python spells them.
const pythonArguments = `{"text":"Hello","n":9007199254740993,"z":null,"f":1.5,"list":[1,{"a":null}]}`

func kinds() []kind {
	return []kind{
		{
			pre: "tool_pre_invoke", post: "tool_post_invoke", call: tool("mirror__echo", toolArguments),
			asked:   "echo " + toolArguments,
			changed: `echo {"text":"Hello (seen)","n":9007199254740993,"z":null,"f":1.50,"list":[1,{"a":null}],"added":{"n":9007199254740993,"z":null}}`,
			after: func(st *stage, try string, r *reply) {
				st.want(try, "the result's text", dig(r.result, "content", 0, "text"), `"Hello (seen)"`)
				st.want(try, "what the plugin left alone", dig(r.result, "content", 1), `{"type":"image","data":"cG5n","mimeType":"image/png"}`)
				st.want(try, "the result's structure", dig(r.result, "structuredContent"),
					strings.TrimSuffix(toolArguments, "}")+`,"added":{"n":9007199254740993,"z":null}}`)
				if !strings.Contains(string(r.result), `"f":1.50`) {
					st.faulty(try, "a number that nobody changed is spelt anew: %s", r.result)
				}
			},
		},
		{
			pre: "prompt_pre_fetch", post: "prompt_post_fetch", call: prompt("mirror__greet", `{"who":"Ada"}`),
			asked: `greet {"who":"Ada"}`, changed: `greet {"who":"Ada (seen)"}`,
			after: func(st *stage, try string, r *reply) {
				st.want(try, "the prompt", dig(r.result, "messages"), prompted("Hello, Ada (seen)"))
			},
		},
		{
			pre: "resource_pre_fetch", post: "resource_post_fetch", call: read("mirror://note"),
			asked: "mirror://note ", changed: "mirror://note-other ",
			after: func(st *stage, try string, r *reply) {
				st.want(try, "the contents", dig(r.result, "contents"),
					`[{"uri":"mirror://note","mimeType":"text/plain","text":"This is mirror://note (seen)","_meta":{"mirror/n":1}}]`)
			},
		},
	}
}

// prompted are the messages of the mirror's prompt.
func prompted(text string) string {
	return `[{"role":"user","content":{"type":"text","text":"` + text + `","annotations":{"audience":["user"],"priority":0.5},"_meta":{"mirror/n":1}}},` +
		`{"role":"assistant","content":{"type":"image","data":"cG5n","mimeType":"image/png"}}]`
}

// full are the runs of a request that every hook lets pass.
func (k kind) full() []string {
	all := []string{"http_pre_request", "http_auth_resolve_user", "http_auth_check_permission", k.pre}
	if k.pre == "tool_pre_invoke" {
		return append(all, "Second "+k.pre, k.post, "Second "+k.post, "http_post_request")
	}
	return append(all, k.post, "http_post_request")
}

// upTo are the runs up to a hook that refuses, times that it ran.
func (k kind) upTo(hook string, times int) []string {
	full := k.full()
	i := slices.Index(full, hook)
	return append(append(slices.Clone(full[:i]), slices.Repeat([]string{hook}, times)...), "http_post_request")
}

// try is one thing that the plugin is asked to do on a hook.
type try struct {
	hook, action string
	runs         []string
	asked        string // "" where it must not reach the upstream
	judge        func(*stage, string, *reply)
}

func (k kind) tries(era string) []try {
	nothing := func(*stage, string, *reply) {}
	all := []try{
		{k.pre, "pass", k.full(), k.asked, nothing},
		{k.pre, "unknown", k.full(), k.asked, nothing},
		{k.post, "unknown", k.full(), k.asked, nothing},
		{k.pre, "modify", k.full(), k.changed, nothing},
		{k.post, "modify", k.full(), k.asked, k.after},
	}
	// The first era's server runs a hook that fails a second time.
	times := 1
	if era == seed {
		times = 2
	}
	for hook, asked := range map[string]string{k.pre: "", k.post: k.asked} {
		all = append(all,
			try{hook, "violate", k.upTo(hook, 1), asked, k.refused},
			try{hook, "violate_code", k.upTo(hook, 1), asked, violation(4001)},
			try{hook, "violate_reserved", k.upTo(hook, 1), asked, violation(-32602)},
			try{hook, "raise", k.upTo(hook, times), asked, raised},
		)
	}
	return all
}

// The violation of the plugin, as clients are told.
const (
	violationText    = `"Plugin Violation: The caller asked for it"`
	violationDetails = `{"n":9007199254740993,"z":null}`
)

// refused is a violation without a code.
func (k kind) refused(st *stage, try string, r *reply) {
	if k.call.method != "tools/call" {
		violation(-32602)(st, try, r)
		return
	}
	st.want(try, "isError", dig(r.result, "isError"), "true")
	st.want(try, "content", dig(r.result, "content"), `[{"type":"text","text":`+violationText+`}]`)
	st.want(try, "_meta", dig(r.result, "_meta", "io.github.sallyport-mcp/violation"),
		`{"code":"ASKED","plugin":"Probe","reason":"Asked to","details":`+violationDetails+`}`)
}

// violation is one as an error of JSON-RPC.
func violation(code int) func(*stage, string, *reply) {
	return func(st *stage, try string, r *reply) {
		st.want(try, "the error", r.fault, fmt.Sprintf(`{"code":%d,"message":%s,"data":{"description":"The caller asked for it","details":%s,`+
			`"plugin_error_code":"ASKED","plugin_name":"Probe"}}`, code, violationText, violationDetails))
	}
}

// raised is what is told of a plugin that has raised an exception.
func raised(st *stage, try string, r *reply) {
	st.want(try, "the error's code", dig(r.fault, "code"), "-32603")
	if text := words(dig(r.fault, "message")); text != "Plugin Error: ValueError('the plugin raised this')" {
		st.faulty(try, "the error says %q", text)
	}
}

// attempt makes one request and looks at what became of it.
func (st *stage) attempt(ctx context.Context, k kind, t try) {
	name := t.hook + " " + t.action
	r, err := st.ask(ctx, st.client, k.call, "X-Do", "Probe:"+t.hook+"="+t.action, "Authorization", "Bearer "+token)
	if err != nil {
		st.faulty(name, "%w", err)
		return
	}
	st.wantRuns(name, r, t.runs...)
	st.wantAsked(name, r, t.asked)
	if (t.action == "pass" || t.action == "unknown" || t.action == "modify") && r.result == nil {
		st.faulty(name, "refused: %s", r.fault)
	}
	t.judge(st, name, r)
}

// wantAsked compares what reached the upstream: nothing, or one request, where
// only the spaces that Python writes may differ.
func (st *stage) wantAsked(try string, r *reply, want string) {
	var got []string
	for _, a := range r.asks {
		got = append(got, a.name+" "+a.arguments)
	}
	equal := want == "" && len(got) == 0
	if want != "" && len(got) == 1 {
		name, arguments, _ := strings.Cut(want, " ")
		equal = name == r.asks[0].name && (arguments == r.asks[0].arguments || sameValue([]byte(arguments), []byte(r.asks[0].arguments)))
	}
	if !equal {
		st.faulty(try, "this reached the upstream\n want: %s\n got:  %q", want, got)
	}
}

// oldClient is one of 2025-11-25.
func (st *stage) oldClient(ctx context.Context) (err error) {
	client, err := dialHTTP(ctx, st.url, legacy)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, client.close()) }()
	for _, k := range kinds() {
		r, err := st.ask(ctx, client, k.call, "X-Do", "Probe:"+k.post+"=modify")
		if err != nil {
			return err
		}
		st.wantRuns(legacy, r, k.full()...)
		k.after(st, legacy, r)
	}
	return nil
}
