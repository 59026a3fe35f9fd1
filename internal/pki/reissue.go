package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// do carries out the plan: the CA, the leaves, what is derived from them.
func (run *renewing) do(ctx context.Context) error {
	if run.newCA {
		if err := run.renewCA(); err != nil {
			run.errs = append(run.errs, err)
			if run.ca.canSign(run.now) != nil {
				return err
			}
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
	foreign := run.foreign(s)
	if s.cert != nil {
		spec.subject, spec.sans, public = s.cert.RawSubject, sansOf(s.cert), s.cert.PublicKey
	}
	if foreign {
		spec.sans = run.ownNames(s)
	}
	if s.cert == nil || foreign {
		var err error
		if spec.subject, err = s.subject(""); err != nil {
			return err
		}
	}
	if err := spec.sans.checkOwn(s.folder); err != nil {
		return err
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

// foreign reports whether the leaf comes from somebody else than the CA that is
// here. Then nothing that it says may be signed unseen: whoever owns the folder,
// a plugin's service account perhaps, could have written it.
func (run *renewing) foreign(s *state) bool {
	return s.cert != nil && len(run.ca.bundle) > 0 && !signedBy(s.bundle, run.ca.bundle)
}

// ownNames are the names that a foreign leaf gets: those of its folder, in its
// trust domain. It says which others it had.
func (run *renewing) ownNames(s *state) SANs {
	have, domain := sansOf(s.cert), DefaultTrustDomain
	for _, uri := range have.URIs {
		if u, err := url.Parse(uri); err == nil && slices.Equal(SANs{URIs: []string{uri}}.identities(), []string{s.identity()}) {
			domain = u.Host
		}
	}
	names := s.sans(domain)
	all := names
	all.add(run.r.SANs)
	if known := all.Strings(); all.add(have) {
		left := slices.DeleteFunc(have.Strings(), func(name string) bool { return slices.Contains(known, name) })
		run.tell(Event{Kind: Warning, Path: s.certFile(), Text: fmt.Sprintf(
			"%s: names that another CA signed were left out: %s; --san adds those that are right", s.certFile(), strings.Join(left, ", "))})
	}
	return names
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
