package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/pki"
)

// Exit codes of certs check beyond the common ones.
const (
	exitBroken  = 3
	exitExpired = 4
)

func newCertsCheck(a *app) *cobra.Command {
	f := &certsFlags{app: a}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Show when each certificate expires, and what is wrong",
		Long: `Shows the expiry date of each certificate and the days left, then what is wrong
and what to do about it, then the SHA-256 fingerprint of each copy of the CA's
certificate: those of all hosts have to be the same.

Exit codes: 0 all is well · 1 something should be renewed · 3 something is
unreadable, half missing or broken, a private key can be read by others, or
there is no certificate at all · 4 something has expired. The highest applies.`,
		Example: `  sallyport certs check
  sallyport certs check --within 30 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.checkWithin(cmd); err != nil {
				return err
			}
			t, done, err := f.tree()
			if err != nil {
				return err
			}
			defer done()
			report, err := t.Check(f.within)
			if err != nil {
				return fmt.Errorf("certs check: %w", err)
			}
			if f.json {
				err = printJSON(a.stdout, report)
			} else {
				_, err = io.WriteString(a.stdout, checkText(report))
			}
			if err != nil {
				return err
			}
			return statusExit(report.Status)
		},
	}
	f.addDir(cmd)
	f.addReading(cmd)
	return cmd
}

// statusExit is the exit code that stands for a status.
func statusExit(s pki.Status) error {
	switch s {
	case pki.StatusDue:
		return &exitError{code: exitFailed}
	case pki.StatusBroken:
		return &exitError{code: exitBroken}
	case pki.StatusExpired:
		return &exitError{code: exitExpired}
	default:
		return nil
	}
}

func printJSON(w io.Writer, v any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(logs.PrintableJSON(b.Bytes()))
	return err
}

// opensslDate is how openssl, and so the guide, prints a date.
const opensslDate = "Jan _2 15:04:05 2006 GMT"

func checkText(r *pki.Report) string {
	var b strings.Builder
	b.WriteString("Checking MCP certificate expiry dates...\n")
	section := func(title, indent string, role pki.Role, label func(pki.Certificate) string) {
		fmt.Fprintf(&b, "\n%s:\n", title)
		none := true
		for _, c := range r.Certificates {
			if c.Role == role {
				none = false
				fmt.Fprintf(&b, "%s%s: %s\n", indent, logs.Printable(label(c)), expiry(c))
			}
		}
		if none {
			b.WriteString(indent + "not here\n")
		}
	}
	expires := func(pki.Certificate) string { return "Expires" }
	section("CA Certificate", "  ", pki.RoleCA, expires)
	if !r.CAKey && hasRole(r, pki.RoleCA) {
		b.WriteString("  Private key: not here\n")
	}
	section("Gateway Client Certificate", "  ", pki.RoleGateway, expires)
	section("Plugin Certificates", "  ", pki.RolePlugin, func(c pki.Certificate) string { return c.Name })
	problems(&b, r)
	copies(&b, r)
	return b.String()
}

func hasRole(r *pki.Report, role pki.Role) bool {
	for _, c := range r.Certificates {
		if c.Role == role {
			return true
		}
	}
	return false
}

func expiry(c pki.Certificate) string {
	if c.NotAfter.IsZero() {
		return "unreadable"
	}
	text := c.NotAfter.Format(opensslDate)
	switch {
	case c.Status == pki.StatusExpired:
		return text + " (expired)"
	case c.DaysLeft == 1:
		return text + " (1 day left)"
	default:
		return fmt.Sprintf("%s (%d days left)", text, c.DaysLeft)
	}
}

func problems(b *strings.Builder, r *pki.Report) {
	var all []pki.Problem
	all = append(all, r.Problems...)
	for _, c := range r.Certificates {
		all = append(all, c.Problems...)
	}
	if len(all) == 0 {
		b.WriteString("\nProblems: none\n")
		return
	}
	b.WriteString("\nProblems:\n")
	for _, p := range all {
		status := string(p.Status())
		if p.Status() == pki.StatusOK {
			status = "note" // it works nevertheless
		}
		fmt.Fprintf(b, "  %s: %s: %s\n", status, logs.Printable(p.Path()), logs.Printable(p.Message))
		if p.Hint != "" {
			fmt.Fprintf(b, "    hint: %s\n", logs.Printable(p.Hint))
		}
	}
}

func copies(b *strings.Builder, r *pki.Report) {
	if len(r.Copies) == 0 {
		return
	}
	b.WriteString("\nCopies of the CA's certificate (SHA-256):\n")
	for _, c := range r.Copies {
		fmt.Fprintf(b, "  %s  %s\n", c.SHA256, c.Path)
	}
}
