package pki

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/keyfile"
)

const (
	keyMode  = 0o600
	certMode = 0o644
	dirMode  = 0o755
)

// settle completes what an earlier run was stopped in, and removes what it
// left. The tree has to be locked. The folders where that fails are stuck: they
// are to be left alone, and must not keep the others from being renewed, as a
// service account may put into its own folder what it likes.
func (t *Tree) settle() (stuck map[folder]error, err error) {
	if err := errors.Join(t.disk.Sweep(t.dir), t.disk.Sweep(t.pluginsDir())); err != nil {
		return nil, err
	}
	folders, err := t.folders()
	if err != nil {
		return nil, err
	}
	stuck = map[folder]error{}
	for _, f := range folders {
		err := t.disk.Sweep(f.dir)
		if err == nil {
			err = t.settleNext(f)
		}
		if err == nil {
			continue
		}
		err = fmt.Errorf("completing the new pair of the %s: %w", f.label(), err)
		if f.role == RoleCA {
			return nil, err // nothing works without it
		}
		stuck[f] = err
	}
	return stuck, nil
}

// joined returns the errors of the folders that are stuck, in order.
func joined(stuck map[folder]error) error {
	var errs []error
	for _, f := range slices.SortedFunc(maps.Keys(stuck), func(a, b folder) int { return strings.Compare(a.dir, b.dir) }) {
		errs = append(errs, stuck[f])
	}
	return errors.Join(errs...)
}

func (t *Tree) settleNext(f folder) error {
	if !exists(f.nextDir()) {
		return nil
	}
	next := t.readPair(f.next())
	if next.usable() {
		return t.promote(f)
	}
	// It is not one of ours: those appear complete. While the pair outside
	// works, it is rubbish.
	if current := t.readPair(f); current.usable() {
		return t.disk.RemoveAll(f.nextDir())
	}
	return fmt.Errorf("%s holds no complete pair: move it away", f.nextDir())
}

// promote puts the pair of .next/ into place: copies, so that a reader finds
// a complete pair at each moment, here or there.
func (t *Tree) promote(f folder) error {
	key, err := keyfile.ReadFile(f.next().keyFile())
	if err != nil {
		return err
	}
	cert, err := keyfile.ReadFile(f.next().certFile())
	if err != nil {
		return err
	}
	if err := t.disk.WriteFile(f.keyFile(), key, keyMode); err != nil {
		return err
	}
	if err := t.disk.WriteFile(f.certFile(), cert, certMode); err != nil {
		return err
	}
	return t.disk.RemoveAll(f.nextDir())
}

// A pair is what a folder is to hold, encoded.
type pair struct {
	key, cert []byte
	ca        []byte // ca.crt of a leaf
}

// install puts a first pair into f: the folder appears complete, with all its
// files, or not at all. A folder that already holds something else keeps it.
func (t *Tree) install(f folder, p pair) error {
	if err := t.disk.Mkdir(filepath.Dir(f.dir), dirMode); err != nil {
		return err
	}
	if entries, err := os.ReadDir(f.dir); err == nil && len(entries) > 0 {
		return t.replace(f, p)
	}
	tmp, err := t.disk.TempDir(f.dir, dirMode)
	if err != nil {
		return err
	}
	if err := t.fill(f.at(tmp), p); err != nil {
		_ = t.disk.RemoveAll(tmp) // else the next run does it
		return err
	}
	return t.disk.Rename(tmp, f.dir)
}

// fill writes all files of a new folder.
func (t *Tree) fill(f folder, p pair) error {
	if err := t.disk.WriteFile(f.keyFile(), p.key, keyMode); err != nil {
		return err
	}
	if err := t.disk.WriteFile(f.certFile(), p.cert, certMode); err != nil {
		return err
	}
	if f.role == RoleGateway {
		if err := t.disk.WriteFile(f.pemFile(), joinPEM(p.cert, p.key), keyMode); err != nil {
			return err
		}
	}
	if p.ca == nil {
		return nil
	}
	return t.disk.WriteFile(f.copyFile(), p.ca, certMode)
}

// replace gives f another key and certificate.
func (t *Tree) replace(f folder, p pair) error {
	tmp, err := t.disk.TempDir(f.nextDir(), dirMode)
	if err != nil {
		return err
	}
	write := func() error {
		// Who reads the present pair has to be able to read this one.
		if err := t.disk.WriteFileLike(f.at(tmp).keyFile(), f.keyFile(), p.key, keyMode); err != nil {
			return err
		}
		return t.disk.WriteFileLike(f.at(tmp).certFile(), f.certFile(), p.cert, certMode)
	}
	if err := write(); err != nil {
		_ = t.disk.RemoveAll(tmp) // else the next run does it
		return err
	}
	if err := t.disk.Rename(tmp, f.nextDir()); err != nil {
		return err
	}
	return t.promote(f)
}

// derive makes what can be made from other files of the tree: ca.crt copies
// and client.pem, when missing or when what they are made from has changed. It
// returns the paths that it wrote.
func (t *Tree) derive(s, ca *state) ([]string, error) {
	if s.role == RoleCA || !s.usable() {
		return nil, nil
	}
	var wrote []string
	data, err := t.copyFor(s, ca)
	if err != nil {
		return nil, err
	}
	if data != nil {
		if err := t.disk.WriteFile(s.copyFile(), data, certMode); err != nil {
			return wrote, err
		}
		wrote = append(wrote, s.copyFile())
	}
	if s.pem == pemMissing || s.pem == pemStale {
		data, err := pemOf(s.folder)
		if err != nil {
			return wrote, fmt.Errorf("making client.pem: %w", err)
		}
		like := s.pemFile()
		if s.pem == pemMissing {
			like = s.keyFile()
		}
		if err := t.disk.WriteFileLike(s.pemFile(), like, data, keyMode); err != nil {
			return wrote, err
		}
		wrote = append(wrote, s.pemFile())
	}
	return wrote, nil
}

// copyFor is what the leaf's ca.crt should hold, nil when it is to stay.
func (t *Tree) copyFor(s, ca *state) ([]byte, error) {
	if ca.cert == nil {
		return nil, nil
	}
	switch s.copyState(ca) {
	case copyMissing:
		// With the copy of a CA that did not sign it, the leaf would look
		// right and not work.
		if !signedBy(s.bundle, ca.bundle) {
			return nil, nil
		}
	case copyStale:
		if fresh := refreshed(s.copied, ca.cert); len(fresh) > 1 {
			return encodeCerts(fresh...), nil
		}
	default:
		return nil, nil
	}
	return keyfile.ReadFile(ca.certFile())
}

// encode makes the files of a pair. The password, if any, encrypts the key.
func (t *Tree) encode(key crypto.Signer, cert *x509.Certificate, encrypt bool) (pair, error) {
	var password []byte
	if encrypt {
		password = t.password
	}
	data, err := keyfile.MarshalKey(key, password)
	if err != nil {
		return pair{}, err
	}
	return pair{key: data, cert: encodeCerts(cert)}, nil
}
