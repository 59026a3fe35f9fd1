package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

// Role is what a certificate of the tree is for.
type Role string

// The roles.
const (
	RoleCA      Role = "ca"
	RoleGateway Role = "gateway" // client certificate of the gateway
	RolePlugin  Role = "plugin"  // server certificate of one plugin
)

const (
	gatewayCN    = "mcp-gateway-client"
	pluginPrefix = "mcp-plugin-"
)

// A folder is one of the tree's, whether it exists or not.
type folder struct {
	role Role
	name string // the plugin's; empty otherwise
	dir  string
}

func (t *Tree) ca() folder { return folder{role: RoleCA, dir: filepath.Join(t.dir, "ca")} }
func (t *Tree) gateway() folder {
	return folder{role: RoleGateway, dir: filepath.Join(t.dir, "gateway")}
}
func (t *Tree) plugin(name string) folder {
	return folder{role: RolePlugin, name: name, dir: filepath.Join(t.pluginsDir(), name)}
}
func (t *Tree) pluginsDir() string { return filepath.Join(t.dir, "plugins") }

func (f folder) base() string {
	switch f.role {
	case RoleCA:
		return "ca"
	case RoleGateway:
		return "client"
	default:
		return "server"
	}
}

func (f folder) certFile() string { return filepath.Join(f.dir, f.base()+".crt") }
func (f folder) keyFile() string  { return filepath.Join(f.dir, f.base()+".key") }
func (f folder) nextDir() string  { return filepath.Join(f.dir, keyfile.NextDir) }

// next is the folder inside f that holds a pair which is to replace f's.
func (f folder) next() folder { return folder{f.role, f.name, f.nextDir()} }

// at is f as it is to be, in the folder dir.
func (f folder) at(dir string) folder { return folder{f.role, f.name, dir} }

// copyFile is the leaf's copy of the CA's certificate.
func (f folder) copyFile() string { return filepath.Join(f.dir, "ca.crt") }

// pemFile is certificate and key in one file, for curl --cert.
func (f folder) pemFile() string { return filepath.Join(f.dir, "client.pem") }

// label names the folder in messages.
func (f folder) label() string {
	switch f.role {
	case RoleCA:
		return "CA"
	case RoleGateway:
		return "gateway"
	default:
		return "plugin " + f.name
	}
}

// arg is what certs renew calls it.
func (f folder) arg() string {
	switch {
	case f.role != RolePlugin:
		return string(f.role)
	case f.name == string(RoleCA), f.name == string(RoleGateway):
		return "plugins/" + f.name
	default:
		return f.name
	}
}

// identity is the only one of SANs.identities that its certificate may have.
func (f folder) identity() string { return strings.ToLower(f.label()) }

// sans are the names that its certificate gets by default.
func (f folder) sans(trustDomain string) SANs {
	switch f.role {
	case RoleGateway:
		return SANs{DNS: []string{gatewayCN}, URIs: []string{"spiffe://" + trustDomain + "/gateway"}}
	case RolePlugin:
		return SANs{
			DNS:  []string{f.name, pluginPrefix + f.name, "localhost"},
			URIs: []string{"spiffe://" + trustDomain + "/plugin/" + f.name},
		}
	default:
		return SANs{}
	}
}

// pluginFolders lists the plugins of the tree, by name. What does not look
// like a plugin's folder is left alone.
func (t *Tree) pluginFolders() ([]folder, error) {
	entries, err := os.ReadDir(t.pluginsDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing plugins: %w", err)
	}
	var list []folder
	for _, entry := range entries {
		// A link to a folder counts as one.
		info, err := os.Stat(filepath.Join(t.pluginsDir(), entry.Name()))
		if err == nil && info.IsDir() && CheckName(entry.Name()) == nil {
			list = append(list, t.plugin(entry.Name()))
		}
	}
	slices.SortFunc(list, func(a, b folder) int { return strings.Compare(a.name, b.name) })
	return list, nil
}

// folders lists all of the tree: the CA, the gateway, the plugins.
func (t *Tree) folders() ([]folder, error) {
	plugins, err := t.pluginFolders()
	return append([]folder{t.ca(), t.gateway()}, plugins...), err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
