package pki

import (
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

const day = 24 * time.Hour

func TestDue(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cert := &x509.Certificate{NotBefore: start, NotAfter: start.Add(90 * day)}
	for _, tt := range []struct {
		age    time.Duration
		within int
		want   bool
	}{
		{0, 0, false},
		{60 * day, 0, false},
		{60*day + time.Second, 0, true},
		{91 * day, 0, true},
		{80 * day, 10, false},
		{80*day + time.Second, 10, true},
		{0, 91, true},
		{60*day + time.Second, 10, false},
	} {
		if got := dueAt(cert, start.Add(tt.age), tt.within); got != tt.want {
			t.Errorf("after %v, within %d: %v", tt.age, tt.within, got)
		}
	}
}

// later opens the tree at another time; events are noted.
func later(tree *Tree, d time.Duration, events *[]Event) *Tree {
	return New(tree.dir, &Options{Now: func() time.Time { return time.Now().Add(d) }, Report: func(e Event) {
		if events != nil {
			*events = append(*events, e)
		}
	}})
}

// verifies reports whether root, and nothing else, leads to leaf.
func verifies(root, leaf *x509.Certificate, at time.Time) error {
	pool := x509.NewCertPool()
	pool.AddCert(root)
	_, err := leaf.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	return err
}

func TestRenewKeepsAllButTheDates(t *testing.T) {
	tree := New(t.TempDir(), nil)
	sans, _ := ParseSANs([]string{"ip:127.0.0.1"})
	if err := tree.All(t.Context(), Request{KeyType: ECDSAP384, Days: 60, SANs: sans, TrustDomain: "x.example"}, []string{"A", "B"}); err != nil {
		t.Fatal(err)
	}
	oldCA, oldA, oldB := leafOf(t, tree.ca()), leafOf(t, tree.plugin("A")), leafOf(t, tree.plugin("B"))
	key, err := os.ReadFile(tree.plugin("A").keyFile())
	if err != nil {
		t.Fatal(err)
	}

	// Forty-one days later the leaves are due, and the CA is not.
	if err := later(tree, 41*day, nil).Renew(t.Context(), Renewal{Names: []string{"A"}}); err != nil {
		t.Fatal(err)
	}
	newA := leafOf(t, tree.plugin("A"))
	if !leafOf(t, tree.ca()).Equal(oldCA) || !leafOf(t, tree.plugin("B")).Equal(oldB) {
		t.Error("more was renewed than A")
	}
	if newA.Equal(oldA) || newA.SerialNumber.Cmp(oldA.SerialNumber) == 0 {
		t.Error("A was not renewed")
	}
	if got := newA.NotAfter.Sub(newA.NotBefore); got != oldA.NotAfter.Sub(oldA.NotBefore) {
		t.Errorf("lifetime %v", got)
	}
	if !samePublic(newA.PublicKey, oldA.PublicKey) || string(newA.RawSubject) != string(oldA.RawSubject) {
		t.Error("another key or subject")
	}
	if diff := cmp.Diff(sansOf(oldA).Strings(), sansOf(newA).Strings()); diff != "" {
		t.Error(diff)
	}
	if now, err := os.ReadFile(tree.plugin("A").keyFile()); err != nil || string(now) != string(key) {
		t.Error("the key file changed")
	}
}

func TestRenewedCAVerifiesOldAndNewLeaves(t *testing.T) {
	tree := newTree(t, nil, "A", "B")
	oldCA, oldB := leafOf(t, tree.ca()), leafOf(t, tree.plugin("B"))
	at := 700 * day
	var events []Event
	if err := later(tree, at, &events).Renew(t.Context(), Renewal{Names: []string{"A"}}); err != nil {
		t.Fatal(err)
	}
	newCA, newA := leafOf(t, tree.ca()), leafOf(t, tree.plugin("A"))
	if newCA.Equal(oldCA) {
		t.Fatal("the CA was not renewed, though it would cut A short")
	}
	if string(newCA.RawSubject) != string(oldCA.RawSubject) || string(newCA.SubjectKeyId) != string(oldCA.SubjectKeyId) || !samePublic(newCA.PublicKey, oldCA.PublicKey) {
		t.Error("the CA has another name, key or key id")
	}
	if newA.NotAfter.After(newCA.NotAfter) {
		t.Error("A outlives its CA")
	}
	for name, pair := range map[string][2]*x509.Certificate{
		"new CA, old leaf": {newCA, oldB}, "new CA, new leaf": {newCA, newA}, "old CA, new leaf": {oldCA, newA},
	} {
		if err := verifies(pair[0], pair[1], time.Now().Add(at)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	want := string(encodeCerts(newCA))
	for _, f := range []folder{tree.gateway(), tree.plugin("A"), tree.plugin("B")} {
		if got, err := os.ReadFile(f.copyFile()); err != nil || string(got) != want {
			t.Errorf("%s has an old ca.crt: %v", f.label(), err)
		}
	}
	var readers []string
	for _, e := range events {
		if e.Kind == Warning {
			t.Errorf("warning: %s", e.Text)
		}
		if e.Kind == NeededBy {
			readers = append(readers, e.Text)
		}
	}
	text := strings.Join(readers, "\n")
	for _, part := range []string{"every gateway and plugin server", "the gateway, and", "plugin server of A: ", "(ca.crt, server.crt)", "plugin server of B: ", "(ca.crt)"} {
		if !strings.Contains(text, part) {
			t.Errorf("nobody is told %q:\n%s", part, text)
		}
	}
}

func TestRekey(t *testing.T) {
	tree := newTree(t, nil, "A", "B")
	oldA, oldB, oldCA := leafOf(t, tree.plugin("A")), leafOf(t, tree.plugin("B")), leafOf(t, tree.ca())
	if err := tree.Renew(t.Context(), Renewal{Names: []string{"A"}, Rekey: true, KeyType: Ed25519}); err != nil {
		t.Fatal(err)
	}
	a := leafOf(t, tree.plugin("A"))
	if samePublic(a.PublicKey, oldA.PublicKey) || keyTypeOf(a.PublicKey) != Ed25519 || string(a.RawSubject) != string(oldA.RawSubject) {
		t.Errorf("A has key %s and subject %s", keyTypeOf(a.PublicKey), dn(a.RawSubject))
	}
	if !leafOf(t, tree.plugin("B")).Equal(oldB) {
		t.Error("B changed")
	}
	err := tree.Renew(t.Context(), Renewal{Names: []string{"ca"}, Rekey: true, Force: true})
	if err == nil || !strings.Contains(err.Error(), "the CA keeps its key") {
		t.Errorf("rekey of the CA: %v", err)
	}
	if err := tree.Renew(t.Context(), Renewal{Rekey: true, Force: true}); err != nil {
		t.Fatal(err)
	}
	if !samePublic(leafOf(t, tree.ca()).PublicKey, oldCA.PublicKey) {
		t.Error("the CA has another key")
	}
	if report, err := tree.Check(0); err != nil || report.Status != StatusOK {
		t.Errorf("%+v %v", report, err)
	}
}

func TestRekeyRepairsAHalfPair(t *testing.T) {
	for fault, damage := range map[string]func(f folder) error{
		"certificate lost": func(f folder) error { return os.Remove(f.certFile()) },
		"key lost":         func(f folder) error { return os.Remove(f.keyFile()) },
		"another key": func(f folder) error {
			key, err := ECDSAP256.generate()
			if err != nil {
				return err
			}
			data, err := keyfile.MarshalKey(key, nil)
			if err != nil {
				return err
			}
			return os.WriteFile(f.keyFile(), data, 0o600)
		},
	} {
		t.Run(fault, func(t *testing.T) {
			tree := newTree(t, nil, "A")
			f := tree.plugin("A")
			if err := damage(f); err != nil {
				t.Fatal(err)
			}
			if err := tree.All(t.Context(), quick, []string{"A"}); err == nil || !strings.Contains(err.Error(), f.dir) {
				t.Errorf("certs all says %v", err)
			}
			if err := tree.Renew(t.Context(), Renewal{Force: true, Rekey: true}); err == nil {
				t.Error("a renewal that did not name A touched it")
			}
			if err := tree.Renew(t.Context(), Renewal{Names: []string{"A"}, Rekey: true}); err != nil {
				t.Fatal(err)
			}
			if err := inspectCrashed(tree, time.Now()); err != nil {
				t.Error(err)
			}
			if got := sansOf(leafOf(t, f)).Strings(); len(got) != 4 {
				t.Errorf("names %q", got)
			}
		})
	}
}

func TestRenewWithSANs(t *testing.T) {
	tree := newTree(t, nil, "A")
	sans, _ := ParseSANs([]string{"ip:127.0.0.1", "dns:localhost"})
	for i, renewed := range []bool{true, false} {
		before := leafOf(t, tree.plugin("A"))
		if err := tree.Renew(t.Context(), Renewal{Names: []string{"A"}, SANs: sans}); err != nil {
			t.Fatal(err)
		}
		a := leafOf(t, tree.plugin("A"))
		if a.Equal(before) == renewed {
			t.Errorf("run %d: reissued %v", i+1, !renewed)
		}
		if err := a.VerifyHostname("127.0.0.1"); err != nil {
			t.Error(err)
		}
	}
}

func TestRenewSaysWhatItCannotDo(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(tree *Tree) error
		r      Renewal
		want   string
	}{
		{"no tree", func(tree *Tree) error { return os.RemoveAll(tree.dir) }, Renewal{}, "there are no certificates in"},
		{"no such plugin", nil, Renewal{Names: []string{"A", "C"}}, `there is no certificate of "C"`},
		{"no CA key", func(tree *Tree) error { return os.Remove(tree.ca().keyFile()) }, Renewal{Force: true, Names: []string{"A"}}, "the CA's private key is not here"},
		{"no CA", func(tree *Tree) error { return os.RemoveAll(tree.ca().dir) }, Renewal{Force: true}, "no usable CA certificate"},
		{"key of another", func(tree *Tree) error {
			data, err := os.ReadFile(tree.gateway().keyFile())
			if err != nil {
				return err
			}
			return os.WriteFile(tree.plugin("A").keyFile(), data, 0o600)
		}, Renewal{Force: true, Names: []string{"A", "A"}}, "the private key does not belong to the certificate"},
		{"another plugin's name", nil, Renewal{Names: []string{"A"}, SANs: SANs{DNS: []string{"mcp-plugin-B"}}}, "answer for the plugin b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree := newTree(t, nil, "A")
			if tt.damage != nil {
				if err := tt.damage(tree); err != nil {
					t.Fatal(err)
				}
			}
			if err := tree.Renew(t.Context(), tt.r); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRenewMovesALeafToTheCAThatIsHere(t *testing.T) {
	tree := newTree(t, nil, "A")
	if err := os.RemoveAll(tree.ca().dir); err != nil {
		t.Fatal(err)
	}
	err := tree.All(t.Context(), quick, []string{"A"})
	if err == nil || !strings.Contains(err.Error(), "was not signed by the CA that is here now") {
		t.Errorf("a new CA beside old leaves: %v", err)
	}
	if err := tree.Renew(t.Context(), Renewal{Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := inspectCrashed(tree, time.Now()); err != nil {
		t.Error(err)
	}
}

// A bundle that trusts a second CA, put there by hand, keeps it.
func TestRenewedCAKeepsOthersInTheBundle(t *testing.T) {
	tree, other := newTree(t, nil, "A"), newTree(t, nil)
	own, foreign := leafOf(t, tree.ca()), leafOf(t, other.ca())
	f := tree.gateway()
	if err := os.WriteFile(f.copyFile(), encodeCerts(foreign, own), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := tree.Renew(t.Context(), Renewal{Force: true, Names: []string{"ca"}}); err != nil {
		t.Fatal(err)
	}
	got, err := keyfile.ReadCertificates(f.copyFile())
	if err != nil || len(got) != 2 || !got[0].Equal(foreign) || !got[1].Equal(leafOf(t, tree.ca())) {
		t.Errorf("the bundle has %d certificates: %v", len(got), err)
	}
}

// plant puts a certificate with other names into a's folder, as whoever owns
// the folder may: signed by ca, or by nobody here, and due.
func plant(t *testing.T, f folder, ca *state, names SANs) {
	t.Helper()
	key, err := ECDSAP256.generate()
	if err != nil {
		t.Fatal(err)
	}
	subject, err := f.subject("")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := issueLeaf(ca.cert, ca.key, key.Public(), leafSpec{role: f.role, subject: subject, sans: names, notAfter: time.Now().Add(day)}, time.Now().Add(-9*day))
	if err != nil {
		t.Fatal(err)
	}
	data, err := keyfile.MarshalKey(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{f.certFile(): encodeCerts(cert), f.keyFile(): data} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// The folder of a plugin may belong to its service account. What stands in a
// certificate there must not be signed only because it stands there.
func TestRenewSignsNoNamesOfStrangers(t *testing.T) {
	tree, other := newTree(t, nil, "A", "B"), newTree(t, nil)
	a := tree.plugin("A")
	sans, _ := ParseSANs([]string{"dns:db.example"})
	sans.add(tree.plugin("B").sans(DefaultTrustDomain))

	plant(t, a, other.read(other.ca()), sans)
	planted := leafOf(t, a)
	if err := tree.Renew(t.Context(), Renewal{}); err == nil || !strings.Contains(err.Error(), "was not signed by the CA that is here now") {
		t.Errorf("a due certificate of another CA: %v", err)
	}
	if !leafOf(t, a).Equal(planted) {
		t.Error("it was reissued by itself")
	}
	var events []Event
	if err := later(tree, 0, &events).Renew(t.Context(), Renewal{Names: []string{"A"}, Force: true}); err != nil {
		t.Fatal(err)
	}
	if got := sansOf(leafOf(t, a)); !cmp.Equal(got.Strings(), a.sans(DefaultTrustDomain).Strings()) {
		t.Errorf("forced, it has the names %q", got.Strings())
	}
	if !slices.ContainsFunc(events, func(e Event) bool { return e.Kind == Warning && strings.Contains(e.Text, "dns:db.example") }) {
		t.Errorf("nobody says what was left out: %v", events)
	}

	plant(t, a, tree.read(tree.ca()), sans)
	for _, r := range []Renewal{{}, {Force: true}, {Names: []string{"A"}, Rekey: true}} {
		if err := tree.Renew(t.Context(), r); err == nil || !strings.Contains(err.Error(), "its certificate is that of the plugin b") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
