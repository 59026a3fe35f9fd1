package pki

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	stuck, err := t.settle()
	if err != nil {
		return err
	}
	run, err := t.planRenewal(r, stuck)
	if err != nil {
		return err
	}
	return errors.Join(joined(stuck), run.do(ctx))
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

// planRenewal decides what to reissue, of what is not stuck.
func (t *Tree) planRenewal(r Renewal, stuck map[folder]error) (*renewing, error) {
	run := &renewing{Tree: t, r: r, now: t.instant(), ca: t.read(t.ca()), touched: map[string][]string{}}
	chosen, err := t.choose(r.Names)
	if err != nil {
		return nil, err
	}
	for _, f := range chosen {
		s := t.read(f)
		switch {
		case s.absent() || stuck[f] != nil:
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
	if s.role != RoleCA && !run.r.Force && run.foreign(s) {
		return run.r.Rekey && len(run.r.Names) > 0 // by itself it is only complained of
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
