package pki

import (
	"crypto/x509"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/keyfile"
	"github.com/sallyport-mcp/sallyport/internal/pkitest"
)

// foreignCA puts a CA into the tree that somebody else made.
func foreignCA(t *testing.T, tree *Tree, parent *pkitest.CA, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	ca := pkitest.NewCA(t, pkitest.CAOptions{CN: "Acme CA", Parent: parent, Edit: func(c *x509.Certificate) {
		c.SubjectKeyId, c.MaxPathLen, c.MaxPathLenZero = []byte("chosen by Acme"), -1, false
		if change != nil {
			change(c)
		}
	}})
	if err := tree.install(tree.ca(), pair{key: ca.KeyPEM, cert: ca.CertPEM}); err != nil {
		t.Fatal(err)
	}
	return ca.Cert
}

func TestRenewKeepsWhatAForeignCASaysOfItself(t *testing.T) {
	for name, change := range map[string]func(*x509.Certificate){
		"no path length": nil,
		"path length 0":  func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true },
		"path length 3":  func(c *x509.Certificate) { c.MaxPathLen = 3 },
		"name constraints": func(c *x509.Certificate) {
			c.PermittedDNSDomainsCritical, c.PermittedDNSDomains = true, []string{"acme.example"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := New(filepath.Join(t.TempDir(), "mcp"), nil)
			old := foreignCA(t, tree, nil, change)
			if err := tree.Renew(t.Context(), Renewal{Force: true}); err != nil {
				t.Fatal(err)
			}
			got := leafOf(t, tree.ca())
			if got.Equal(old) {
				t.Fatal("it was not renewed")
			}
			if string(got.SubjectKeyId) != string(old.SubjectKeyId) || got.MaxPathLen != old.MaxPathLen || got.MaxPathLenZero != old.MaxPathLenZero {
				t.Errorf("key id %q, path length %d", got.SubjectKeyId, got.MaxPathLen)
			}
			if diff := cmp.Diff(old.PermittedDNSDomains, got.PermittedDNSDomains); diff != "" {
				t.Error(diff)
			}
			if got.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign {
				t.Errorf("key usage %b", got.KeyUsage)
			}
		})
	}
}

func TestRenewLeavesAnIntermediateCAToItsIssuer(t *testing.T) {
	tree := New(filepath.Join(t.TempDir(), "mcp"), nil)
	old := foreignCA(t, tree, pkitest.NewCA(t, pkitest.CAOptions{CN: "Acme Root"}), nil)
	if err := tree.Gateway(t.Context(), quick); err != nil {
		t.Fatal(err)
	}
	gateway := leafOf(t, tree.gateway())
	err := tree.Renew(t.Context(), Renewal{Force: true})
	if err == nil || !strings.Contains(err.Error(), "CN=Acme Root") {
		t.Errorf("error %v", err)
	}
	if !leafOf(t, tree.ca()).Equal(old) {
		t.Error("it was replaced")
	}
	if leafOf(t, tree.gateway()).Equal(gateway) {
		t.Error("the gateway was not renewed, though this CA can sign")
	}
}

func TestLongerLeavesTakeTheCAAlong(t *testing.T) {
	tree := newTree(t, nil, "A")
	if err := later(tree, 700*day, nil).Renew(t.Context(), Renewal{Names: []string{"A"}, Days: 2000}); err != nil {
		t.Fatal(err)
	}
	for _, f := range []folder{tree.ca(), tree.plugin("A")} {
		if left := daysLeft(leafOf(t, f), time.Now().Add(700*day)); left < 1999 {
			t.Errorf("%s: %d days left", f.label(), left)
		}
	}
}

// A leaf that is reissued before it is due leaves the CA alone, which every
// host would have to be given; it ends with the CA, and that is said.
func TestAForcedLeafLeavesTheCAAlone(t *testing.T) {
	tree := newTree(t, nil, "A")
	ca := leafOf(t, tree.ca())
	var events []Event
	if err := later(tree, 100*day, &events).Renew(t.Context(), Renewal{Names: []string{"A"}, Force: true}); err != nil {
		t.Fatal(err)
	}
	if !leafOf(t, tree.ca()).Equal(ca) || !leafOf(t, tree.plugin("A")).NotAfter.Equal(ca.NotAfter) {
		t.Error("the CA was renewed, or A does not end with it")
	}
	if !slices.ContainsFunc(events, func(e Event) bool {
		return e.Kind == Warning && strings.Contains(e.Text, "100 days earlier than asked for")
	}) {
		t.Errorf("%+v", events)
	}
}

// A folder that is there already, with other files, keeps them.
func TestAFirstPairInAFolderThatExists(t *testing.T) {
	tree := New(filepath.Join(t.TempDir(), "mcp"), nil)
	f := tree.plugin("A")
	notes, empty := filepath.Join(f.dir, "notes.txt"), tree.plugin("B").dir
	err := errors.Join(os.MkdirAll(f.dir, 0o755), os.MkdirAll(empty, 0o755), os.WriteFile(notes, []byte("mine"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if err := tree.All(t.Context(), quick, []string{"A", "B"}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(inspectCrashed(tree, time.Now()), leftovers(tree.dir)); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(notes); err != nil || string(data) != "mine" {
		t.Errorf("notes.txt: %q %v", data, err)
	}
}

// A leaf of another CA gets no copy of this one: it would look right and not
// work.
func TestNoCopyOfACAThatDidNotSign(t *testing.T) {
	tree := newTree(t, nil, "A")
	if err := errors.Join(os.RemoveAll(tree.ca().dir), os.Remove(tree.plugin("A").copyFile())); err != nil {
		t.Fatal(err)
	}
	if err := tree.All(t.Context(), quick, []string{"A"}); err == nil {
		t.Error("nothing is said")
	}
	if exists(tree.plugin("A").copyFile()) {
		t.Error("a copy was made")
	}
}

// Between the renames of a new pair a reader finds it in .next/; check says so
// and is content, and any command finishes it.
func TestAnInterruptedRekeyIsSeenAndFinished(t *testing.T) {
	tree := newTree(t, nil, "A")
	f := tree.plugin("A")
	crash := errors.New("crash")
	stopped := &keyfile.Disk{Step: func(op, path string) error {
		if op == keyfile.OpRename && path == f.certFile() {
			return crash
		}
		return nil
	}}
	err := New(tree.dir, &Options{Disk: stopped}).Renew(t.Context(), Renewal{Names: []string{"A"}, Rekey: true})
	if !errors.Is(err, crash) {
		t.Fatal(err)
	}
	report, err := tree.Check(0)
	if err != nil {
		t.Fatal(err)
	}
	found := report.Certificates[2].Problems
	if report.Status != StatusOK || len(found) != 1 || found[0].Code != "interrupted" {
		t.Errorf("status %s, %+v", report.Status, found)
	}
	if err := tree.All(t.Context(), quick, []string{"A"}); err != nil {
		t.Fatal(err)
	}
	if err := leftovers(tree.dir); err != nil {
		t.Error(err)
	}
}

// A .next/ that is not complete is not ours. Beside a pair that works it is
// removed; beside one that does not, a person has to look.
func TestAnIncompleteNext(t *testing.T) {
	tree := newTree(t, nil, "A")
	f := tree.plugin("A")
	half := func() error {
		return errors.Join(os.MkdirAll(f.nextDir(), 0o755), os.WriteFile(f.next().certFile(), []byte("x"), 0o644))
	}
	if err := errors.Join(half(), tree.All(t.Context(), quick, []string{"A"}), leftovers(tree.dir)); err != nil {
		t.Error(err)
	}
	if err := errors.Join(half(), os.Remove(f.certFile())); err != nil {
		t.Fatal(err)
	}
	if err := tree.All(t.Context(), quick, []string{"A"}); err == nil || !strings.Contains(err.Error(), "holds no complete pair") {
		t.Errorf("error %v", err)
	}
	if !exists(f.next().certFile()) {
		t.Error("it was removed")
	}
}

// A new key for a folder whose key is encrypted has to be encrypted with the
// same password: without it nothing is changed.
func TestRekeyOfAnEncryptedKeyNeedsItsPassword(t *testing.T) {
	tree := newTree(t, nil)
	r := quick
	r.Encrypt = true
	if err := New(tree.dir, &Options{Password: []byte("right")}).Plugin(t.Context(), r, "A"); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, tree.plugin("A").dir)
	for _, password := range []string{"", "wrong"} {
		err := New(tree.dir, &Options{Password: []byte(password)}).Renew(t.Context(), Renewal{Names: []string{"A"}, Rekey: true})
		if err == nil || !strings.Contains(err.Error(), "the new key is to have the same password") {
			t.Errorf("password %q: %v", password, err)
		}
	}
	if diff := cmp.Diff(before, snapshot(t, tree.plugin("A").dir)); diff != "" {
		t.Error(diff)
	}
	// Renewing with the same key needs none.
	if err := tree.Renew(t.Context(), Renewal{Names: []string{"A"}, Force: true}); err != nil {
		t.Error(err)
	}
}

// Root renews what a service account reads: what is new, .next/ too, is the
// account's from the start, so that a run that stops halfway locks nobody out.
func TestRootGivesNewFilesToWhoHadTheOld(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can give files away")
	}
	tree := newTree(t, nil, "A")
	a, gateway := tree.plugin("A"), tree.gateway()
	for _, path := range []string{a.keyFile(), a.certFile(), gateway.keyFile()} {
		if err := os.Chown(path, 1234, 1234); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Remove(gateway.pemFile()), tree.All(t.Context(), quick, nil)); err != nil {
		t.Fatal(err)
	}
	crash := errors.New("crash")
	stopped := &keyfile.Disk{Step: func(op, path string) error {
		if op == keyfile.OpRename && path == a.certFile() {
			return crash
		}
		return nil
	}}
	err := New(tree.dir, &Options{Disk: stopped}).Renew(t.Context(), Renewal{Names: []string{"A"}, Rekey: true})
	if !errors.Is(err, crash) {
		t.Fatal(err)
	}
	for _, path := range []string{gateway.pemFile(), a.keyFile(), a.next().keyFile(), a.next().certFile()} {
		out, err := exec.Command("stat", "-c", "%u %g", path).Output()
		if err != nil {
			t.Skip("there is no stat")
		}
		if got := strings.TrimSpace(string(out)); got != "1234 1234" {
			t.Errorf("%s belongs to %s", path, got)
		}
	}
}

// A client.pem that was put together by hand stays as it is while it holds the
// present certificate.
func TestClientPEMOfOnesOwnIsKept(t *testing.T) {
	tree := newTree(t, nil)
	f := tree.gateway()
	key, err := os.ReadFile(f.keyFile())
	if err != nil {
		t.Fatal(err)
	}
	own := slices.Concat(key, []byte("\n"), encodeCerts(leafOf(t, f), leafOf(t, tree.ca())))
	if err := os.WriteFile(f.pemFile(), own, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tree.All(t.Context(), quick, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(f.pemFile()); err != nil || string(got) != string(own) {
		t.Errorf("it was rewritten: %v", err)
	}
}

func TestPluginsNamedLikeRoles(t *testing.T) {
	tree := newTree(t, nil, "ca", "gateway")
	ca, gateway := leafOf(t, tree.ca()), leafOf(t, tree.gateway())
	if err := tree.Renew(t.Context(), Renewal{Names: []string{"plugins/ca", "plugins/gateway"}, Rekey: true}); err != nil {
		t.Fatal(err)
	}
	if !leafOf(t, tree.gateway()).Equal(gateway) || !samePublic(leafOf(t, tree.ca()).PublicKey, ca.PublicKey) {
		t.Error("the gateway or the CA was meant")
	}
}
