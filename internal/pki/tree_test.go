package pki

import (
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

// quick is a request whose keys cost nothing.
var quick = Request{KeyType: ECDSAP256}

// newTree makes a tree with all certificates in a new folder.
func newTree(t *testing.T, o *Options, plugins ...string) *Tree {
	t.Helper()
	tree := New(filepath.Join(t.TempDir(), "certs", "mcp"), o)
	if err := tree.All(t.Context(), quick, plugins); err != nil {
		t.Fatal(err)
	}
	return tree
}

// needTool skips the test when a program is missing, or fails it where all
// have to be there.
func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("REQUIRE_TOOLS") == "1" {
			t.Fatalf("%s is not installed and REQUIRE_TOOLS=1", name)
		}
		t.Skipf("%s is not installed", name)
	}
}

func leafOf(t *testing.T, f folder) *x509.Certificate {
	t.Helper()
	certs, err := keyfile.ReadCertificates(f.certFile())
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

// snapshot is the content and mode of each file of a folder.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			files[rel+"/"] = ""
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		files[rel] = info.Mode().String() + "\n" + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestAllMakesTheGuidesLayout(t *testing.T) {
	tree := newTree(t, nil, "MyPlugin", "AnotherPlugin")
	var got []string
	for path, content := range snapshot(t, tree.dir) {
		got = append(got, strings.SplitN(content, "\n", 2)[0]+" "+path)
	}
	slices.Sort(got)
	want := []string{
		" ./", " ca/", " gateway/", " plugins/", " plugins/AnotherPlugin/", " plugins/MyPlugin/",
		"-rw------- .lock",
		"-rw------- ca/ca.key",
		"-rw------- gateway/client.key",
		"-rw------- gateway/client.pem",
		"-rw------- plugins/AnotherPlugin/server.key",
		"-rw------- plugins/MyPlugin/server.key",
		"-rw-r--r-- ca/ca.crt",
		"-rw-r--r-- gateway/ca.crt",
		"-rw-r--r-- gateway/client.crt",
		"-rw-r--r-- plugins/AnotherPlugin/ca.crt",
		"-rw-r--r-- plugins/AnotherPlugin/server.crt",
		"-rw-r--r-- plugins/MyPlugin/ca.crt",
		"-rw-r--r-- plugins/MyPlugin/server.crt",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	files := snapshot(t, tree.dir)
	for _, path := range []string{"gateway/ca.crt", "plugins/MyPlugin/ca.crt", "plugins/AnotherPlugin/ca.crt"} {
		if files[path] != files["ca/ca.crt"] {
			t.Errorf("%s is not a copy of ca/ca.crt", path)
		}
	}
}

func TestASecondRunChangesNothing(t *testing.T) {
	tree := newTree(t, nil, "MyPlugin")
	before := snapshot(t, tree.dir)
	var made []string
	again := New(tree.dir, &Options{Report: func(e Event) {
		if e.Kind != Kept && e.Kind != Note { // notes tell how to get what was asked for
			made = append(made, e.Path+": "+e.Text)
		}
	}})
	if err := again.All(t.Context(), Request{KeyType: Ed25519, Days: 7}, []string{"MyPlugin"}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, snapshot(t, tree.dir)); diff != "" {
		t.Error(diff)
	}
	if len(made) > 0 {
		t.Errorf("it said that it did something: %q", made)
	}
}

// TestCertificates looks at each field of what is issued, by role and key type.
func TestCertificates(t *testing.T) {
	now := time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)
	type want struct {
		Subject, Issuer     string
		SANs                []string
		KeyUsage            []string
		ExtKeyUsage         []string
		IsCA                bool
		MaxPathLen          int
		NotBefore, NotAfter time.Time
	}
	look := func(c *x509.Certificate) want {
		w := want{
			dn(c.RawSubject), dn(c.RawIssuer), sansOf(c).Strings(), keyUsages(c), extKeyUsages(c),
			c.IsCA, c.MaxPathLen, c.NotBefore, c.NotAfter,
		}
		if !c.BasicConstraintsValid || c.Version != 3 || len(c.SubjectKeyId) != 20 || c.SerialNumber.BitLen() > 159 || c.SerialNumber.BitLen() < 100 {
			t.Errorf("%s: version %d, key id %x, serial %x, basic constraints %v", w.Subject, c.Version, c.SubjectKeyId, c.SerialNumber, c.BasicConstraintsValid)
		}
		return w
	}
	from, to := now.Add(-5*time.Minute), now.Add(825*24*time.Hour)
	ca := "CN=MCP-Gateway-CA,O=MCPGateway,OU=Plugins"
	for _, keyType := range KeyTypes() {
		if testing.Short() && (keyType == RSA3072 || keyType == RSA4096) {
			continue
		}
		t.Run(string(keyType), func(t *testing.T) {
			tree := New(t.TempDir(), &Options{Now: func() time.Time { return now }})
			if err := tree.All(t.Context(), Request{KeyType: keyType}, []string{"My_Plugin"}); err != nil {
				t.Fatal(err)
			}
			serverUsage := []string{"digitalSignature"}
			if strings.HasPrefix(string(keyType), "rsa") {
				serverUsage = []string{"digitalSignature", "keyEncipherment"}
			}
			for _, tt := range []struct {
				f    folder
				want want
			}{
				{tree.ca(), want{ca, ca, []string{}, []string{"keyCertSign", "cRLSign"}, []string{}, true, 1, from, to}},
				{tree.gateway(), want{
					"CN=mcp-gateway-client,O=MCPGateway,OU=Gateway", ca,
					[]string{"dns:mcp-gateway-client", "uri:spiffe://mcp.local/gateway"},
					[]string{"digitalSignature"}, []string{"clientAuth"}, false, -1, from, to,
				}},
				{tree.plugin("My_Plugin"), want{
					"CN=mcp-plugin-My_Plugin,O=MCPGateway,OU=Plugins", ca,
					[]string{"dns:My_Plugin", "dns:mcp-plugin-My_Plugin", "dns:localhost", "uri:spiffe://mcp.local/plugin/My_Plugin"},
					serverUsage, []string{"serverAuth"}, false, -1, from, to,
				}},
			} {
				cert := leafOf(t, tt.f)
				if diff := cmp.Diff(tt.want, look(cert)); diff != "" {
					t.Errorf("%s: %s", tt.f.label(), diff)
				}
				if got := keyTypeOf(cert.PublicKey); got != keyType {
					t.Errorf("%s: key type %s", tt.f.label(), got)
				}
				if tt.f.role != RoleCA && string(cert.AuthorityKeyId) != string(leafOf(t, tree.ca()).SubjectKeyId) {
					t.Errorf("%s: authority key id %x", tt.f.label(), cert.AuthorityKeyId)
				}
			}
			opensslAccepts(t, tree)
		})
	}
}

// opensslAccepts verifies each leaf strictly for its purpose, and that the
// other purpose is refused.
func opensslAccepts(t *testing.T, tree *Tree) {
	t.Helper()
	needTool(t, "openssl")
	// The certificates may be of another year than the clock.
	at := leafOf(t, tree.ca()).NotBefore.Add(time.Hour).Unix()
	for _, tt := range []struct {
		f       folder
		purpose string
		ok      bool
	}{
		{tree.gateway(), "sslclient", true},
		{tree.gateway(), "sslserver", false},
		{tree.plugin("My_Plugin"), "sslserver", true},
		{tree.plugin("My_Plugin"), "sslclient", false},
	} {
		out, err := exec.Command("openssl", "verify", "-x509_strict", "-attime", strconv.FormatInt(at, 10), "-purpose", tt.purpose,
			"-CAfile", tree.ca().certFile(), tt.f.certFile()).CombinedOutput()
		if (err == nil) != tt.ok {
			t.Errorf("%s as %s: %v\n%s", tt.f.label(), tt.purpose, err, out)
		}
		if !tt.ok && !strings.Contains(string(out), "purpose") {
			t.Errorf("%s as %s was refused for another reason: %s", tt.f.label(), tt.purpose, out)
		}
	}
}

func TestLifetimes(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name     string
		r        Request
		ca, leaf int // days
		said     string
	}{
		{"guide", Request{}, 825, 825, "guide recommends 90 to 180"},
		{"shorter leaves", Request{Days: 90}, 825, 90, ""},
		{"longer leaves take the CA along", Request{Days: 1000}, 1000, 1000, "Apple's platforms refuse"},
		{"the CA cuts a leaf short", Request{Days: 90, CADays: 30}, 30, 30, "60 days earlier than asked for"},
		{"modern", Request{Profile: ModernProfile()}, 1825, 90, ""},
		{"one day", Request{Days: 1}, 825, 1, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Now()
			var said []string
			tree := New(t.TempDir(), &Options{Now: func() time.Time { return now }, Report: func(e Event) {
				if e.Kind == Warning || e.Kind == Note {
					said = append(said, e.Text)
				}
			}})
			r := tt.r
			r.KeyType = ECDSAP256
			if err := tree.All(t.Context(), r, []string{"P"}); err != nil {
				t.Fatal(err)
			}
			start := now.UTC().Truncate(time.Second)
			ca, leaf := leafOf(t, tree.ca()), leafOf(t, tree.plugin("P"))
			if got := ca.NotAfter.Sub(start); got != time.Duration(tt.ca)*day {
				t.Errorf("the CA is valid for %v", got)
			}
			if got := leaf.NotAfter.Sub(start); got != time.Duration(tt.leaf)*day {
				t.Errorf("the leaf is valid for %v", got)
			}
			text := strings.Join(said, "\n")
			if tt.said == "" && text != "" || !strings.Contains(text, tt.said) {
				t.Errorf("said %q, want %q", text, tt.said)
			}
		})
	}
}

func TestRequestsRefusedBeforeAnythingIsWritten(t *testing.T) {
	sans := func(items ...string) SANs {
		s, err := ParseSANs(items)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, tt := range []struct {
		name    string
		r       Request
		plugins []string
		want    string
	}{
		{"hostile name", quick, []string{"Good", "bad,IP:1.2.3.4"}, `plugin name "bad,IP:1.2.3.4"`},
		{"two names", quick, []string{"Foo", "foo"}, `"foo": it differs from "Foo" only in case`},
		{"negative days", Request{Days: -1}, nil, "for -1 days"},
		{"more days than a date holds", Request{Days: 3_000_000}, nil, "at most 1000000"},
		{"trust domain", Request{TrustDomain: "A/b"}, nil, `trust domain "A/b"`},
		{"no password", Request{Encrypt: true}, nil, "there is no password"},
		{"another plugin's DNS name", Request{SANs: sans("dns:mcp-plugin-B")}, []string{"A"}, "answer for the plugin b"},
		{"another plugin's id", Request{SANs: sans("uri:spiffe://x.y/plugin/B")}, []string{"A"}, "answer for the plugin b"},
		{"the gateway's name", Request{SANs: sans("dns:mcp-gateway-client")}, []string{"A"}, "plugin A: the extra subject alternative names would let it answer for the gateway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "mcp")
			err := New(dir, nil).All(t.Context(), tt.r, tt.plugins)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
				t.Error("something was written")
			}
		})
	}
}

func TestPluginBesideOneThatDiffersInCase(t *testing.T) {
	tree := newTree(t, nil, "Foo")
	before := snapshot(t, tree.dir)
	err := tree.Plugin(t.Context(), quick, "foo")
	if err == nil || !strings.Contains(err.Error(), "differs only in case") {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(before, snapshot(t, tree.dir)); diff != "" {
		t.Error(diff)
	}
}

func TestEncryptedKeys(t *testing.T) {
	password := []byte("secret")
	dir := t.TempDir()
	r := quick
	r.Encrypt = true
	if err := New(dir, &Options{Password: password}).All(t.Context(), r, []string{"P"}); err != nil {
		t.Fatal(err)
	}
	bare := New(dir, nil)
	for _, f := range []folder{bare.ca(), bare.gateway(), bare.plugin("P")} {
		if _, err := keyfile.ReadPair(f.certFile(), f.keyFile(), nil); !errors.Is(err, keyfile.ErrNoPassword) {
			t.Errorf("%s: without a password: %v", f.label(), err)
		}
		if _, err := keyfile.ReadPair(f.certFile(), f.keyFile(), password); err != nil {
			t.Error(err)
		}
	}
	// Without the password nothing is broken; but nothing can be signed.
	report, err := bare.Check(0)
	if err != nil || report.Status != StatusOK {
		t.Errorf("check without a password: %v %v", report.Status, err)
	}
	if err := bare.All(t.Context(), quick, []string{"P"}); err != nil {
		t.Error(err)
	}
	if err := bare.Plugin(t.Context(), quick, "New"); !errors.Is(err, keyfile.ErrNoPassword) {
		t.Errorf("signing without a password: %v", err)
	}
	if err := bare.Renew(t.Context(), Renewal{Rekey: true, Names: []string{"P"}}); !errors.Is(err, keyfile.ErrNoPassword) {
		t.Errorf("a new key without a password: %v", err)
	}
	if err := New(dir, &Options{Password: password}).Renew(t.Context(), Renewal{Rekey: true, Names: []string{"P"}}); err != nil {
		t.Fatal(err)
	}
	p := bare.plugin("P")
	if _, err := keyfile.ReadPair(p.certFile(), p.keyFile(), nil); !errors.Is(err, keyfile.ErrNoPassword) {
		t.Errorf("the new key is not encrypted: %v", err)
	}
}
