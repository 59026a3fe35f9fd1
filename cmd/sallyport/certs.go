package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport-mcp/sallyport/internal/config"
	"github.com/sallyport-mcp/sallyport/internal/hint"
	"github.com/sallyport-mcp/sallyport/internal/logs"
	"github.com/sallyport-mcp/sallyport/internal/pki"
)

func newCerts(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "certs",
		Short: "Make, renew and inspect the certificates of gateway and plugin servers",
		Long: `The certificates of gateway and plugin servers, as the guide lays them out:

  certs/mcp/ca/              ca.key, ca.crt            the CA; its key signs, guard it
  certs/mcp/gateway/         client.key, client.crt    what the gateway shows to plugin servers
  certs/mcp/plugins/<Name>/  server.key, server.crt    what the plugin's server shows

Each folder of a leaf also holds ca.crt, a copy of the CA's certificate; the
gateway's holds client.pem, certificate and key in one file for curl --cert.
Nothing is ever overwritten: renew replaces what is due.`,
		Example: `  sallyport certs all
  sallyport certs check`,
		Args: unknownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newCertsAll(a), newCertsCA(a), newCertsGateway(a), newCertsPlugin(a),
		newCertsCheck(a), newCertsRenew(a), newCertsInspect(a),
	)
	return cmd
}

// certsFlags are the flags that the certs commands share.
type certsFlags struct {
	app *app

	dir          string
	config       string
	plugins      []string // the names that config holds
	days, caDays int
	profile      string
	keyType      string
	sans         []string
	trustDomain  string
	encrypt      bool
	passwordFile string
	within       int
	json         bool
}

const defaultPluginConfig = "plugins/external/config.yaml"

func (f *certsFlags) addDir(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.dir, "dir", pki.DefaultDir, "the folder of the certificates")
}

// addMaking adds what is common to the commands that make certificates.
func (f *certsFlags) addMaking(cmd *cobra.Command) {
	f.addDir(cmd)
	f.addPassword(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.profile, "profile", "guide", "defaults: guide (RSA 4096, 825 days) or modern (ECDSA P-256, 90 days, CA 5 years)")
	flags.StringVar(&f.keyType, "key-type", "", "type of new keys: "+keyTypes()+" (default: the profile's)")
	flags.IntVar(&f.caDays, "ca-days", 0, "how long a new CA is valid (MCP_CA_DAYS; default: the larger of the profile's and --days)")
	flags.BoolVar(&f.encrypt, "encrypt", false, "encrypt new keys with the password (PKCS#8, PBES2)")
}

func (f *certsFlags) addLeaf(cmd *cobra.Command) {
	f.addSANs(cmd)
	cmd.Flags().IntVar(&f.days, "days", 0, "how long new certificates are valid (MCP_CERT_DAYS; default: the profile's)")
	cmd.Flags().StringVar(&f.trustDomain, "trust-domain", pki.DefaultTrustDomain, "trust domain of the SPIFFE ids")
}

func (f *certsFlags) addSANs(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.sans, "san", nil, "one more name of the certificate: dns:…, ip:… or uri:…; may be repeated (MCP_CERT_SANS)")
}

func (f *certsFlags) addPassword(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.passwordFile, "password-file", "", "file with the password of private keys (else SALLYPORT_KEY_PASSWORD)")
}

// addReading adds what is common to the commands that only look.
func (f *certsFlags) addReading(cmd *cobra.Command) {
	f.addPassword(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	f.addWithin(cmd)
}

func (f *certsFlags) addWithin(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.within, "within", 0, "days before its end at which a certificate is due (default: a third of its lifetime)")
}

// checkWithin refuses a --within that means nothing.
func (f *certsFlags) checkWithin(cmd *cobra.Command) error {
	if cmd.Flags().Changed("within") && (f.within < 1 || f.within > pki.MaxDays) {
		return usageError("--within: %d days: at least 1, at most %d", f.within, pki.MaxDays)
	}
	return nil
}

func keyTypes() string {
	var names []string
	for _, k := range pki.KeyTypes() {
		names = append(names, string(k))
	}
	return strings.Join(names, ", ")
}

// request reads flags and environment into what is to be made.
func (f *certsFlags) request(cmd *cobra.Command) (pki.Request, error) {
	r := pki.Request{TrustDomain: f.trustDomain, Encrypt: f.encrypt}
	var err error
	if r.Profile, err = pki.ParseProfile(f.profile); err != nil {
		return r, usageError("--profile: %w", err)
	}
	if f.keyType != "" {
		if r.KeyType, err = pki.ParseKeyType(f.keyType); err != nil {
			return r, usageError("--key-type: %w", err)
		}
	}
	if r.Days, err = dayCount(cmd, "days", f.days, "MCP_CERT_DAYS"); err != nil {
		return r, err
	}
	if r.CADays, err = dayCount(cmd, "ca-days", f.caDays, "MCP_CA_DAYS"); err != nil {
		return r, err
	}
	if r.SANs, err = f.extraSANs(cmd); err != nil {
		return r, err
	}
	if f.trustDomain != "" {
		if err := pki.CheckTrustDomain(f.trustDomain); err != nil {
			return r, usageError("--trust-domain: %w", err)
		}
	}
	return r, nil
}

// sanSource is where the extra names come from.
func sanSource(cmd *cobra.Command) string {
	if cmd.Flags().Changed("san") {
		return "--san"
	}
	return "MCP_CERT_SANS"
}

// extraSANs are those of --san or, without it, of MCP_CERT_SANS.
func (f *certsFlags) extraSANs(cmd *cobra.Command) (pki.SANs, error) {
	flag := cmd.Flags().Lookup("san")
	if flag == nil {
		return pki.SANs{}, nil
	}
	items := f.sans
	if !flag.Changed {
		items = []string{os.Getenv("MCP_CERT_SANS")}
	}
	sans, err := pki.ParseSANs(items)
	if err != nil {
		return sans, usageError("%s: %w", sanSource(cmd), err)
	}
	return sans, nil
}

// dayCount is the value of a flag or, when it is not given, of an environment
// variable; 0 means neither.
func dayCount(cmd *cobra.Command, flag string, value int, env string) (int, error) {
	source := "--" + flag
	switch f := cmd.Flags().Lookup(flag); {
	case f == nil: // this command has no such flag, nor does it care about the variable
		return 0, nil
	case f.Changed:
	case os.Getenv(env) == "":
		return 0, nil
	default:
		source = env
		n, err := strconv.Atoi(strings.TrimSpace(os.Getenv(env)))
		if err != nil {
			return 0, usageError("%s: %q is not a number of days", env, os.Getenv(env))
		}
		value = n
	}
	if value < 1 || value > pki.MaxDays {
		return 0, usageError("%s: %d days: at least 1, at most %d", source, value, pki.MaxDays)
	}
	return value, nil
}

// password is that of the private keys; nil when there is none.
func (f *certsFlags) password() ([]byte, error) {
	if f.passwordFile != "" {
		password, err := config.NewSecret("@" + f.passwordFile).Resolve()
		if err != nil {
			return nil, fmt.Errorf("--password-file: %w", err)
		}
		return password, nil
	}
	password, err := config.NewSecret(os.Getenv("SALLYPORT_KEY_PASSWORD")).Resolve()
	if err != nil {
		return nil, fmt.Errorf("SALLYPORT_KEY_PASSWORD: %w", err)
	}
	return password, nil
}

// tree opens the tree, whose events are printed until done is called.
func (f *certsFlags) tree() (t *pki.Tree, done func(), err error) {
	password, err := f.password()
	if err != nil {
		return nil, nil, err
	}
	if f.encrypt && password == nil {
		return nil, nil, hint.Add(usageError("--encrypt: there is no password"), "give --password-file, or set SALLYPORT_KEY_PASSWORD")
	}
	if f.dir == "" {
		return nil, nil, usageError("--dir: it is empty")
	}
	p := newCertsPrinter(f.app)
	return pki.New(f.dir, &pki.Options{Password: password, Report: p.print, Waiting: p.waiting}), p.finish, nil
}

// failed reports each error of a run by itself, each hint once, and gives the
// exit code.
func (a *app) failed(cmd *cobra.Command, err error) error {
	if err == nil {
		return nil
	}
	doing := "certs " + cmd.Name()
	if errors.Is(err, pki.ErrIdentity) {
		return usageError("%s: %s: %w", doing, sanSource(cmd), err)
	}
	said := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		if list, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range list.Unwrap() {
				walk(one)
			}
			return
		}
		fmt.Fprintf(a.stderr, "sallyport: %s: %s\n", doing, logs.Printable(err.Error()))
		for _, h := range hint.Of(err) {
			if !said[h] {
				fmt.Fprintf(a.stderr, "sallyport: hint: %s\n", logs.Printable(h))
			}
			said[h] = true
		}
	}
	walk(err)
	return &exitError{code: exitFailed}
}
