package server

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// The three tools of a plugin server.
const (
	toolConfigs = "get_plugin_configs"
	toolConfig  = "get_plugin_config"
	toolInvoke  = "invoke_hook"
)

const (
	serverName   = "MCP Plugin Server"
	instructions = "External plugin server for MCP Gateway"

	// staticTTL is how long clients may keep what does not change while the
	// process runs: an hour, so that a new release is noticed.
	staticTTL = 3_600_000
)

// tools has no outputSchema: ContextForge's client reads the text.
const tools = `[
{"name":"get_plugin_configs","description":"Get the configuration of all plugins of this server.",
 "inputSchema":{"type":"object","properties":{}}},
{"name":"get_plugin_config","description":"Get the configuration of one plugin.",
 "inputSchema":{"type":"object","properties":{"name":{"type":"string","description":"The plugin's name, in any case."}},"required":["name"]}},
{"name":"invoke_hook","description":"Run one hook of one plugin.",
 "inputSchema":{"type":"object","properties":{
  "hook_type":{"type":"string","description":"The hook, for example tool_pre_invoke."},
  "plugin_name":{"type":"string","description":"The plugin's name, exactly."},
  "payload":{"type":"object","description":"The hook's payload."},
  "context":{"type":"object","description":"State of the plugin and context of the request."}},
 "required":["hook_type","plugin_name","payload","context"]}}]`

// statics are the answers, and parts of answers, that never change.
type statics struct {
	info     string              // serverInfo
	head     map[wire.Era]string // the members that every tool result begins with
	tools    map[wire.Era]json.RawMessage
	configs  map[wire.Era]json.RawMessage
	discover json.RawMessage
}

func newStatics(version string, plugins []*served) statics {
	info := string(wire.AppendString([]byte(`{"name":"`+serverName+`","version":`), version)) + "}"
	// Every modern result says that it is complete, and by whom it is.
	modern := `"resultType":"complete","_meta":{"` + wire.MetaServerInfo + `":` + info + `},`
	cached := modern + `"ttlMs":` + strconv.Itoa(staticTTL) + `,"cacheScope":"public",`
	list := `"tools":` + tools + "}"

	var texts, configs []byte
	for i, p := range plugins {
		if i > 0 {
			texts, configs = append(texts, ','), append(configs, ',')
		}
		texts = append(wire.AppendString(append(texts, `{"type":"text","text":`...), p.config), '}')
		configs = append(configs, p.config...)
	}
	all := `"content":[` + string(texts) + `],"structuredContent":{"result":[` + string(configs) + `]},"isError":false}`

	return statics{
		info:    info,
		head:    map[wire.Era]string{wire.Legacy: "", wire.Modern: modern},
		tools:   map[wire.Era]json.RawMessage{wire.Legacy: compact("{" + list), wire.Modern: compact("{" + cached + list)},
		configs: map[wire.Era]json.RawMessage{wire.Legacy: compact("{" + all), wire.Modern: compact("{" + modern + all)},
		discover: compact("{" + cached + `"supportedVersions":["` + strings.Join(wire.Revisions(), `","`) +
			`"],"capabilities":{"tools":{}},"instructions":"` + instructions + `"}`),
	}
}

// initialize is the result for an agreed legacy revision.
func (s *statics) initialize(revision string) []byte {
	return []byte(`{"protocolVersion":"` + revision + `","capabilities":{"tools":{"listChanged":false}},"serverInfo":` + s.info +
		`,"instructions":"` + instructions + `"}`)
}

// compact drops the space that the text has here for its readers.
func compact(text string) json.RawMessage {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		panic("server: a static answer is not JSON: " + err.Error()) // every start makes them all
	}
	return b.Bytes()
}
