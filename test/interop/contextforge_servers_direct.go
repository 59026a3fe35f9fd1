package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// samples are the payloads with which each hook is called by itself: with the
// text that asks for ACTION, and what modified_payload has to hold then.
var samples = []struct{ hook, payload, changed string }{
	{"tool_pre_invoke", `{"name":"t","args":{"text":"ACTION","n":9007199254740993,"z":null},"headers":{"X-A":"1"}}`,
		`{"name":"t","args":{"text":"ACTION (seen)","n":9007199254740993,"z":null,"added":{"n":9007199254740993,"z":null}},"headers":{"X-A":"1","X-Plugin":"tool"}}`},
	{"tool_post_invoke", `{"name":"t","result":{"content":[{"type":"text","text":"ACTION"}],"structuredContent":{"n":9007199254740993,"z":null}}}`,
		`{"name":"t","result":{"content":[{"type":"text","text":"ACTION (seen)"}],"structuredContent":{"n":9007199254740993,"z":null,"added":{"n":9007199254740993,"z":null}}}}`},
	{"prompt_pre_fetch", `{"prompt_id":"p","args":{"who":"ACTION"}}`, `{"prompt_id":"p","args":{"who":"ACTION (seen)"}}`},
	{"prompt_post_fetch", `{"prompt_id":"p","result":{"messages":[{"role":"user","content":{"type":"text","text":"ACTION"}}],"description":"d"}}`, ``},
	{"resource_pre_fetch", `{"uri":"u:ACTION","metadata":{"n":9007199254740993,"z":null}}`, `{"uri":"u:ACTION-other","metadata":{"n":9007199254740993,"z":null}}`},
	{"resource_post_fetch", `{"uri":"u:1","content":{"uri":"u:1","mimeType":"text/plain","text":"ACTION"}}`,
		`{"uri":"u:1","content":{"uri":"u:1","mimeType":"text/plain","text":"ACTION (seen)"}}`},
	{"http_pre_request", `{"path":"/mcp","method":"POST","client_host":"127.0.0.1","client_port":1,"headers":{"x-do":"ACTION"}}`,
		`{"x-do":"ACTION","x-plugin":"request","authorization":"Bearer stolen"}`},
	{"http_post_request", `{"path":"/ACTION","method":"POST","headers":{},"response_headers":{"x-a":"1"},"status_code":200}`, `{"x-a":"1","x-plugin":"response"}`},
	{"http_auth_resolve_user", `{"credentials":{"scheme":"Bearer","credentials":"ACTION"},"headers":{}}`,
		`{"email":"ada@example.com","full_name":null,"is_admin":false,"is_active":true}`},
	{"http_auth_check_permission", `{"user_email":"ACTION","permission":"tools.execute"}`, `{"granted":true,"reason":null}`},
	{"agent_pre_invoke", `{"agent_id":"a","messages":[{"role":"user","content":{"type":"text","text":"ACTION"}}],"tools":["t"],"model":"m","system_prompt":"s","parameters":{"n":9007199254740993,"z":null}}`, ``},
	{"agent_post_invoke", `{"agent_id":"a","messages":[{"role":"user","content":{"type":"text","text":"ACTION"}}],"tool_calls":[{"n":9007199254740993,"z":null}]}`, ``},
	{"custom_lookup", `{"question":"ACTION","more":{"n":9007199254740993,"z":null}}`, `{"question":"ACTION (seen)","more":{"n":9007199254740993,"z":null}}`},
}

// flags reach the server from the command line.
func (s *pythonServer) flags() []string {
	if s.over != overTLS {
		return nil
	}
	return []string{
		"--certfile", "certs/mcp/gateway/client.crt", "--keyfile", "certs/mcp/gateway/client.key",
		"--ca-bundle", "certs/mcp/gateway/ca.crt", "--check-hostname=false",
	}
}

// called is what sallyport call printed, and how it ended.
func (s *pythonServer) called(ctx context.Context, hook, payload string) (json.RawMessage, int, error) {
	args := append([]string{"call", "--url", s.url(s.addr()), "--plugin", "Probe", "--hook", hook, "--payload", payload}, s.flags()...)
	cmd := s.lab.command(ctx, s.lab.binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		return nil, 0, err
	}
	if stdout.Len() == 0 {
		return nil, 0, fmt.Errorf("call --hook %s gave no answer: %s", hook, &stderr)
	}
	return stdout.Bytes(), cmd.ProcessState.ExitCode(), nil
}

// direct calls each hook by itself, also those that the gateway does not call:
// that these pass, change, refuse and raise is what call prints. The others have
// been tried under the gateway, where only what they change looks different.
func (st *stage) direct(ctx context.Context) error {
	for _, sample := range samples {
		embedded := strings.HasPrefix(sample.hook, "agent_") || strings.HasPrefix(sample.hook, "custom_")
		for _, c := range []struct {
			action string
			exit   int
		}{{"pass", 0}, {"modify", 0}, {"violate", 3}, {"raise", 1}} {
			if !embedded && (c.action != "modify" || st.server.over != overHTTP) {
				continue
			}
			try := "call --hook " + sample.hook + " " + c.action
			action := func(text string) string { return strings.ReplaceAll(text, "ACTION", "Probe:"+sample.hook+"="+c.action) }
			answer, exit, err := st.server.called(ctx, sample.hook, action(sample.payload))
			if err != nil {
				return err
			}
			if exit != c.exit {
				st.faulty(try, "exit code %d, want %d: %s", exit, c.exit, answer)
			}
			modified := dig(answer, "result", "modified_payload")
			switch c.action {
			case "pass":
				st.want(try, "modified_payload", modified, "null")
				st.want(try, "state", dig(answer, "context", "state", "big"), `{"n":9007199254740993,"z":null}`)
			case "modify":
				want := sample.changed
				if want == "" { // of the models' objects, whose absent fields come back as null
					want = sample.payload
					want = strings.ReplaceAll(want, "ACTION", "ACTION (seen)")
					modified = withoutNulls(modified)
				}
				st.want(try, "modified_payload", modified, action(want))
			case "violate":
				st.want(try, "code", dig(answer, "result", "violation", "code"), `"ASKED"`)
				st.want(try, "details", dig(answer, "result", "violation", "details"), violationDetails)
			case "raise":
				st.want(try, "error", dig(answer, "error", "message"), `"ValueError('the plugin raised this')"`)
				st.want(try, "error's plugin", dig(answer, "error", "plugin_name"), `"Probe"`)
			}
		}
	}
	return nil
}

// conforms runs plugin-test against the server. What it may warn of is what the
// reference does otherwise than the protocol; nothing may fail.
func (st *stage) conforms(ctx context.Context) error {
	args := append([]string{"plugin-test", st.server.url(st.server.addr()), "--plugin", "Probe"}, st.server.flags()...)
	cmd := st.server.lab.command(ctx, st.server.lab.binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("plugin-test: %w\n%s%s", err, &stdout, &stderr)
	}
	var got []string
	for line := range strings.Lines(stdout.String()) {
		what, isWarning := strings.CutPrefix(line, "warn  ")
		if !isWarning {
			continue
		}
		_, rule, _ := strings.Cut(what, "§")
		rule, _, _ = strings.Cut(rule, "  ")
		if rule = "§" + strings.TrimSpace(rule); !slices.Contains(got, rule) {
			got = append(got, rule)
		}
	}
	if want := st.server.era.warnings(); !slices.Equal(got, want) {
		st.faulty("plugin-test", "it warns of %q, want %q\n%s", got, want, &stdout)
	}
	return nil
}

// warnings are the rules of the protocol that a server of the line does not
// keep, in the order in which plugin-test names them. The last one is our custom
// hook's, which takes no sample.
func (c *contextForge) warnings() []string {
	const events, verdict = "§1 answers are application/json", "§4 each call has a verdict or an error"
	const masked = "§2 secrets in its config are masked"
	if c.era == seed {
		return []string{events, "§1 an unknown session is 404", masked, "§5 user may be an object", verdict}
	}
	return []string{events, "§2 its mode is a mode", masked, verdict}
}
