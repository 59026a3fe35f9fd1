package config

import "slices"

// form is the sort of value that a key takes.
type form int

const (
	formText    form = iota // any text
	formPath                // a path: ~ is expanded
	formSecret              // a secret, or @FILE
	formWord                // one of shape.words
	formInt                 // a whole number from min to max
	formSeconds             // a number of seconds over 0
	formBool                // a boolean
	formList                // a list of shape.elem
	formMap                 // an object of any keys and shape.elem
	formObject              // an object of shape.fields
	formFree                // anything, handed on as JSON
	formOr                  // the word shape.words[0], or else shape.elem
	formShort               // shape.elem, or a single value for its field shape.words[0]
	formURL                 // a URL whose query may hold a secret
)

// shape describes a value.
type shape struct {
	form     form
	words    []string
	fold     bool // words in any case
	min, max int64
	elem     *shape
	fields   []field
}

// field is one key of an object.
type field struct {
	key      string
	shape    *shape
	doc      string
	def      string // the default as text, for `config show` and the schema; empty when there is none
	required bool
	notNull  bool   // null is an error, not "not set"
	noNull   string // so it is here, with this hint: taken for "not set" it would take protection away
	unused   string // accepted, and a warning with this reason
	refused  string // an error with this reason
}

// field returns the field of that key, nil when there is none.
func (s *shape) field(key string) *field {
	for i := range s.fields {
		if s.fields[i].key == key {
			return &s.fields[i]
		}
	}
	return nil
}

// The vocabularies of mode: the older one of ContextForge, then the newer.
var (
	olderModes = []string{"enforce", "enforce_ignore_error", "permissive", Disabled}
	modes      = append(slices.Clone(olderModes), "sequential", "transform", "audit", "concurrent", "fire_and_forget")
)

var (
	textShape     = &shape{form: formText}
	pathShape     = &shape{form: formPath}
	secretShape   = &shape{form: formSecret}
	booleanShape  = &shape{form: formBool}
	secondsShape  = &shape{form: formSeconds}
	freeShape     = &shape{form: formFree}
	textsShape    = &shape{form: formList, elem: textShape}
	textMapShape  = &shape{form: formMap, elem: textShape}
	portShape     = &shape{form: formInt, min: 0, max: 65535}
	certReqsShape = &shape{form: formInt, min: 0, max: 2}
	priorityShape = &shape{form: formInt, min: -1 << 31, max: 1<<31 - 1}
	bytesMaxShape = &shape{form: formInt, min: 1, max: 1 << 30}
	protoShape    = &shape{form: formWord, words: []string{StreamableHTTP, "HTTP", Stdio}, fold: true}
	profileShape  = &shape{form: formWord, words: []string{"compat", "strict"}}
)

var serverTLSShape = &shape{form: formObject, fields: []field{
	{key: "certfile", shape: pathShape, doc: "the server's certificate, PEM"},
	{key: "keyfile", shape: pathShape, doc: "its private key, PEM"},
	{key: "keyfile_password", shape: secretShape, doc: "password of the key, or @FILE"},
	{key: "ca_bundle", shape: pathShape, doc: "the CAs that client certificates must come from"},
	{key: "ssl_cert_reqs", shape: certReqsShape, def: "2", doc: "client certificate: 0 not asked for, 1 verified if given, 2 required"},
	{key: "allowed_clients", shape: textsShape, noNull: "write a list; without the key every client of the CA may connect, with [] none", doc: "who may connect: CN, dns:NAME, uri:URI"},
	{key: "peer_profile", shape: profileShape, def: "compat", doc: "how strictly client certificates are read"},
}}

var clientTLSShape = &shape{form: formOr, words: []string{"none"}, elem: &shape{form: formObject, fields: []field{
	{key: "certfile", shape: pathShape, doc: "the client certificate, PEM"},
	{key: "keyfile", shape: pathShape, doc: "its private key, PEM"},
	{key: "keyfile_password", shape: secretShape, doc: "password of the key, or @FILE"},
	{key: "ca_bundle", shape: pathShape, doc: "the CAs that the server's certificate must come from, or the word system"},
	{key: "verify", shape: booleanShape, def: "true", doc: "verify the server's certificate"},
	{key: "check_hostname", shape: booleanShape, def: "true", doc: "verify that it is for the URL's host"},
	{key: "server_name", shape: textShape, doc: "the host name to verify instead of the URL's"},
	{key: "identity", shape: textShape, doc: "the plugin that must answer, instead of the entry's name; any for any"},
	{key: "peer_profile", shape: profileShape, def: "compat", doc: "how strictly the server's certificate is read"},
}}}

var mcpShape = &shape{form: formObject, fields: []field{
	{key: "proto", shape: protoShape, doc: "the transport; HTTP is another name of STREAMABLEHTTP"},
	{key: "url", shape: textShape, doc: "the plugin server's MCP endpoint, http or https"},
	{key: "tls", shape: clientTLSShape, doc: "TLS to the plugin server, or none for plain HTTP whatever the environment says"},
	{key: "cmd", shape: textsShape, doc: "a command and its arguments that serve MCP on stdio"},
	{key: "env", shape: textMapShape, doc: "environment of cmd or script"},
	{key: "cwd", shape: pathShape, doc: "working directory of cmd or script"},
	{key: "script", shape: pathShape, doc: "a script that serves MCP on stdio"},
	{key: "uds", shape: pathShape, doc: "a Unix socket to dial"},
}}

var conditionShape = &shape{form: formObject, fields: []field{
	{key: "server_ids", shape: textsShape, doc: "upstreams, exact"},
	{key: "tenant_ids", shape: textsShape, doc: "tenants, exact"},
	{key: "tools", shape: textsShape, doc: "tool names, * matches any text"},
	{key: "prompts", shape: textsShape, doc: "prompt names, * matches any text"},
	{key: "resources", shape: textsShape, doc: "resource URIs, * matches any text"},
	{key: "agents", shape: textsShape, doc: "agent ids, * matches any text"},
	{key: "user_patterns", shape: textsShape, doc: "part of the user's name, or a pattern with *"},
	{key: "content_types", shape: textsShape, doc: "media types"},
}}

var pluginShape = &shape{form: formObject, fields: []field{
	{key: "name", shape: textShape, required: true, doc: "the plugin's name; each stands once in a file"},
	{key: "kind", shape: textShape, required: true, doc: "external, or the kind of a native plugin"},
	{key: "description", shape: textShape, doc: "for people"},
	{key: "author", shape: textShape, doc: "for people"},
	{key: "version", shape: textShape, doc: "for people"},
	{key: "namespace", shape: textShape, doc: "for people"},
	{key: "hooks", shape: textsShape, doc: "the hooks it runs at; without it, all that it has"},
	{key: "tags", shape: textsShape, doc: "for people"},
	{key: "mode", shape: &shape{form: formWord, words: modes}, def: "enforce", doc: "what a violation and an error do"},
	{key: "on_error", shape: &shape{form: formWord, words: []string{"fail", "ignore", "disable"}}, doc: "what an error does, in the newer vocabulary"},
	{key: "priority", shape: priorityShape, def: "100", doc: "the lowest number runs first"},
	{key: "conditions", shape: &shape{form: formList, elem: conditionShape}, doc: "when it runs: one of the list, and all of its keys; empty means always"},
	{key: "applied_to", shape: freeShape, doc: "accepted and reported", unused: "it narrows nothing: the plugin sees the whole payload"},
	{key: "config", shape: &shape{form: formMap, elem: freeShape}, doc: "the plugin's own configuration"},
	{key: "mcp", shape: mcpShape, doc: "how an external plugin is reached"},
	{key: "timeout", shape: secondsShape, doc: "seconds for one hook; without it, plugin_timeout"},
	{key: "expose_headers", shape: textsShape, doc: "headers that a gateway withholds from other plugins"},
	{key: "expose_config", shape: booleanShape, def: "true", doc: "whether a plugin server reports config, masked"},
	{key: "grpc", shape: freeShape, refused: "the gRPC transport is not supported: reach the plugin by mcp:", doc: "not supported"},
	{key: "unix_socket", shape: freeShape, refused: "that transport is not supported: reach the plugin by mcp: with uds:", doc: "not supported"},
}}

var serverShape = &shape{form: formObject, fields: []field{
	{key: "host", shape: textShape, def: "127.0.0.1", doc: "address to listen on"},
	{key: "port", shape: portShape, def: "8000", doc: "port to listen on; 0 lets the system choose"},
	{key: "uds", shape: pathShape, doc: "a Unix socket to serve on instead"},
	{key: "tls", shape: serverTLSShape, doc: "TLS of the listener"},
	{key: "health", shape: &shape{form: formObject, fields: []field{
		{key: "host", shape: textShape, doc: "address of the plain HTTP health listener; without it, host"},
		{key: "port", shape: portShape, doc: "its port; without it, port + 1000"},
	}}, doc: "the plain HTTP health listener beside TLS"},
}}

var settingsShape = &shape{form: formObject, fields: []field{
	{key: "plugin_timeout", shape: secondsShape, def: "30", doc: "seconds for one hook"},
	{key: "fail_on_plugin_error", shape: booleanShape, def: "false", doc: "every error and timeout of a plugin refuses the call"},
	{key: "parallel_execution_within_band", shape: booleanShape, def: "false", doc: "plugins of equal priority run at the same time"},
	{key: "plugin_health_check_interval", shape: secondsShape, def: "60", doc: "seconds between two looks at a plugin server"},
	{key: "max_payload_bytes", shape: bytesMaxShape, def: "1000000", doc: "the largest payload of a hook"},
	{key: "secret_headers", shape: textsShape, doc: "headers withheld from plugins beside the built-in ones"},
	{key: "plugins_can_override_auth_headers", shape: booleanShape, def: "false", doc: "http_pre_request plugins may replace the client's Authorization, Cookie, X-Api-Key and Proxy-Authorization"},
	{key: "enable_plugin_api", shape: booleanShape, doc: "accepted", unused: "there is no plugin administration API"},
	{key: "include_user_info", shape: booleanShape, doc: "accepted", unused: "what is known of the user is always in the hook's context"},
}}

var fileShape = &shape{form: formObject, fields: []field{
	{key: "plugins", shape: &shape{form: formList, elem: pluginShape}, required: true, notNull: true, doc: "the plugins, in order"},
	{key: "plugin_settings", shape: settingsShape, doc: "settings for all plugins"},
	{key: "plugin_dirs", shape: textsShape, doc: "accepted", unused: "kinds are compiled in, not looked for in folders"},
	{key: "server_settings", shape: serverShape, doc: "the plugin server's listener"},
}}

// synonyms are keys that people write from memory or from other tools' files.
var synonyms = map[string]string{
	"cert": "certfile", "client_cert": "certfile", "cert_file": "certfile", "ssl_certfile": "certfile",
	"key": "keyfile", "client_key": "keyfile", "key_file": "keyfile", "ssl_keyfile": "keyfile",
	"ca": "ca_bundle", "ca_cert": "ca_bundle", "ca_certs": "ca_bundle", "ca_file": "ca_bundle", "ca_path": "ca_bundle", "ssl_ca_certs": "ca_bundle",
	"password": "keyfile_password", "key_password": "keyfile_password",
	"cert_reqs": "ssl_cert_reqs", "client_auth": "ssl_cert_reqs",
	"type": "kind", "class": "kind", "plugin": "name", "args": "cmd", "command": "cmd", "socket": "uds",
	"transport": "proto", "endpoint": "url", "settings": "plugin_settings", "server": "server_settings",
	"httpurl": "url", "serverurl": "url", "cmd": "command", "environment": "env", "workingdirectory": "cwd",
	"servers": "upstreams", "mcp_servers": "mcpServers", "bind": "listen", "port": "listen", "host": "listen",
}
