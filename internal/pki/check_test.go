package pki

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// TestCheckSaysWhatIsWrong damages a tree in one way each. The rows' codes are
// those of all problems, in order.
func TestCheckSaysWhatIsWrong(t *testing.T) {
	write := func(path string, data []byte) error { return os.WriteFile(path, data, 0o600) }
	other := newTree(t, nil, "A", "B")
	borrow := func(from, to string) error {
		data, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		return write(to, data)
	}
	for _, tt := range []struct {
		name   string
		damage func(tree *Tree) error
		after  time.Duration
		within int
		want   Status
		codes  []string
	}{
		{"nothing", nil, 0, 0, StatusOK, nil},
		{"nothing there", func(tree *Tree) error { return os.RemoveAll(tree.dir) }, 0, 0, StatusBroken, []string{"no_certificates"}},
		{"two thirds of its life are over", nil, 551 * day, 0, StatusDue, []string{"due", "due", "due"}},
		{"within", nil, 0, 826, StatusDue, []string{"due", "due", "due"}},
		{"expired", nil, 826 * day, 0, StatusExpired, []string{"expired", "expired", "expired"}},
		{"not yet valid", nil, -day, 0, StatusBroken, []string{"not_yet_valid", "not_yet_valid", "not_yet_valid"}},
		{"CA key elsewhere", func(tree *Tree) error { return os.Remove(tree.ca().keyFile()) }, 0, 0, StatusOK, nil},
		{"CA elsewhere", func(tree *Tree) error { return os.RemoveAll(tree.ca().dir) }, 0, 0, StatusOK, nil},
		{"gateway elsewhere", func(tree *Tree) error { return os.RemoveAll(tree.gateway().dir) }, 0, 0, StatusOK, nil},
		{"CA certificate missing", func(tree *Tree) error { return os.Remove(tree.ca().certFile()) }, 0, 0, StatusBroken, []string{"certificate_missing"}},
		{"CA key of another", func(tree *Tree) error { return borrow(other.ca().keyFile(), tree.ca().keyFile()) }, 0, 0, StatusBroken, []string{"key_mismatch"}},
		{"leaf as CA", func(tree *Tree) error {
			return borrow(tree.gateway().certFile(), tree.ca().certFile())
		}, 0, 0, StatusBroken, []string{"key_mismatch", "not_a_ca", "wrong_ca", "ca_mismatch", "wrong_ca", "ca_mismatch"}},
		{"key missing", func(tree *Tree) error { return os.Remove(tree.plugin("A").keyFile()) }, 0, 0, StatusBroken, []string{"key_missing"}},
		{"certificate missing", func(tree *Tree) error { return os.Remove(tree.plugin("A").certFile()) }, 0, 0, StatusBroken, []string{"certificate_missing"}},
		{"certificate is rubbish", func(tree *Tree) error { return write(tree.plugin("A").certFile(), []byte("x")) }, 0, 0, StatusBroken, []string{"unreadable"}},
		{"key is rubbish", func(tree *Tree) error { return write(tree.plugin("A").keyFile(), []byte("x")) }, 0, 0, StatusBroken, []string{"unreadable"}},
		{"key of another", func(tree *Tree) error { return borrow(other.plugin("A").keyFile(), tree.plugin("A").keyFile()) }, 0, 0, StatusBroken, []string{"key_mismatch"}},
		{"key open to others", func(tree *Tree) error { return os.Chmod(tree.plugin("A").keyFile(), 0o644) }, 0, 0, StatusBroken, []string{"key_mode"}},
		{"client.pem open to others", func(tree *Tree) error { return os.Chmod(tree.gateway().pemFile(), 0o644) }, 0, 0, StatusBroken, []string{"key_mode"}},
		{"CA key open to others", func(tree *Tree) error { return os.Chmod(tree.ca().keyFile(), 0o604) }, 0, 0, StatusBroken, []string{"key_mode"}},
		{"plugin's folder open to others", func(tree *Tree) error { return os.Chmod(tree.plugin("A").dir, 0o777) }, 0, 0, StatusBroken, []string{"writable"}},
		{"copy of the CA open to others", func(tree *Tree) error { return os.Chmod(tree.plugin("A").copyFile(), 0o646) }, 0, 0, StatusBroken, []string{"writable"}},
		{"tree open to others", func(tree *Tree) error { return os.Chmod(tree.dir, 0o757) }, 0, 0, StatusBroken, []string{"writable"}},
		{"tree open to others, sticky", func(tree *Tree) error { return os.Chmod(tree.dir, 0o757|os.ModeSticky) }, 0, 0, StatusOK, nil},
		{"CA's folder open to its group", func(tree *Tree) error { return os.Chmod(tree.ca().dir, 0o775) }, 0, 0, StatusOK, []string{"group_writable"}},
		{"plugin's folder open to its group", func(tree *Tree) error { return os.Chmod(tree.plugin("A").dir, 0o775) }, 0, 0, StatusOK, nil},
		{"pair of another CA", func(tree *Tree) error {
			if err := borrow(other.plugin("A").keyFile(), tree.plugin("A").keyFile()); err != nil {
				return err
			}
			return borrow(other.plugin("A").certFile(), tree.plugin("A").certFile())
		}, 0, 0, StatusBroken, []string{"wrong_ca"}},
		{"the gateway's pair as a plugin's", func(tree *Tree) error {
			if err := borrow(tree.gateway().keyFile(), tree.plugin("A").keyFile()); err != nil {
				return err
			}
			return borrow(tree.gateway().certFile(), tree.plugin("A").certFile())
		}, 0, 0, StatusBroken, []string{"wrong_eku"}},
		{"copy of the CA missing", func(tree *Tree) error { return os.Remove(tree.plugin("A").copyFile()) }, 0, 0, StatusBroken, []string{"ca_copy_missing"}},
		{"copy of another CA", func(tree *Tree) error { return borrow(other.ca().certFile(), tree.plugin("A").copyFile()) }, 0, 0, StatusBroken, []string{"ca_mismatch"}},
		{"copy is rubbish", func(tree *Tree) error { return write(tree.plugin("A").copyFile(), nil) }, 0, 0, StatusBroken, []string{"unreadable"}},
		{"client.pem missing", func(tree *Tree) error { return os.Remove(tree.gateway().pemFile()) }, 0, 0, StatusOK, []string{"pem_missing"}},
		{"client.pem of another", func(tree *Tree) error { return borrow(other.gateway().pemFile(), tree.gateway().pemFile()) }, 0, 0, StatusOK, []string{"pem_old"}},
		{"broken and expired", func(tree *Tree) error { return os.Remove(tree.plugin("A").keyFile()) }, 826 * day, 0, StatusExpired, []string{"expired", "expired", "key_missing", "expired"}},
		{"folder without certificates", func(tree *Tree) error { return os.Mkdir(filepath.Join(tree.pluginsDir(), "Empty"), 0o755) }, 0, 0, StatusOK, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := newTree(t, nil, "A")
			if tt.damage != nil {
				if err := tt.damage(tree); err != nil {
					t.Fatal(err)
				}
			}
			report, err := later(tree, tt.after, nil).Check(tt.within)
			if err != nil {
				t.Fatal(err)
			}
			var codes []string
			for _, p := range report.Problems {
				codes = append(codes, p.Code)
			}
			for _, c := range report.Certificates {
				for _, p := range c.Problems {
					codes = append(codes, p.Code)
					if p.Message == "" || p.Hint == "" || p.Path() == "" {
						t.Errorf("half a problem: %+v", p)
					}
				}
			}
			if report.Status != tt.want {
				t.Errorf("status %s, want %s", report.Status, tt.want)
			}
			if diff := cmp.Diff(tt.codes, codes); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What a program made before us, or by hand, is a defect that works.
func TestDefectsThatWork(t *testing.T) {
	tree := newTree(t, nil, "A")
	ca := pkitest.NewCA(t)
	spec := pkitest.GatewaySpec()
	v1 := ca.Wrong(t, spec, pkitest.Version1)
	dir := tree.gateway().dir
	if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := v1.Write(t, dir, "client")
	if certFile != tree.gateway().certFile() || keyFile != tree.gateway().keyFile() {
		t.Fatalf("pkitest writes %s and %s", certFile, keyFile)
	}
	if err := os.WriteFile(tree.gateway().copyFile(), ca.CertPEM, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(tree.ca().dir); err != nil {
		t.Fatal(err)
	}
	report, err := tree.Check(36500)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(report.Certificates, func(c Certificate) bool { return c.Role == RoleGateway })
	if i < 0 || !slices.ContainsFunc(report.Certificates[i].Problems, func(p Problem) bool {
		return p.Code == "no_eku" && p.Status() == StatusOK && strings.Contains(p.Message, "X.509 v1")
	}) {
		t.Errorf("%+v", report.Certificates)
	}
}

func TestCheckJSON(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	tree := newTree(t, &Options{Now: func() time.Time { return now }}, "MyPlugin")
	if err := os.Remove(tree.plugin("MyPlugin").keyFile()); err != nil {
		t.Fatal(err)
	}
	report, err := tree.Check(0)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Status       string
		CheckedAt    string `json:"checked_at"`
		Certificates []map[string]any
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Status != "broken" || got.CheckedAt != "2026-11-24T06:00:00Z" || len(got.Certificates) != 3 {
		t.Errorf("%+v", got)
	}
	plugin := got.Certificates[2]
	cert := leafOf(t, tree.plugin("MyPlugin"))
	problems, _ := plugin["problems"].([]any)
	if len(problems) != 1 {
		t.Fatalf("problems %v", plugin["problems"])
	}
	if _, ok := problems[0].(map[string]any)["hint"]; !ok {
		t.Errorf("problem %v", problems[0])
	}
	delete(plugin, "problems")
	want := map[string]any{
		"role": "plugin", "name": "MyPlugin", "path": tree.plugin("MyPlugin").certFile(),
		"subject": "CN=mcp-plugin-MyPlugin,O=MCPGateway,OU=Plugins", "issuer": "CN=MCP-Gateway-CA,O=MCPGateway,OU=Plugins",
		"serial":   cert.SerialNumber.Text(16),
		"sans":     []any{"dns:MyPlugin", "dns:mcp-plugin-MyPlugin", "dns:localhost", "uri:spiffe://mcp.local/plugin/MyPlugin"},
		"key_type": "ecdsa-p256", "not_before": "2026-11-24T05:55:00Z", "not_after": "2029-02-26T06:00:00Z",
		"days_left": 825.0, "status": "broken",
	}
	if diff := cmp.Diff(want, plugin); diff != "" {
		t.Error(diff)
	}
}

// The CA is due before its time when it would cut a due leaf short: renew acts
// on that, and check says so.
func TestCAIsDueWhenItCutsALeafShort(t *testing.T) {
	tree := New(t.TempDir(), nil)
	r := quick
	r.Days, r.CADays = 800, 1000
	if err := tree.All(t.Context(), r, []string{"A"}); err != nil {
		t.Fatal(err)
	}
	at := later(tree, 600*day, nil)
	report, err := at.Check(0)
	if err != nil {
		t.Fatal(err)
	}
	ca := report.Certificates[0]
	if ca.Status != StatusDue || len(ca.Problems) != 1 || !strings.Contains(ca.Problems[0].Message, "gateway, which is due") {
		t.Errorf("%+v", ca)
	}
	if err := at.Renew(t.Context(), Renewal{}); err != nil {
		t.Fatal(err)
	}
	if report, err := at.Check(0); err != nil || report.Status != StatusOK {
		t.Errorf("after the renewal: %+v %v", report, err)
	}
	if got := leafOf(t, tree.ca()).NotAfter.Sub(time.Now().Add(600 * day)).Round(day); got != 1000*day {
		t.Errorf("the CA is valid for %v", got)
	}
}

func TestDaysLeftRoundsDown(t *testing.T) {
	now := time.Now()
	for left, want := range map[time.Duration]int{0: 0, day - 1: 0, day: 1, -1: -1, -day: -1, -day - 1: -2, 824*day + day/2: 824} {
		if got := daysLeft(&x509.Certificate{NotAfter: now.Add(left)}, now); got != want {
			t.Errorf("%v: %d, want %d", left, got, want)
		}
	}
}

func TestInspect(t *testing.T) {
	tree := newTree(t, nil, "A")
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	if err := os.WriteFile(bundle, encodeCerts(leafOf(t, tree.ca()), leafOf(t, tree.gateway())), 0o644); err != nil {
		t.Fatal(err)
	}
	der := filepath.Join(t.TempDir(), "cert.der")
	if err := os.WriteFile(der, leafOf(t, tree.ca()).Raw, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path  string
		certs, keys int
		err         string
	}{
		{"certificate", tree.gateway().certFile(), 1, 0, ""},
		{"bundle", bundle, 2, 0, ""},
		{"key", tree.gateway().keyFile(), 0, 1, ""},
		{"both", tree.gateway().pemFile(), 1, 1, ""},
		{"missing", bundle + "x", 0, 0, "no such file"},
		{"folder", tree.dir, 0, 0, "it is a folder"},
		{"DER", der, 0, 0, "DER"},
		{"nothing in it", filepath.Join(tree.dir, ".lock"), 0, 0, "the file is empty"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tree.Inspect(tt.path, 0)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Certificates) != tt.certs || len(got.Keys) != tt.keys || got.Status != StatusOK {
				t.Errorf("%+v", got)
			}
			for _, k := range got.Keys {
				if k.KeyType != ECDSAP256 || k.Problem != "" || len(k.Matches) != tt.certs {
					t.Errorf("%+v", k)
				}
			}
		})
	}
}
