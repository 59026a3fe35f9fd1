package config

// The gateway's file: the plugin file's keys, inline or by plugins_file, and
// the gateway's own.

var (
	transportNames = &shape{form: formWord, words: []string{"stdio", "http", "streamable-http", "streamable_http", "streamablehttp", "sse"}, fold: true}
	secretMapShape = &shape{form: formMap, elem: secretShape}
	urlShape       = &shape{form: formURL}
)

const ownTools = "which tools there are is not decided here, and leaving it out would offer more than was meant: use a plugin, or the server's own settings"

// upstreamShape has the keys of mcpServers entries as the widespread clients
// write them. Those that only steer a client's own dialogues are accepted;
// those that narrow what may be called, or that the server would not start
// without, are refused: left out in silence they would do harm.
var upstreamShape = &shape{form: formObject, fields: []field{
	{key: "url", shape: urlShape, doc: "the MCP server's endpoint, http or https"},
	{key: "headers", shape: secretMapShape, doc: "headers of every request to it; a value may be @FILE"},
	{key: "command", shape: pathShape, doc: "a program that serves MCP on stdio"},
	{key: "args", shape: textsShape, doc: "its arguments"},
	{key: "env", shape: secretMapShape, doc: "its environment beside ours; a value may be @FILE"},
	{key: "cwd", shape: pathShape, doc: "its working directory"},
	{key: "type", shape: transportNames, doc: "as other clients write it; url or command decide"},
	{key: "transport", shape: transportNames, doc: "another name of type"},
	{key: "disabled", shape: booleanShape, def: "false", doc: "leaves the entry out"},
	{key: "description", shape: textShape, doc: "for people"},
	{key: "timeout", shape: freeShape, doc: "accepted", unused: "a call lasts as long as its client waits"},
	{key: "autoApprove", shape: freeShape, doc: "accepted", unused: "asking the user is the client's business"},
	{key: "alwaysAllow", shape: freeShape, doc: "accepted", unused: "asking the user is the client's business"},
	{key: "trust", shape: freeShape, doc: "accepted", unused: "asking the user is the client's business"},
	{key: "tools", shape: freeShape, refused: ownTools, doc: "not supported"},
	{key: "includeTools", shape: freeShape, refused: ownTools, doc: "not supported"},
	{key: "excludeTools", shape: freeShape, refused: ownTools, doc: "not supported"},
	{key: "enabledTools", shape: freeShape, refused: ownTools, doc: "not supported"},
	{key: "disabledTools", shape: freeShape, refused: ownTools, doc: "not supported"},
	{key: "envFile", shape: freeShape, refused: "files of variables are not read: write them under env:, each may be {{ env.NAME }} or @FILE", doc: "not supported"},
}}

var upstreamsShape = &shape{form: formMap, elem: upstreamShape}

var gatewayShape = &shape{form: formObject, fields: []field{
	{key: "listen", shape: &shape{form: formShort, words: []string{"address"}, elem: &shape{form: formObject, fields: []field{
		{key: "address", shape: textShape, def: "127.0.0.1:4444", doc: "host and port of the MCP endpoint; port 0 lets the system choose"},
		{key: "tls", shape: serverTLSShape, doc: "TLS of the listener"},
	}}}, doc: "where clients connect: an address, or {address, tls}"},
	{key: "plugins_file", shape: pathShape, noNull: "name the file, or remove the key: then nothing guards what passes", doc: "the plugin file; or its keys stand here: plugins, plugin_settings"},
	{key: "plugins", shape: &shape{form: formList, elem: pluginShape}, notNull: true, doc: "the plugins, in order"},
	{key: "plugin_settings", shape: settingsShape, doc: "settings for all plugins"},
	{key: "plugin_dirs", shape: textsShape, doc: "accepted", unused: "kinds are compiled in, not looked for in folders"},
	{key: "server_settings", shape: freeShape, refused: "that is a plugin server's listener; the gateway's is listen:", doc: "not supported"},
	{key: "upstreams", shape: upstreamsShape, doc: "the MCP servers behind the gateway, by name"},
	{key: "mcpServers", shape: upstreamsShape, doc: "another name of upstreams"},
	{key: "naming", shape: &shape{form: formObject, fields: []field{
		{key: "prefix", shape: &shape{form: formWord, words: []string{PrefixAuto, PrefixAlways, PrefixOnConflict, PrefixNever}}, def: PrefixAuto, doc: "which names begin with their upstream's: auto is always, once there is more than one upstream"},
		{key: "separator", shape: textShape, def: "__", doc: "what stands between the upstream's name and its own"},
	}}, doc: "how tools and prompts are called"},
	{key: "admin", shape: &shape{form: formObject, fields: []field{
		{key: "listen", shape: textShape, doc: "host and port of the operator's listener; without it there is none"},
	}}, doc: "/livez and /readyz"},
	{key: "allowed_hosts", shape: textsShape, doc: "names that a Host header may have on a loopback listener, beside loopback's own"},
	{key: "allowed_origins", shape: textsShape, doc: "scheme://host[:port] of the web pages that may call"},
}}

// gatewayKeys are those that no plugin file has: one of them makes a file a
// gateway's.
var gatewayKeys = []string{"listen", "plugins_file", "upstreams", "mcpServers", "naming", "admin", "allowed_hosts", "allowed_origins"}
