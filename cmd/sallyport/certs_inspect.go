package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/pki"
)

func newCertsInspect(a *app) *cobra.Command {
	f := &certsFlags{app: a}
	cmd := &cobra.Command{
		Use:   "inspect FILE",
		Short: "Say what is in a file: certificates, a bundle, a private key",
		Long: `Says what is in a PEM file: each certificate with its names, dates and uses,
and each private key with its type and the certificate of the file that it
belongs to. Nothing of a key itself is printed.

Exit codes: 0 all is well · 1 the file cannot be read, or a certificate should
be renewed · 3 a certificate is not valid yet, a key cannot be read, or can be
read by others · 4 a certificate has expired.`,
		Example: `  sallyport certs inspect certs/mcp/gateway/client.crt
  sallyport certs inspect certs/mcp/gateway/client.pem --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.checkWithin(cmd); err != nil {
				return err
			}
			t, done, err := f.tree()
			if err != nil {
				return err
			}
			defer done()
			found, err := t.Inspect(args[0], f.within)
			if err != nil {
				return fmt.Errorf("certs inspect: %w", err)
			}
			if f.json {
				err = printJSON(a.stdout, found)
			} else {
				_, err = io.WriteString(a.stdout, inspectText(found))
			}
			if err != nil {
				return err
			}
			return statusExit(found.Status)
		},
	}
	f.dir = pki.DefaultDir // not used, but a tree has one
	f.addReading(cmd)
	return cmd
}

func inspectText(r *pki.Inspection) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", logs.Printable(r.Path))
	for i, c := range r.Certificates {
		fmt.Fprintf(&b, "\nCertificate %d of %d:\n", i+1, len(r.Certificates))
		// The certificate may be anybody's: its names must not draw on the terminal.
		line := func(label, value string) { fmt.Fprintf(&b, "  %-11s %s\n", label+":", logs.Printable(value)) }
		line("Subject", c.Subject)
		line("Issuer", c.Issuer)
		line("Names", orNone(c.SANs.Strings()))
		line("Valid from", c.NotBefore.Format(opensslDate))
		line("Expires", expiry(pki.Certificate{Details: c.Details, Status: c.Status}))
		line("Key", string(c.KeyType)+", signed with "+c.Signature)
		line("Version", fmt.Sprint(c.Version))
		line("CA", map[bool]string{true: "yes", false: "no"}[c.IsCA])
		line("Key usage", orNone(c.KeyUsage))
		line("Extended", orNone(c.ExtKeyUsage))
		line("Serial", c.Serial)
		line("SHA-256", c.SHA256)
	}
	for _, k := range r.Keys {
		b.WriteString("\nPrivate key:\n")
		if k.KeyType != "" {
			fmt.Fprintf(&b, "  Type:       %s\n", k.KeyType)
		}
		fmt.Fprintf(&b, "  Encrypted:  %s\n", map[bool]string{true: "yes", false: "no"}[k.Encrypted])
		for _, i := range k.Matches {
			fmt.Fprintf(&b, "  Belongs to: certificate %d\n", i+1)
		}
		if k.KeyType != "" && len(k.Matches) == 0 && len(r.Certificates) > 0 {
			b.WriteString("  Belongs to: no certificate of this file\n")
		}
		if k.Problem != "" {
			fmt.Fprintf(&b, "  Problem:    %s\n", k.Problem)
		}
		if k.Hint != "" {
			fmt.Fprintf(&b, "    hint: %s\n", k.Hint)
		}
	}
	return b.String()
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}
