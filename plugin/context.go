package plugin

import "encoding/json"

// Object is a JSON object whose values are left as they came. A nil Object
// reads as empty and cannot be written to.
type Object map[string]json.RawMessage

// Context is what travels with the hooks of one request (plugin protocol §5).
// One Context belongs to one Invoke at a time; it is not for concurrent use.
type Context struct {
	// State is this plugin's own, kept from hook to hook of one request.
	State Object `json:"state"`

	// GlobalContext is shared by all plugins of a request.
	GlobalContext GlobalContext `json:"global_context"`

	// Metadata is this plugin's own, like State.
	Metadata Object `json:"metadata"`
}

// GlobalContext describes the request to all plugins.
type GlobalContext struct {
	RequestID string          `json:"request_id"`          // never empty on the wire
	User      json.RawMessage `json:"user,omitempty"`      // a string or an object; nil when anonymous
	TenantID  string          `json:"tenant_id,omitempty"` // empty when unknown
	ServerID  string          `json:"server_id,omitempty"` // the upstream's key
	State     Object          `json:"state"`               // shared: plugins see each other's changes, in order
	Metadata  Object          `json:"metadata"`            // read-only for plugins
}

// UserName is the user as one string: the name where the user is a string, and
// where it is an object its email, else its username, name, id or sub. Empty
// when anonymous, or when an object holds none of these.
func (g *GlobalContext) UserName() string {
	var name string
	if json.Unmarshal(g.User, &name) == nil {
		return name
	}
	var user Object
	if json.Unmarshal(g.User, &user) != nil {
		return ""
	}
	for _, key := range []string{"email", "username", "name", "id", "sub"} {
		if ok, err := user.Get(key, &name); ok && err == nil && name != "" {
			return name
		}
	}
	return ""
}

// OriginalName is the upstream's own name of the tool or prompt, where the
// gateway offers it to clients under a name with a prefix; empty when the
// gateway did not say. A rule about a tool has to hold for either name: with a
// second upstream the client's changes.
func (g *GlobalContext) OriginalName() string {
	var name string
	if ok, err := g.Metadata.Get("original_name", &name); !ok || err != nil {
		return ""
	}
	return name
}

// Set stores v under key, making the object if need be. The error is that of
// encoding v as JSON.
func (o *Object) Set(key string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if *o == nil {
		*o = Object{}
	}
	(*o)[key] = raw
	return nil
}

// Get decodes the value of key into v and reports whether key is there. The
// error is that of decoding.
func (o Object) Get(key string, v any) (bool, error) {
	raw, ok := o[key]
	if !ok {
		return false, nil
	}
	return true, json.Unmarshal(raw, v)
}
