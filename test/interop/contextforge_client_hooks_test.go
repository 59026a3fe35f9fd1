package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestContains(t *testing.T) {
	for name, c := range map[string]struct {
		want, got string
		ok        bool
	}{
		"the same":                 {`{"a":[1,{"b":null}]}`, `{"a":[1,{"b":null}]}`, true},
		"a member more":            {`{"a":{"b":1}}`, `{"a":{"b":1,"c":2},"d":3}`, true},
		"a member less":            {`{"a":{"b":1}}`, `{"a":{}}`, false},
		"null for a value":         {`{"a":{"b":1}}`, `{"a":null}`, false},
		"an element more":          {`[1]`, `[1,2]`, false},
		"a number that is rounded": {`{"n":9007199254740993}`, `{"n":9007199254740992}`, false},
		"a number in a text":       {`{"n":1}`, `{"n":"1"}`, false},
		"no JSON":                  {`{}`, `nothing`, false},
	} {
		if err := contains(c.want, json.RawMessage(c.got)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a report is found to be wrong in.
func TestCheckOfAReport(t *testing.T) {
	pass, change := hookStep{ID: "pass", want: `{"result":{"continue_processing":true}}`}, hookStep{ID: "change", want: `{}`, changes: true}
	same := json.RawMessage(`{"result":{"continue_processing":true,"modified_payload":null}}`)
	changed := json.RawMessage(`{"result":{"continue_processing":true,"modified_payload":{"name":"x"}}}`)
	for name, c := range map[string]struct {
		report hookReport
		fault  string
	}{
		"as expected":         {hookReport{Steps: []json.RawMessage{same, changed}}, ""},
		"a step is missing":   {hookReport{Steps: []json.RawMessage{same}}, "1 of 2 steps"},
		"changed for no call": {hookReport{Steps: []json.RawMessage{changed, changed}}, "a payload has come back"},
		"another answer":      {hookReport{Steps: []json.RawMessage{json.RawMessage(`{"error":{}}`), changed}}, ".result is missing"},
		"no manager":          {hookReport{Failure: "boom"}, "boom"},
	} {
		err := c.report.check([]hookStep{pass, change})
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := knowsAll([]string{"tool_pre_invoke", "tool_around_invoke"}); err == nil || !strings.Contains(err.Error(), "tool_around_invoke") {
		t.Errorf("a hook that is not tried: %v", err)
	}
}

// A connection that is kept counts once, and each answer's media type is seen.
func TestRelay(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(w, `{"protocolVersion":"2025-11-25"}`)
	}))
	defer server.Close()
	r, err := newRelay(t.Context(), "tcp", "", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	kept, fresh := &http.Client{Transport: &http.Transport{}}, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	defer kept.CloseIdleConnections()
	for _, client := range []*http.Client{kept, kept, kept, fresh, fresh} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+r.addr, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		if err := response.Body.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	if r.connections() != 3 || r.media()["application/json"] != 5 || len(r.agreed()) != 1 {
		t.Errorf("%d connections, answers %v, revisions %q", r.connections(), r.media(), r.agreed())
	}
}
