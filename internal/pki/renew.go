package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// A Renewal says what to reissue. The zero value is everything that is due.
type Renewal struct {
	// Names narrows to these: a plugin's name, ca, gateway, or plugins/NAME
	// for a plugin that is called like one of those two. Empty means all.
	Names []string

	// Force reissues what is not due, too.
	Force bool

	// Rekey gives leaves a new key. The CA keeps its own.
	Rekey bool

	// Within is the number of days before its end at which a certificate is
	// due; 0 means the last third of its life.
	Within int

	// SANs are added; a leaf that lacks one of them is reissued at once.
	SANs SANs

	// Days and CADays, unless 0, replace the lifetime that a certificate has.
	Days, CADays int

	// KeyType is that of a new key; empty means that of the old one.
	KeyType KeyType

	// Encrypt encrypts new keys; those whose old key is encrypted are anyway.
	Encrypt bool
}

// Renew reissues certificates: with the same subject, names, lifetime and,
// unless Rekey is set, the same key, each replaced by one rename. The CA goes
// first; it is also reissued when a leaf that is due would be cut short by it. It returns
// an error that holds everything that could not be renewed; the rest is.
func (t *Tree) Renew(ctx context.Context, r Renewal) error {
	if err := t.validateRenewal(r); err != nil {
		return err
	}
	unlock, err := t.disk.Lock(ctx, t.dir)
	if err != nil {
		return err
	}
	defer unlock()
	if err := t.settle(); err != nil {
		return err
	}
	run, err := t.planRenewal(r)
	if err != nil {
		return err
	}
	return run.do(ctx)
}

func (t *Tree) validateRenewal(r Renewal) error {
	if info, err := os.Stat(t.dir); err != nil || !info.IsDir() {
		return hint.Add(fmt.Errorf("there are no certificates in %s", t.dir), t.command("all")+" makes them, --dir names another folder")
	}
	for _, n := range []int{r.Days, r.CADays} {
		if n != 0 {
			if err := checkDays(n); err != nil {
				return err
			}
		}
	}
	if r.Encrypt && len(t.password) == 0 {
		return errors.New("encrypting keys: there is no password")
	}
	if r.KeyType != "" && !r.Rekey {
		return errors.New("a key type needs a new key: --rekey")
	}
	chosen, err := t.choose(r.Names)
	if err != nil {
		return err
	}
	for _, f := range chosen {
		if f.role == RoleCA && r.Rekey && len(r.Names) > 0 {
			return hint.Add(errors.New("the CA keeps its key: a new one would part it from all that it has signed"),
				"to start over, delete "+t.dir+" and make all certificates again")
		}
		if f.role != RoleCA {
			if err := r.SANs.checkExtra(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// choose finds the folders that the names mean; no names mean all.
func (t *Tree) choose(names []string) ([]folder, error) {
	all, err := t.folders()
	if err != nil || len(names) == 0 {
		return all, err
	}
	var chosen []folder
	var errs []error
	for _, name := range names {
		found := false
		for _, f := range all {
			if (f.arg() == name || f.role == RolePlugin && "plugins/"+f.name == name) && !t.read(f).absent() {
				found = true
				if !slices.Contains(chosen, f) {
					chosen = append(chosen, f)
				}
			}
		}
		if !found {
			errs = append(errs, hint.Add(fmt.Errorf("there is no certificate of %q in %s", name, t.dir), "there are: "+t.inventory(all)))
		}
	}
	return chosen, errors.Join(errs...)
}

func (t *Tree) inventory(all []folder) string {
	var names []string
	for _, f := range all {
		if !t.read(f).absent() {
			names = append(names, f.arg())
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// A renewing is one run of Renew.
type renewing struct {
	*Tree
	r       Renewal
	now     time.Time
	ca      *state
	newCA   bool
	keepCA  bool     // it was asked for and is not due
	leaves  []*state // to be reissued
	kept    []*state
	touched map[string][]string // what changed, by folder
	errs    []error
}

// planRenewal decides what to reissue.
func (t *Tree) planRenewal(r Renewal) (*renewing, error) {
	run := &renewing{Tree: t, r: r, now: t.instant(), ca: t.read(t.ca()), touched: map[string][]string{}}
	chosen, err := t.choose(r.Names)
	if err != nil {
		return nil, err
	}
	for _, f := range chosen {
		s := t.read(f)
		switch {
		case s.absent():
		case f.role == RoleCA:
			run.newCA, run.keepCA = run.wants(s), true
		case run.wants(s):
			run.leaves = append(run.leaves, s)
		case s.usable(): // else review says what is wrong
			run.kept = append(run.kept, s)
		}
	}
	for _, s := range run.leaves {
		// Not for the sake of one that is reissued before its time: a new CA
		// certificate has to reach every host.
		due := s.cert != nil && dueAt(s.cert, run.now, r.Within)
		if due && run.ca.cert != nil && run.end(s).After(run.ca.cert.NotAfter) && run.caEnd().After(run.ca.cert.NotAfter) {
			run.newCA = true
		}
	}
	return run, nil
}

// wants reports whether a certificate is to be reissued.
func (run *renewing) wants(s *state) bool {
	if s.cert == nil || s.mixed() && s.role != RoleCA {
		// Only a new pair helps, and only who asked for this one gets it.
		return s.role != RoleCA && run.r.Rekey && len(run.r.Names) > 0
	}
	if run.r.Force || dueAt(s.cert, run.now, run.r.Within) || s.role != RoleCA && run.r.Rekey && len(run.r.Names) > 0 {
		return true
	}
	if s.role == RoleCA {
		return false
	}
	have := sansOf(s.cert)
	return have.add(run.r.SANs)
}

// end is when the leaf's new certificate should end.
func (run *renewing) end(s *state) time.Time {
	switch {
	case run.r.Days > 0:
		return addDays(run.now, run.r.Days)
	case s.cert == nil:
		return addDays(run.now, GuideProfile().days)
	default:
		return run.now.Add(lifetime(s.cert))
	}
}

// caEnd is when the CA's new certificate should end: late enough for a longer
// life that was asked for its leaves.
func (run *renewing) caEnd() time.Time {
	if run.r.CADays > 0 {
		return addDays(run.now, run.r.CADays)
	}
	end := run.now.Add(lifetime(run.ca.cert))
	if leaf := addDays(run.now, run.r.Days); leaf.After(end) {
		return leaf
	}
	return end
}

func (run *renewing) do(ctx context.Context) error {
	if run.newCA {
		if err := run.renewCA(); err != nil {
			return err
		}
	}
	if run.keepCA && !run.newCA {
		run.kept = append([]*state{run.ca}, run.kept...)
	}
	for _, s := range run.kept {
		if s.cert != nil {
			run.tell(Event{Kind: Kept, Path: s.dir, Text: "not due: " + days(s.cert.NotAfter.Sub(run.now)) + " left, until " + date(s.cert.NotAfter)})
		}
	}
	if len(run.leaves) > 0 {
		if err := run.renewLeaves(ctx); err != nil {
			run.errs = append(run.errs, err)
		}
	}
	run.review()
	run.tellReaders()
	return errors.Join(run.errs...)
}

// renewCA reissues the CA's certificate with the same key, name and key id.
func (run *renewing) renewCA() error {
	old := run.ca.cert
	err := run.ca.canSign(run.now)
	switch {
	case err != nil && !errors.Is(err, errCAExpired):
		return hint.Add(fmt.Errorf("renewing the CA: %w", err), run.cure(err))
	case string(old.RawSubject) != string(old.RawIssuer):
		return hint.Add(fmt.Errorf("renewing the CA: %s was issued by %s", run.ca.certFile(), dn(old.RawIssuer)), "have it renewed there")
	}
	cert, err := issueCA(run.ca.key, old.RawSubject, old, run.now, run.caEnd())
	if err != nil {
		return fmt.Errorf("renewing the CA: %w", err)
	}
	if err := run.disk.WriteFile(run.ca.certFile(), encodeCerts(refreshed(run.ca.bundle, cert)...), certMode); err != nil {
		return err
	}
	run.changed(run.ca.folder, run.ca.certFile())
	run.tell(Event{Kind: Renewed, Path: run.ca.certFile(), Text: fmt.Sprintf("same key and name, valid for %s, until %s", days(cert.NotAfter.Sub(run.now)), date(cert.NotAfter))})
	run.ca.bundle, run.ca.cert = refreshed(run.ca.bundle, cert), cert
	// Each side gets the new certificate before a leaf is made that the old
	// one may not cover.
	all, err := run.folders()
	if err != nil {
		return err
	}
	for _, f := range all {
		run.refresh(run.read(f))
	}
	return nil
}

// refresh makes the files that are derived from others.
func (run *renewing) refresh(s *state) {
	wrote, err := run.derive(s, run.ca)
	run.changed(s.folder, wrote...)
	if err != nil {
		run.errs = append(run.errs, err)
	}
}

func (run *renewing) changed(f folder, paths ...string) {
	if len(paths) > 0 {
		run.touched[f.dir] = append(run.touched[f.dir], paths...)
	}
}

func (run *renewing) renewLeaves(ctx context.Context) error {
	if err := run.ca.canSign(run.now); err != nil {
		var names []folder
		for _, s := range run.leaves {
			names = append(names, s.folder)
		}
		return hint.Add(fmt.Errorf("renewing the certificates of %s: %w", labels(names), err), run.cure(err))
	}
	var types []KeyType
	servers := false
	for _, s := range run.leaves {
		servers = servers || s.role == RolePlugin
		if run.r.Rekey {
			types = append(types, run.keyType(s))
		}
	}
	run.tellLife(run.r.Days, true, servers)
	var keys *keyring
	if len(types) > 0 {
		keys = run.newKeyring(ctx, types)
		defer keys.close()
	}
	for i, s := range run.leaves {
		if err := run.renewLeaf(ctx, s, keys, i); err != nil {
			run.errs = append(run.errs, fmt.Errorf("renewing the certificate of the %s: %w", s.label(), err))
		}
	}
	return nil
}

// keyType is that of the leaf's new key.
func (run *renewing) keyType(s *state) KeyType {
	switch {
	case run.r.KeyType != "":
		return run.r.KeyType
	case s.cert != nil:
		return keyTypeOf(s.cert.PublicKey)
	default:
		return GuideProfile().keyType
	}
}

func (run *renewing) renewLeaf(ctx context.Context, s *state, keys *keyring, i int) error {
	spec := leafSpec{role: s.role, notAfter: run.end(s)}
	var public crypto.PublicKey
	if s.cert != nil {
		spec.subject, spec.sans, public = s.cert.RawSubject, sansOf(s.cert), s.cert.PublicKey
	} else {
		var err error
		if spec.subject, err = s.subject(""); err != nil {
			return err
		}
	}
	if spec.sans.empty() {
		spec.sans = s.sans(DefaultTrustDomain)
	}
	spec.sans.add(run.r.SANs)

	var key crypto.Signer
	if keys != nil {
		var err error
		if key, err = keys.key(i); err != nil {
			return err
		}
		if s.encrypted() { // who reads the new key has the old one's password
			return hint.Add(fmt.Errorf("%s is encrypted (%s): the new key is to have the same password", s.keyFile(), passwordState(run.Tree)),
				"give it: --password-file, or SALLYPORT_KEY_PASSWORD")
		}
		public = key.Public()
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	cert, err := issueLeaf(run.ca.cert, run.ca.key, public, spec, run.now)
	if err != nil {
		return err
	}
	foreign := s.cert != nil && !signedBy(s.bundle, run.ca.bundle)
	if err := run.write(s, key, cert); err != nil {
		return err
	}
	if foreign && s.copyState(run.ca) == copyOther {
		// It moves from one CA to another, and its trust with it.
		if err := run.disk.WriteFile(s.copyFile(), encodeCerts(run.ca.bundle...), certMode); err != nil {
			return err
		}
		run.changed(s.folder, s.copyFile())
	}
	run.changed(s.folder, s.certFile())
	text := "same key"
	if key != nil {
		run.changed(s.folder, s.keyFile())
		text = "new " + string(keyTypeOf(public)) + " key"
	}
	run.tell(Event{Kind: Renewed, Path: s.certFile(), Text: fmt.Sprintf("%s, valid for %s, until %s", text, days(cert.NotAfter.Sub(run.now)), date(cert.NotAfter))})
	run.tellCut(s.folder, run.now, spec.notAfter, cert.NotAfter)
	return nil
}

// write puts the new certificate, or the new pair, into place.
func (run *renewing) write(s *state, key crypto.Signer, cert *x509.Certificate) error {
	if key == nil {
		return run.disk.WriteFile(s.certFile(), encodeCerts(cert), certMode)
	}
	wasEncrypted, err := isEncrypted(s.keyFile())
	if err != nil {
		return err
	}
	p, err := run.encode(key, cert, run.r.Encrypt || wasEncrypted)
	if err != nil {
		return err
	}
	return run.replace(s.folder, p)
}

// review brings derived files up to date and says what remains wrong.
func (run *renewing) review() {
	all, err := run.folders()
	if err != nil {
		run.errs = append(run.errs, err)
		return
	}
	chosen, err := run.choose(run.r.Names)
	if err != nil {
		run.errs = append(run.errs, err)
		return
	}
	for _, f := range all {
		run.refresh(run.read(f))
	}
	var found []Problem
	for _, f := range chosen {
		found = append(found, run.problems(run.read(f), run.ca, run.now, run.r.Within)...)
	}
	run.errs = append(run.errs, run.failures(found))
}

// tellReaders says who has to get the files that changed.
func (run *renewing) tellReaders() {
	all, err := run.folders()
	if err != nil {
		return // review has said it
	}
	for _, f := range all {
		paths := run.touched[f.dir]
		if len(paths) == 0 {
			continue
		}
		var names []string
		for _, path := range paths {
			if name := filepath.Base(path); !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		what := f.dir + " (" + strings.Join(names, ", ") + ")"
		switch f.role {
		case RoleCA:
			what = "every gateway and plugin server that trusts this CA: " + f.certFile() + "; the copies in this tree are up to date, those on other hosts are not"
		case RoleGateway:
			what = "the gateway, and sallyport call: " + what + "; copy it to the gateway's host and restart the gateway"
		case RolePlugin:
			what = "the plugin server of " + f.name + ": " + what + "; copy it to that server's host and restart it"
		}
		run.tell(Event{Kind: NeededBy, Path: f.dir, Text: what})
	}
	if len(run.touched) == 0 && errors.Join(run.errs...) == nil {
		run.tell(Event{Kind: Note, Text: "nothing is due"})
	}
}
