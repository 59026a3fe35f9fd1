package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/pki"
)

func newCertsRenew(a *app) *cobra.Command {
	f := &certsFlags{app: a}
	var r pki.Renewal
	cmd := &cobra.Command{
		Use:   "renew [NAME...]",
		Short: "Reissue what is due, without deleting anything first",
		Long: `Reissues each certificate that is due: less than a third of its lifetime left,
or less than --within days. Subject, names, lifetime and key stay as they are,
and each certificate is replaced in one step, so that servers never find a half
pair. NAME is a plugin's name, "ca" or "gateway"; without any, all are looked at.

The CA goes first when it is due, or when one that is due would outlive it. It
keeps its key and name: certificates that it signed before stay valid. The
ca.crt copies of the tree follow. Every other host needs the new files: the
output says which.

--rekey also makes new private keys, for all leaves that are due or named. It
also repairs a named one whose key or certificate was lost.`,
		Example: `  sallyport certs renew
  sallyport certs renew --within 30
  sallyport certs renew MyPlugin --san ip:127.0.0.1
  sallyport certs renew MyPlugin --rekey`,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Names, r.Within, r.Encrypt = args, f.within, f.encrypt
			if err := f.renewal(cmd, &r); err != nil {
				return err
			}
			t, done, err := f.tree()
			if err != nil {
				return err
			}
			err = t.Renew(cmd.Context(), r)
			done()
			return a.failed(cmd, err)
		},
	}
	f.addDir(cmd)
	f.addPassword(cmd)
	f.addSANs(cmd)
	f.addWithin(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&r.Force, "force", false, "reissue also what is not due")
	flags.BoolVar(&r.Rekey, "rekey", false, "make new private keys, too (never the CA's)")
	flags.IntVar(&f.days, "days", 0, "lifetime of the new certificates (MCP_CERT_DAYS; default: that of the old)")
	flags.IntVar(&f.caDays, "ca-days", 0, "lifetime of the CA's new certificate (MCP_CA_DAYS; default: that of the old)")
	flags.StringVar(&f.keyType, "key-type", "", "with --rekey: type of the new keys (default: that of the old)")
	flags.BoolVar(&f.encrypt, "encrypt", false, "with --rekey: encrypt the new keys (they are anyway when the old ones were)")
	return cmd
}

// renewal reads flags and environment into r.
func (f *certsFlags) renewal(cmd *cobra.Command, r *pki.Renewal) (err error) {
	if err := f.checkWithin(cmd); err != nil {
		return err
	}
	if r.Days, err = dayCount(cmd, "days", f.days, "MCP_CERT_DAYS"); err != nil {
		return err
	}
	if r.CADays, err = dayCount(cmd, "ca-days", f.caDays, "MCP_CA_DAYS"); err != nil {
		return err
	}
	if r.SANs, err = f.extraSANs(cmd); err != nil {
		return err
	}
	if f.keyType != "" {
		if r.KeyType, err = pki.ParseKeyType(f.keyType); err != nil {
			return usageError("--key-type: %w", err)
		}
	}
	if !r.Rekey && (f.keyType != "" || f.encrypt) {
		return hint.Add(&exitError{exitUsage, errors.New("--key-type and --encrypt are about new keys")}, "add --rekey")
	}
	return nil
}
