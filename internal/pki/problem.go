package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/hint"
)

// Status is the worst that can be said about a certificate.
type Status string

// The statuses, from good to bad.
const (
	StatusOK      Status = "ok"
	StatusDue     Status = "due"    // should be renewed
	StatusBroken  Status = "broken" // unreadable, half missing, cannot work
	StatusExpired Status = "expired"
)

func (s Status) rank() int {
	return slices.Index([]Status{StatusOK, StatusDue, StatusBroken, StatusExpired}, s)
}

// Worse returns the worse of two statuses.
func (s Status) Worse(other Status) Status {
	if other.rank() > s.rank() {
		return other
	}
	return s
}

// A Problem is something that a person should know about a certificate. With
// status ok it is a defect that works nevertheless.
type Problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`

	path   string // the file or folder it is about
	status Status
}

// Path is the file or folder that the problem is about.
func (p Problem) Path() string { return p.path }

// Status is what the problem makes of the certificate.
func (p Problem) Status() Status { return p.status }

// err is the problem as an error.
func (p Problem) err() error {
	err := fmt.Errorf("%s: %s", p.path, p.Message)
	if p.Hint != "" {
		err = hint.Add(err, p.Hint)
	}
	return err
}

// An inspector collects the problems of one folder.
type inspector struct {
	*state
	tree   *Tree
	ca     *state
	now    time.Time
	within int
	found  []Problem
}

// problems lists what is wrong with s, whose tree has the CA ca.
func (t *Tree) problems(s, ca *state, now time.Time, within int) []Problem {
	i := &inspector{state: s, tree: t, ca: ca, now: now, within: within}
	if s.absent() {
		return nil
	}
	i.halves()
	if s.cert != nil {
		i.dates()
		if s.role == RoleCA {
			i.authority()
		} else {
			i.leaf()
		}
	}
	if s.role != RoleCA {
		i.derived()
	}
	i.writable()
	return i.found
}

func (i *inspector) add(status Status, code, path, message, hint string) {
	i.found = append(i.found, Problem{code, message, hint, path, status})
}

// cmd is the command that acts on this tree.
func (i *inspector) cmd(args string) string { return i.tree.command(args) }

// command is a certs command for this tree.
func (t *Tree) command(args string) string {
	if filepath.Clean(t.dir) != filepath.FromSlash(DefaultDir) {
		dir := t.dir
		if strings.ContainsAny(dir, " \t\n'\"$`\\;&|<>()*?[]#~!") {
			dir = "'" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
		}
		args += " --dir " + dir
	}
	return "sallyport certs " + args
}

// DefaultDir is where the tree is unless said otherwise.
const DefaultDir = "certs/mcp"

// halves looks at certificate and key as files.
func (i *inspector) halves() {
	s := i.state
	again := fmt.Sprintf("put the matching file back, or make a new pair: %s", i.cmd("renew "+i.arg()+" --rekey"))
	if i.role == RoleCA {
		again = "put the matching file back (each gateway/ca.crt and plugins/*/ca.crt is a copy of ca.crt), or delete " + i.dir + " to start with a new CA, which no certificate made so far belongs to"
	}
	switch {
	case !s.hasCert():
		i.add(StatusBroken, "certificate_missing", i.certFile(), "the private key is here but its certificate is missing", again)
	case s.certErr != nil:
		i.add(StatusBroken, "unreadable", i.certFile(), s.certErr.Error(), again)
	}
	switch {
	case !s.hasKey():
		if i.role != RoleCA { // the CA's key is often elsewhere, on purpose
			i.add(StatusBroken, "key_missing", i.keyFile(), "the certificate is here but its private key is missing", again)
		}
	case s.encrypted():
		i.add(StatusOK, "key_encrypted", i.keyFile(), "the private key is encrypted ("+passwordState(i.tree)+"), so it was not compared with the certificate",
			"give its password: --password-file, or SALLYPORT_KEY_PASSWORD")
	case s.keyErr != nil:
		i.add(StatusBroken, "unreadable", i.keyFile(), s.keyErr.Error(), again)
	case s.mismatched():
		i.add(StatusBroken, "key_mismatch", i.keyFile(), "the private key does not belong to the certificate", again)
	}
	for _, path := range s.open {
		i.add(StatusBroken, "key_mode", path, "others can read this private key", "chmod 600 "+path)
	}
	if s.pending {
		i.add(StatusOK, "interrupted", i.nextDir(), "a new pair was made but not put into place yet; servers use it from here", "finish it: "+i.cmd("renew"))
	}
}

func passwordState(t *Tree) string {
	if len(t.password) == 0 {
		return "no password was given"
	}
	return "not with the password given"
}

// dates looks at the validity.
func (i *inspector) dates() {
	renew := i.cmd("renew " + i.arg())
	switch {
	case !i.now.Before(i.cert.NotAfter):
		i.add(StatusExpired, "expired", i.certFile(), "it expired on "+date(i.cert.NotAfter), renew)
	case i.now.Before(i.cert.NotBefore):
		i.add(StatusBroken, "not_yet_valid", i.certFile(), "it is not valid before "+date(i.cert.NotBefore), "is the clock right? "+i.cmd("renew "+i.arg()+" --force")+" makes one that is valid now")
	case dueAt(i.cert, i.now, i.within):
		i.add(StatusDue, "due", i.certFile(), fmt.Sprintf("it should be renewed: %s left", days(i.cert.NotAfter.Sub(i.now))), renew)
	}
}

// authority looks at what makes a certificate a CA's.
func (i *inspector) authority() {
	cert := i.cert
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		i.add(StatusBroken, "not_a_ca", i.certFile(), "this certificate is not a CA's", "put the CA's own certificate there")
	case cert.KeyUsage == 0:
		i.add(StatusOK, "ca_key_usage", i.certFile(), "the CA has no key usage: openssl verify -x509_strict and Python 3.13 and later refuse it",
			i.cmd("renew ca --force")+" reissues it with the same key; all certificates stay valid")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		i.add(StatusBroken, "not_a_ca", i.certFile(), "its key usage does not allow to sign certificates", "put the CA's own certificate there")
	}
}

// leaf looks at what a certificate is good for and who signed it.
func (i *inspector) leaf() {
	cert, renew := i.cert, i.cmd("renew "+i.arg()+" --force")
	eku := i.role.eku()
	switch {
	case cert.IsCA && cert.BasicConstraintsValid:
		i.add(StatusBroken, "leaf_is_ca", i.certFile(), "a CA's certificate is used as that of the "+i.label(), "put the "+i.label()+"'s own certificate there")
	case len(cert.ExtKeyUsage) == 0 && len(cert.UnknownExtKeyUsage) == 0:
		what := "it has no extended key usage"
		if cert.Version < 3 {
			what = fmt.Sprintf("it is an X.509 v%d certificate, without any extension", cert.Version)
		}
		i.add(StatusOK, "no_eku", i.certFile(), what+": nothing in it says whether it is a client's or a server's, and strict peers refuse it", renew+" reissues it in full")
	case !slices.Contains(cert.ExtKeyUsage, eku) && !slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny):
		i.add(StatusBroken, "wrong_eku", i.certFile(), "its extended key usage does not allow it to be the "+i.label()+"'s", renew)
	}
	roots := i.ca.bundle
	if len(roots) == 0 {
		roots = i.copied
	}
	if len(roots) > 0 && !signedBy(i.bundle, roots) {
		i.add(StatusBroken, "wrong_ca", i.certFile(), "it was not signed by the CA that is here now", i.cmd("renew "+i.arg()+" --force")+" reissues it, or put the CA back that signed it")
	} else if i.ca.cert != nil && cert.NotAfter.After(i.ca.cert.NotAfter) {
		i.add(StatusOK, "outlives_ca", i.certFile(), "it is valid longer than its CA, which ends on "+date(i.ca.cert.NotAfter), "renew the CA before: "+i.cmd("renew ca"))
	}
}

// derived looks at the files that are made from others.
func (i *inspector) derived() {
	all := i.cmd("all")
	if i.ca.cert == nil {
		all = "copy ca.crt there from the host that has the CA"
	}
	switch i.copyState(i.ca) {
	case copyMissing:
		i.add(StatusBroken, "ca_copy_missing", i.copyFile(), "the copy of the CA's certificate is missing", all)
	case copyBad:
		i.add(StatusBroken, "unreadable", i.copyFile(), i.copyErr.Error(), all)
	case copyStale:
		i.add(StatusOK, "ca_copy_old", i.copyFile(), "it is an earlier certificate of the same CA", all)
	case copyOther:
		i.add(StatusBroken, "ca_mismatch", i.copyFile(), "it is not the CA that is in "+i.ca.certFile()+": this side trusts another one", "find out which one is right; delete the wrong copy, then "+i.cmd("all"))
	case copyGood, copyUnknown:
	}
	switch i.pem {
	case pemMissing:
		i.add(StatusOK, "pem_missing", i.pemFile(), "client.pem (certificate and key in one file, for curl --cert) is missing", all)
	case pemStale:
		i.add(StatusOK, "pem_old", i.pemFile(), "client.pem holds another certificate than client.crt", all)
	case pemNone, pemGood:
	}
}

// writable looks at who may put another CA, certificate or key there. That
// others may is never meant. That a group may is common where each user has a
// group of his own (umask 002): it is said of the CA, which all trust, and not
// a failure.
func (i *inspector) writable() {
	paths := []string{i.dir, i.certFile()}
	if i.role == RoleCA {
		paths = append(paths, i.tree.dir, i.tree.pluginsDir())
	} else {
		paths = append(paths, i.copyFile())
	}
	for _, path := range paths {
		if writableBy(path, othersWrite) {
			i.add(StatusBroken, "writable", path, "others can write here, and so decide what is trusted", "chmod o-w "+path)
		} else if i.role == RoleCA && writableBy(path, groupWrites) {
			i.add(StatusOK, "group_writable", path, "its group can write here, and so decide what is trusted", "unless nobody else is in that group: chmod g-w "+path)
		}
	}
}

// date prints a moment as openssl does.
func date(t time.Time) string { return t.UTC().Format("Jan _2 15:04:05 2006 GMT") }

// days prints a span in whole days, or in hours when it is short.
func days(d time.Duration) string {
	switch n := int(d / (24 * time.Hour)); {
	case n == 1:
		return "1 day"
	case n != 0 || d <= 0:
		return fmt.Sprintf("%d days", n)
	case d < time.Hour:
		return "less than an hour"
	case d < 2*time.Hour:
		return "1 hour"
	default:
		return fmt.Sprintf("%d hours", int(d/time.Hour))
	}
}

// failures turns the problems that must not go unnoticed into one error; the
// others are told as warnings.
func (t *Tree) failures(found []Problem) error {
	var errs []error
	for _, p := range found {
		switch p.status {
		case StatusBroken, StatusExpired:
			errs = append(errs, p.err())
		default:
			text := p.path + ": " + p.Message
			if p.Hint != "" {
				text += " (" + p.Hint + ")"
			}
			t.tell(Event{Kind: Warning, Path: p.path, Text: text})
		}
	}
	return errors.Join(errs...)
}
