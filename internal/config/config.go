package config

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/plugin"
)

// Options say what a configuration is read with. The zero Options read the
// process's environment and check no kinds.
type Options struct {
	// Env looks a variable up; nil means os.LookupEnv.
	Env func(string) (string, bool)

	// Names are the names of all variables, to find misspelt ones by; nil means
	// those of the process when Env is nil, else none.
	Names []string

	// Kinds are the kinds of plugin that this program has. Nil means that
	// `kind:` and the hooks of native entries are not checked.
	Kinds []plugin.Kind

	// Flags are the flags given on the command line, by name without dashes:
	// "transport", "require-tls"; for LoadURL also "certfile", "keyfile",
	// "keyfile-password", "ca-bundle", "verify", "check-hostname",
	// "server-name", "identity" and "peer-profile". An empty value counts as not given.
	Flags map[string]string
}

// External is the kind of an entry whose plugin runs in another process.
const External = "external"

// Disabled is the mode of an entry that is neither run nor contacted.
const Disabled = "disabled"

// The two values of MCP.Proto.
const (
	StreamableHTTP = "STREAMABLEHTTP"
	Stdio          = "STDIO"
)

// SystemRoots is the value of ca_bundle that stands for the system's roots.
const SystemRoots = "system"

// Server is the configuration of a plugin server.
type Server struct {
	File string // as it was given

	// Plugins are the entries to serve: neither external nor disabled, in file
	// order. There is at least one.
	Plugins []Plugin

	Settings Settings

	Host Value[string] // default 127.0.0.1
	Port Value[int]    // default 8000; 0 lets the system choose
	UDS  Value[string] // path of a Unix socket to serve on; empty means TCP

	// Transport is "http", "stdio", or "" when nobody said; then HTTPAsked
	// says whether something else in the configuration asks for HTTP.
	Transport Value[string]
	HTTPAsked bool

	TLS *ServerTLS // nil means plaintext

	// Health says whether there is a plain HTTP listener of its own for
	// health, at HealthHost and HealthPort: under TLS, and when it is asked for.
	Health     bool
	HealthHost Value[string] // default Host
	HealthPort Value[int]    // default Port + 1000, or 0 when Port is 0

	// RequireTLS refuses plaintext listeners. LoadServer has applied it where
	// the transport is known to be HTTP; with Transport "" the server applies
	// it when it chooses HTTP.
	RequireTLS Value[bool]

	Warnings Problems // to be logged
}

// ServerTLS is the TLS side of a listener. Certificate and key come from the
// same source.
type ServerTLS struct {
	CertFile, KeyFile Value[string]
	KeyPassword       Value[Secret]
	CABundle          Value[string]
	CertReqs          Value[int]      // 0 none, 1 optional, 2 required (default)
	AllowedClients    Value[[]string] // nil means no narrowing; empty admits nobody
	PeerProfile       Value[string]   // "compat" (default) or "strict"

	key string // what the fields' names begin with in messages; empty is a plugin server's
}

// Client is the configuration of a gateway's plugins, or of `call`.
type Client struct {
	File string

	// Plugins are all entries in file order, disabled ones included.
	Plugins []Plugin

	Settings   Settings
	RequireTLS Value[bool] // has been applied
	Warnings   Problems    // to be logged
}

// Plugin returns the entry of that name, nil when there is none.
func (c *Client) Plugin(name string) *Plugin {
	for i := range c.Plugins {
		if c.Plugins[i].Name == name {
			return &c.Plugins[i]
		}
	}
	return nil
}

// Settings are the plugin_settings of a file.
type Settings struct {
	Timeout             time.Duration // of one hook; default 30 s
	FailOnPluginError   bool          // every error and timeout is a refusal
	ParallelWithinBand  bool          // plugins of equal priority run at the same time
	HealthCheckInterval time.Duration // default 60 s
	MaxPayloadBytes     int64         // default 1,000,000
	SecretHeaders       []string      // withheld from plugins beside the built-in ones
	OverrideAuthHeaders bool          // http_pre_request plugins may replace the client's Authorization and the like
}

// Plugin is one entry of a plugin file.
type Plugin struct {
	Name        string
	Kind        string // as written; FindKind knows its aliases
	Description string
	Author      string
	Version     string
	Namespace   string
	Hooks       []plugin.Hook
	Tags        []string
	Mode        string // as written, in either vocabulary; default "enforce"
	OnError     string // "fail", "ignore", "disable", or "" when not set
	Priority    int    // default 100
	Conditions  []Condition

	// ModeSet and the like say that the entry settles it: where it does not, an
	// external plugin's server may. A mode of the older vocabulary says what an
	// error does as well, so with one OnErrorSet holds, too.
	ModeSet, OnErrorSet, PrioritySet, ConditionsSet bool

	AppliedTo json.RawMessage // masked as Masked is; nil when not set

	// Config is the entry's config: as JSON, `{}` when it has none. Numbers
	// and key order are the file's.
	Config json.RawMessage

	// Masked is Config with "***" for values that came from a template or
	// stand under a key that looks like a secret's. Only this may be shown.
	Masked json.RawMessage

	MCP           *MCP          // nil for a native kind
	Timeout       time.Duration // the entry's own, else the settings'
	ExposeHeaders []string
	ExposeConfig  bool // default true

	at     Position
	config *value
}

// Condition is one entry of conditions:. Nil and empty lists do not narrow.
type Condition struct {
	ServerIDs, TenantIDs              []string
	Tools, Prompts, Resources, Agents []string
	UserPatterns, ContentTypes        []string
}

// MCP says how an external plugin is reached.
type MCP struct {
	Proto string // StreamableHTTP or Stdio

	URL Value[string] // for StreamableHTTP
	UDS Value[string] // a Unix socket to dial instead of URL's host; empty means TCP
	TLS *ClientTLS    // nil means plaintext

	// Cmd or Script starts a plugin server on stdio; exactly one is set. The
	// values of Env are secrets.
	Cmd         Value[[]string]
	Script, Cwd Value[string]
	Env         map[string]string
}

// ClientTLS is the TLS side of a dialled connection. Certificate and key come
// from the same source; both are empty when there is no client certificate.
type ClientTLS struct {
	CertFile, KeyFile     Value[string]
	KeyPassword           Value[Secret]
	CABundle              Value[string] // SystemRoots, or a path; empty only when Verify is false
	Verify, CheckHostname Value[bool]
	ServerName            Value[string] // "" means the URL's host
	Identity              Value[string] // "" means the entry's name; "any" any
	PeerProfile           Value[string] // "compat" (default) or "strict"
}

// Enabled reports whether the entry is run at all.
func (p *Plugin) Enabled() bool { return p.Mode != Disabled }

// FindKind returns the kind that name names, directly or as an alias.
func FindKind(kinds []plugin.Kind, name string) (plugin.Kind, bool) {
	for _, k := range kinds {
		if k.Name == name || slices.Contains(k.Aliases, name) {
			return k, true
		}
	}
	return plugin.Kind{}, false
}

// LoadServer reads the configuration of a plugin server from the file at path,
// the environment and the flags. The error is a Problems when the
// configuration is at fault; it then holds all that is wrong.
func LoadServer(path string, o Options) (*Server, error) {
	l := load(path, o)
	s := l.server()
	if err := l.problems().err(); err != nil {
		return nil, err
	}
	s.Warnings = l.problems().Warnings()
	return s, nil
}

// LoadClient reads the plugins of a gateway, or of `call`, as LoadServer does
// for a plugin server.
func LoadClient(path string, o Options) (*Client, error) {
	l := load(path, o)
	c := l.client()
	if err := l.problems().err(); err != nil {
		return nil, err
	}
	c.Warnings = l.problems().Warnings()
	return c, nil
}

// Named is one entry of a plugin file as PluginNames reads it.
type Named struct {
	Name, Kind string
	Position   // of the name
}

// PluginNames reads a plugin file for syntax, keys, names and that kind is
// present, and nothing else: no environment, no defaults. A template in a value
// stays as it stands. The error is a Problems, or that of reading the file.
func PluginNames(path string) ([]Named, error) {
	l := loadNames(path)
	if err := l.problems().err(); err != nil {
		return nil, err
	}
	var names []Named
	for _, entry := range l.root.list("plugins") {
		name := entry.get("name")
		names = append(names, Named{name.text, entry.str("kind"), name.pos})
	}
	return names, nil
}

// options with the environment and flags read in one way: trimmed of nothing,
// empty is unset.
func (o Options) env(name string) (string, bool) {
	lookup := o.Env
	if lookup == nil {
		lookup = os.LookupEnv
	}
	v, ok := lookup(name)
	return v, ok && v != ""
}

// unknown returns the variables that are set, begin with prefix, in any case,
// and are none of known: slips, most likely. A typo must not leave a setting out in silence.
func (o Options) unknown(prefix string, known []string) []string {
	names := o.Names
	if names == nil && o.Env == nil {
		for _, pair := range os.Environ() {
			name, _, _ := strings.Cut(pair, "=")
			names = append(names, name)
		}
	}
	var out []string
	for _, name := range names {
		if _, set := o.env(name); set && strings.HasPrefix(strings.ToUpper(name), prefix) && !slices.Contains(known, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func (o Options) flag(name string) (string, bool) {
	v, ok := o.Flags[name]
	return v, ok && v != ""
}

// pathless drops the operation and path of a file error, for messages that name
// the path themselves.
func pathless(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// parseBool reads the notation of booleans in files, flags and environment.
func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "1", "true", "yes", "on":
		return true, true
	case "0", "false", "no", "off":
		return false, true
	}
	return false, false
}
