package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

// All makes what is missing of CA, gateway and the plugins named. It keeps
// what is there, makes derived files that are missing, and returns an error
// that holds everything that is broken or expired; the rest is made
// nevertheless. Names that cannot be used are refused before anything is.
func (t *Tree) All(ctx context.Context, r Request, plugins []string) error {
	folders := []folder{t.ca(), t.gateway()}
	var errs []error
	for _, bad := range CheckNames(plugins) {
		errs = append(errs, bad.Err)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, name := range plugins {
		folders = append(folders, t.plugin(name))
	}
	return t.make(ctx, r, folders)
}

// CA makes the CA if it is missing. Days, unless 0, is how long it is valid
// when CADays is 0.
func (t *Tree) CA(ctx context.Context, r Request) error {
	if r.CADays == 0 {
		r.CADays = r.Days
	}
	return t.make(ctx, r, []folder{t.ca()})
}

// Gateway makes the gateway's certificate, and the CA, if missing.
func (t *Tree) Gateway(ctx context.Context, r Request) error {
	return t.make(ctx, r, []folder{t.ca(), t.gateway()})
}

// Plugin makes a plugin's certificate, and the CA, if missing.
func (t *Tree) Plugin(ctx context.Context, r Request, name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return t.make(ctx, r, []folder{t.ca(), t.plugin(name)})
}

// validate refuses a request before anything is written.
func (t *Tree) validate(r Request, folders []folder) error {
	if err := errors.Join(checkDays(r.Days), checkDays(r.CADays), CheckTrustDomain(r.TrustDomain)); err != nil {
		return err
	}
	if r.Encrypt && len(t.password) == 0 {
		return hint.Add(errors.New("encrypting keys: there is no password"), "give one: --password-file, or SALLYPORT_KEY_PASSWORD")
	}
	there, err := t.pluginFolders()
	if err != nil {
		return err
	}
	for _, f := range folders {
		if f.role == RoleCA {
			continue
		}
		if err := r.SANs.checkExtra(f); err != nil {
			return err
		}
		for _, other := range there {
			if f.role == RolePlugin && other.name != f.name && strings.EqualFold(other.name, f.name) {
				return hint.Add(fmt.Errorf("plugin name %q: %s is there, which differs only in case", f.name, other.dir), "rename one of the two plugins")
			}
		}
	}
	return nil
}

// A maker is one run of make.
type maker struct {
	*Tree
	r    Request
	now  time.Time
	ca   *state
	keys *keyring
}

// make makes the folders that are absent; the first is the CA.
func (t *Tree) make(ctx context.Context, r Request, folders []folder) error {
	asked := r.Days
	r = r.filled()
	if err := t.validate(r, folders); err != nil {
		return err
	}
	unlock, err := t.disk.Lock(ctx, t.dir)
	if err != nil {
		return err
	}
	defer unlock()
	stuck, err := t.settle()
	if err != nil {
		return err
	}
	m := &maker{Tree: t, r: r, now: t.instant(), ca: t.read(t.ca())}
	var missing []folder
	for _, f := range folders {
		if stuck[f] != nil {
			continue
		}
		if s := t.read(f); s.absent() {
			missing = append(missing, f)
		} else {
			m.tellKept(s)
			m.tellLacking(s)
			m.tellUnchanged(s, asked)
		}
	}
	return errors.Join(joined(stuck), m.makeAll(ctx, missing), m.review(folders))
}

func (t *Tree) tellKept(s *state) {
	text := "nothing is overwritten"
	if s.cert != nil {
		text = "valid until " + date(s.cert.NotAfter)
	}
	t.tell(Event{Kind: Kept, Path: s.dir, Text: text})
}

// tellLacking says that a certificate that is kept lacks names that were asked
// for: else they would seem to be in it.
func (m *maker) tellLacking(s *state) {
	if s.role == RoleCA || s.cert == nil {
		return
	}
	have := sansOf(s.cert)
	before := len(have.Strings())
	if have.add(m.r.SANs) {
		m.tell(Event{Kind: Note, Path: s.certFile(), Text: fmt.Sprintf("%s: it is kept without %d of the names asked for; %s puts them in",
			s.certFile(), len(have.Strings())-before, m.command("renew "+s.arg()+" --san "+strings.Join(m.r.SANs.Strings(), ",")))})
	}
}

// tellUnchanged says that a leaf that is kept does not get the days that were
// asked for.
func (m *maker) tellUnchanged(s *state, days int) {
	if s.role == RoleCA || s.cert == nil || days == 0 || lifetimeDays(s.cert) == days {
		return
	}
	m.tell(Event{Kind: Note, Path: s.certFile(), Text: fmt.Sprintf("%s: it is kept with its own lifetime of %d days; %s gives it %d",
		s.certFile(), lifetimeDays(s.cert), m.command(fmt.Sprintf("renew %s --force --days %d", s.arg(), days)), days)})
}

// lifetimeDays is how long a certificate was made for, the five minutes of
// backdating left out.
func lifetimeDays(cert *x509.Certificate) int {
	return int(cert.NotAfter.Sub(cert.NotBefore).Hours() / 24)
}

// makeAll makes the folders in their order.
func (m *maker) makeAll(ctx context.Context, missing []folder) error {
	if len(missing) == 0 {
		return nil
	}
	if missing[0].role != RoleCA {
		if err := m.ca.canSign(m.now); err != nil {
			return hint.Add(fmt.Errorf("making certificates of %s: %w", labels(missing), err), m.cure(err))
		}
	}
	m.announce(missing)
	types := make([]KeyType, len(missing))
	for i := range types {
		types[i] = m.r.KeyType
	}
	m.keys = m.newKeyring(ctx, types)
	defer m.keys.close()
	for i, f := range missing {
		key, err := m.keys.key(i)
		if err == nil {
			err = m.makeOne(f, key)
		}
		if err != nil {
			return fmt.Errorf("making the certificate of the %s: %w", f.label(), err)
		}
	}
	return nil
}

func (m *maker) makeOne(f folder, key crypto.Signer) error {
	spec := leafSpec{role: f.role}
	var err error
	if spec.subject, err = f.subject(m.r.Profile.caCN); err != nil {
		return err
	}
	if f.role == RoleCA {
		cert, err := issueCA(key, spec.subject, nil, m.now, addDays(m.now, m.r.CADays))
		if err != nil {
			return err
		}
		p, err := m.encode(key, cert, m.r.Encrypt)
		if err != nil {
			return err
		}
		if err := m.install(f, p); err != nil {
			return err
		}
		m.tellMade(f, dn(cert.RawSubject), m.r.KeyType, cert.NotAfter)
		// The key is at hand; reading it back may need a password.
		m.ca = &state{folder: f, bundle: []*x509.Certificate{cert}, cert: cert, key: key}
		return nil
	}
	spec.sans = f.sans(m.r.TrustDomain)
	spec.sans.add(m.r.SANs)
	spec.notAfter = addDays(m.now, m.r.Days)
	cert, err := issueLeaf(m.ca.cert, m.ca.key, key.Public(), spec, m.now)
	if err != nil {
		return err
	}
	p, err := m.encode(key, cert, m.r.Encrypt)
	if err != nil {
		return err
	}
	if p.ca, err = keyfile.ReadFile(m.ca.certFile()); err != nil {
		return err
	}
	if err := m.install(f, p); err != nil {
		return err
	}
	m.tellMade(f, dn(cert.RawSubject), m.r.KeyType, cert.NotAfter)
	m.tellCut(f, m.now, spec.notAfter, cert.NotAfter)
	return nil
}

func (m *maker) tellMade(f folder, subject string, k KeyType, notAfter time.Time) {
	m.tell(Event{Kind: Made, Path: f.dir, Text: fmt.Sprintf("%s, %s, valid for %s, until %s", subject, k, days(notAfter.Sub(m.now)), date(notAfter))})
}

// tellCut announces a leaf that ends earlier than asked for. Hours do not
// matter: they pass when the CA is made first, by itself.
func (t *Tree) tellCut(f folder, now, asked, got time.Time) {
	if !got.Before(asked) {
		return
	}
	cut := asked.Sub(got)
	e := Event{Kind: Note, Path: f.certFile(), Text: fmt.Sprintf("%s: it ends with its CA on %s, %s earlier than asked for", f.certFile(), date(got), days(cut))}
	if cut >= 24*time.Hour {
		e.Kind = Warning
		needed := int(asked.Sub(now) / (24 * time.Hour))
		e.Text += "; " + t.command(fmt.Sprintf("renew ca --force --ca-days %d", needed)) + " lengthens the CA's life"
	}
	t.tell(e)
}

// announce says what is worth knowing about the lifetimes.
func (m *maker) announce(folders []folder) {
	leaves, servers := false, false
	for _, f := range folders {
		leaves = leaves || f.role != RoleCA
		servers = servers || f.role == RolePlugin
	}
	m.tellLife(m.r.Days, leaves, servers)
}

func (t *Tree) tellLife(life int, leaves, servers bool) {
	switch {
	case servers && life > appleDays:
		t.tell(Event{Kind: Warning, Text: fmt.Sprintf("%d days: Apple's platforms refuse server certificates that are valid for more than %d days", life, appleDays)})
	case leaves && life == appleDays:
		t.tell(Event{Kind: Note, Text: fmt.Sprintf("valid for %d days; the hardening section of the guide recommends 90 to 180 (--days 180, MCP_CERT_DAYS=180)", life)})
	}
}

// review makes derived files that are missing and says what is wrong.
func (m *maker) review(folders []folder) error {
	ca := m.read(m.Tree.ca())
	var errs []error
	var found []Problem
	for _, f := range folders {
		s := m.read(f)
		wrote, err := m.derive(s, ca)
		for _, path := range wrote {
			m.tell(Event{Kind: Made, Path: path, Text: "it was missing or out of date"})
		}
		errs = append(errs, err)
		if len(wrote) > 0 {
			s = m.read(f)
		}
		found = append(found, m.problems(s, ca, m.now, 0)...)
	}
	return errors.Join(append(errs, m.failures(found))...)
}

// canSign says why the CA cannot sign now.
func (s *state) canSign(now time.Time) error {
	switch {
	case s.cert == nil:
		return fmt.Errorf("there is no usable CA certificate in %s", s.dir)
	case !s.hasKey():
		return fmt.Errorf("%w: %s", errNoCAKey, s.keyFile())
	case s.keyErr != nil:
		return s.keyErr
	case s.mismatched():
		return fmt.Errorf("%s does not belong to %s", s.keyFile(), s.certFile())
	case !now.Before(s.cert.NotAfter):
		return fmt.Errorf("%w on %s", errCAExpired, date(s.cert.NotAfter))
	}
	return nil
}

var errCAExpired = errors.New("the CA expired")

// cure is what to do about an error of canSign.
func (t *Tree) cure(err error) string {
	switch {
	case errors.Is(err, errCAExpired):
		return t.command("renew ca") + " reissues it with the same key"
	case errors.Is(err, errNoCAKey):
		return "run this on the host that has the CA's key, then copy the folder"
	case errors.Is(err, keyfile.ErrNoPassword), errors.Is(err, keyfile.ErrPassword):
		return "give the CA key's password: --password-file, or SALLYPORT_KEY_PASSWORD"
	default:
		return t.command("check") + " says more"
	}
}

func labels(folders []folder) string {
	var names []string
	for _, f := range folders {
		names = append(names, f.label())
	}
	return strings.Join(names, ", ")
}
