package wire

import (
	"net/http"
	"strings"
	"testing"
)

const modernMeta = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`

func parse(t *testing.T, text string) (*Message, *Call) {
	t.Helper()
	m, err := Parse([]byte(text), 10000)
	if err != nil {
		t.Fatal(err)
	}
	c, failure := m.Call()
	if failure != nil {
		t.Fatal(failure)
	}
	return m, &c
}

func TestEraOf(t *testing.T) {
	for name, c := range map[string]struct {
		method, params, header string
		want                   Era
	}{
		"modern":                          {"tools/list", `{` + modernMeta + `}`, "2026-07-28", Modern},
		"modern, header missing":          {"tools/list", `{` + modernMeta + `}`, "", Modern},
		"modern, capabilities only":       {"tools/list", `{"_meta":{"` + MetaCapabilities + `":{}}}`, "", Modern},
		"header only":                     {"tools/list", `{}`, "2026-07-28", Modern},
		"newer header only":               {"tools/list", `{}`, "2027-01-01", Modern},
		"discover":                        {"server/discover", `{}`, "", Modern},
		"legacy":                          {"tools/list", `{}`, "2025-11-25", Legacy},
		"legacy, no header":               {"tools/list", `{}`, "", Legacy},
		"legacy with meta":                {"tools/list", `{"_meta":{"progressToken":1}}`, "", Legacy},
		"initialize":                      {"initialize", `{"protocolVersion":"2025-11-25"}`, "", Legacy},
		"initialize with a modern header": {"initialize", `{"protocolVersion":"2025-11-25"}`, "2026-07-28", Legacy},
		"initialize, modern":              {"initialize", `{` + modernMeta + `}`, "2026-07-28", Modern},
	} {
		t.Run(name, func(t *testing.T) {
			m, call := parse(t, `{"jsonrpc":"2.0","id":1,"method":"`+c.method+`","params":`+c.params+`}`)
			h := http.Header{}
			if c.header != "" {
				h.Set("MCP-Protocol-Version", c.header)
			}
			if got := EraOf(m, call, h); got != c.want {
				t.Errorf("era %d, want %d", got, c.want)
			}
		})
	}
}

func TestCheckModern(t *testing.T) {
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"grüße",` + modernMeta + `}}`
	headers := func(pairs ...string) http.Header {
		h := http.Header{}
		SetModern(h, "2026-07-28", "tools/call", "grüße")
		for i := 0; i < len(pairs); i += 2 {
			if h.Del(pairs[i]); pairs[i+1] != "" {
				h.Set(pairs[i], pairs[i+1])
			}
		}
		return h
	}
	encodedName := strings.Replace(call, "grüße", "=?base64?YQ==?=", 1)
	twice := headers()
	twice.Add("Mcp-Name", "other")
	for name, c := range map[string]struct {
		body  string
		h     http.Header
		code  int64
		words string
	}{
		"fine":               {call, headers(), 0, ""},
		"fine on stdio":      {call, nil, 0, ""},
		"no version header":  {call, headers("MCP-Protocol-Version", ""), CodeHeaderMismatch, "MCP-Protocol-Version header is missing"},
		"other version":      {call, headers("MCP-Protocol-Version", "2025-11-25"), CodeHeaderMismatch, `MCP-Protocol-Version header value "2025-11-25" does not match body value "2026-07-28"`},
		"no method header":   {call, headers("Mcp-Method", ""), CodeHeaderMismatch, "Mcp-Method header is missing"},
		"other method":       {call, headers("Mcp-Method", "Tools/call"), CodeHeaderMismatch, "Mcp-Method header value"},
		"no name header":     {call, headers("Mcp-Name", ""), CodeHeaderMismatch, "Mcp-Name header is missing"},
		"other name":         {call, headers("Mcp-Name", "x"), CodeHeaderMismatch, `Mcp-Name header value "x"`},
		"name, bad base64":   {call, headers("Mcp-Name", "=?base64?!?="), CodeHeaderMismatch, "not valid base64"},
		"name as it is":      {call, headers("Mcp-Name", "grüße"), CodeHeaderMismatch, "not plain ASCII"},
		"name looks encoded": {encodedName, headers("Mcp-Name", EncodeHeader("=?base64?YQ==?=")), 0, ""},
		"and is so sent":     {encodedName, headers("Mcp-Name", "=?base64?YQ==?="), CodeHeaderMismatch, `Mcp-Name header value "a" does not match`},
		"two name headers":   {call, twice, CodeHeaderMismatch, "2 times"},
		"unknown version":    {strings.Replace(call, "2026-07-28", "1900-01-01", 1), headers("MCP-Protocol-Version", "1900-01-01"), CodeUnsupportedRevision, "Unsupported"},
		"no capabilities":    {strings.Replace(call, "/clientCapabilities", "/x", 1), headers(), CodeInvalidParams, MetaCapabilities},
		"no version in body": {strings.Replace(call, "/protocolVersion", "/x", 1), headers(), CodeInvalidParams, MetaRevision},
		"version a number":   {strings.Replace(call, `"2026-07-28"`, "1", 1), headers(), CodeInvalidParams, MetaRevision},
	} {
		t.Run(name, func(t *testing.T) {
			m, call := parse(t, c.body)
			err := CheckModern(m, call, c.h, []string{Revision2026_07})
			switch {
			case c.code == 0 && err != nil:
				t.Error(err)
			case c.code != 0 && (err == nil || err.Code != c.code || !strings.Contains(err.Message, c.words)):
				t.Errorf("error %v, want code %d and %q", err, c.code, c.words)
			case err != nil && err.HTTPStatus() != http.StatusBadRequest:
				t.Errorf("status %d, want 400", err.HTTPStatus())
			}
		})
	}
}

func TestCallRefusesNamesThatLookAlike(t *testing.T) {
	m, err := Parse([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","Name":"b"}}`), 1000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Call(); err == nil || err.Code != CodeInvalidParams {
		t.Errorf("error %v", err)
	}
}

func TestCallTakesTheURIOfAResource(t *testing.T) {
	_, c := parse(t, `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a","name":"n"}}`)
	if c.Name != "file:///a" {
		t.Errorf("name %q", c.Name)
	}
}

func TestOnlyModernErrorsProveAModernServer(t *testing.T) {
	for _, c := range []struct {
		code   int64
		status int
		want   bool
	}{
		{CodeUnsupportedRevision, 400, true},
		{CodeHeaderMismatch, 400, true},
		{CodeMethodNotFound, 404, true},
		{CodeMethodNotFound, 400, false},
		{CodeServerError, 400, false},
		{CodeInvalidRequest, 400, false},
		{-32001, 404, false},
	} {
		if got := (&Error{Code: c.code}).IsModern(c.status); got != c.want {
			t.Errorf("code %d with status %d: %v, want %v", c.code, c.status, got, c.want)
		}
	}
}
