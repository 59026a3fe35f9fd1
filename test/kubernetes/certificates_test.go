package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
)

// problems returns everything in the set that does not agree.
func (s *set) problems() []string {
	var out []string
	report := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, object := range s.all {
		if len(s.namespaces) != 1 {
			report("%d namespaces, want one", len(s.namespaces))
			break
		}
		if name := s.namespaces[0].Name; object.GetName() != name && object.GetNamespace() != name {
			report("%s is in namespace %q, want %q", object.GetName(), object.GetNamespace(), name)
		}
	}
	s.checkIssuers(report)
	for _, c := range s.certs {
		s.checkCertificate(c, report)
	}
	s.checkRoles(report)
	for _, w := range s.workloads() {
		s.checkPod(w, report)
	}
	for _, d := range s.deployments {
		s.checkServer(d, report)
	}
	for _, j := range s.jobs {
		s.checkClient(j, report)
	}
	s.checkPolicies(report)
	return out
}

type reporter func(format string, args ...any)

func (s *set) issuer(name string) *certmanager.Issuer {
	return find(s.issuers, name)
}

// leaf returns the leaf Certificate that fills a Secret.
func (s *set) leaf(secret string) *certmanager.Certificate {
	for _, c := range s.certs {
		if c.Spec.SecretName == secret && !c.Spec.IsCA {
			return c
		}
	}
	return nil
}

// ca returns the CA Certificate that fills a Secret.
func (s *set) ca(secret string) *certmanager.Certificate {
	for _, c := range s.certs {
		if c.Spec.SecretName == secret && c.Spec.IsCA {
			return c
		}
	}
	return nil
}

func (s *set) checkIssuers(report reporter) {
	for _, i := range s.issuers {
		switch {
		case i.Spec.SelfSigned != nil:
		case i.Spec.CA == nil:
			report("issuer %s is neither self-signed nor a CA", i.Name)
		case s.ca(i.Spec.CA.SecretName) == nil:
			report("issuer %s signs with secret %s, which no CA certificate fills", i.Name, i.Spec.CA.SecretName)
		}
	}
	secrets := map[string]string{}
	for _, c := range s.certs {
		if other := secrets[c.Spec.SecretName]; other != "" {
			report("certificates %s and %s fill the same secret %s", other, c.Name, c.Spec.SecretName)
		}
		secrets[c.Spec.SecretName] = c.Name
	}
}

func (s *set) checkCertificate(c *certmanager.Certificate, report reporter) {
	ref := c.Spec.IssuerRef
	issuer := s.issuer(ref.Name)
	if issuer == nil || ref.Kind != "Issuer" || ref.Group != "cert-manager.io" {
		report("certificate %s: issuer %s %s does not exist", c.Name, ref.Kind, ref.Name)
		return
	}
	if c.Spec.Duration == nil || c.Spec.RenewBefore == nil {
		report("certificate %s: duration and renewBefore must both be said", c.Name)
		return
	}
	life, before := c.Spec.Duration.Duration, c.Spec.RenewBefore.Duration
	if before <= 0 || before >= life {
		report("certificate %s: renewBefore %s is not below duration %s", c.Name, before, life)
	}
	if c.Spec.PrivateKey == nil {
		report("certificate %s: no privateKey", c.Name)
		return
	}
	if c.Spec.CommonName == "" || c.Spec.Subject == nil {
		report("certificate %s: no subject", c.Name)
	}
	if c.Spec.IsCA {
		s.checkCA(c, issuer, report)
		return
	}
	s.checkLeaf(c, issuer, life, report)
}

func (s *set) checkCA(c *certmanager.Certificate, issuer *certmanager.Issuer, report reporter) {
	if issuer.Spec.SelfSigned == nil {
		report("certificate %s: the CA is not signed by the self-signed issuer", c.Name)
	}
	if c.Spec.PrivateKey.RotationPolicy != certmanager.RotationPolicyNever {
		report("certificate %s: rotationPolicy %s would replace the CA's key", c.Name, c.Spec.PrivateKey.RotationPolicy)
	}
	want := []certmanager.KeyUsage{certmanager.UsageCertSign, certmanager.UsageCRLSign}
	if !slices.Equal(c.Spec.Usages, want) {
		report("certificate %s: usages %v, want %v", c.Name, c.Spec.Usages, want)
	}
}

// extended are the usages that are extended key usages here.
var extended = []certmanager.KeyUsage{certmanager.UsageClientAuth, certmanager.UsageServerAuth, certmanager.UsageAny}

func (s *set) checkLeaf(c *certmanager.Certificate, issuer *certmanager.Issuer, life time.Duration, report reporter) {
	if issuer.Spec.CA == nil {
		report("certificate %s: a leaf must be signed by the CA issuer, not %s", c.Name, issuer.Name)
	} else if ca := s.ca(issuer.Spec.CA.SecretName); ca != nil && ca.Spec.RenewBefore != nil && life > ca.Spec.RenewBefore.Duration {
		report("certificate %s: duration %s can outlive its CA, renewed %s before its end", c.Name, life, ca.Spec.RenewBefore.Duration)
	}
	if c.Spec.PrivateKey.RotationPolicy != certmanager.RotationPolicyAlways {
		report("certificate %s: rotationPolicy %q, want Always", c.Name, c.Spec.PrivateKey.RotationPolicy)
	}
	var ekus []certmanager.KeyUsage
	for _, u := range c.Spec.Usages {
		if slices.Contains(extended, u) {
			ekus = append(ekus, u)
		} else if u != certmanager.UsageDigitalSignature {
			report("certificate %s: usage %q", c.Name, u)
		}
	}
	if len(ekus) != 1 || !slices.Contains(c.Spec.Usages, certmanager.UsageDigitalSignature) {
		report("certificate %s: extended key usages %v, want exactly one", c.Name, ekus)
		return
	}
	switch plugin, isPlugin := strings.CutPrefix(c.Spec.CommonName, "mcp-plugin-"); {
	case isPlugin:
		s.wantNames(c, certmanager.UsageServerAuth, "spiffe://mcp.local/plugin/"+plugin, []string{plugin, c.Spec.CommonName, "localhost"}, report)
	case c.Spec.CommonName == "mcp-gateway-client":
		s.wantNames(c, certmanager.UsageClientAuth, "spiffe://mcp.local/gateway", []string{c.Spec.CommonName}, report)
	default:
		report("certificate %s: common name %s is neither a plugin's nor the gateway's", c.Name, c.Spec.CommonName)
	}
}

// wantNames compares a leaf with what `sallyport certs` gives that role.
func (s *set) wantNames(c *certmanager.Certificate, usage certmanager.KeyUsage, uri string, dns []string, report reporter) {
	if !slices.Contains(c.Spec.Usages, usage) {
		report("certificate %s: %s is not for %q", c.Name, c.Spec.CommonName, usage)
	}
	if !slices.Equal(c.Spec.URIs, []string{uri}) {
		report("certificate %s: uris %v, want %s", c.Name, c.Spec.URIs, uri)
	}
	for _, name := range dns {
		if !slices.Contains(c.Spec.DNSNames, name) {
			report("certificate %s: dnsNames %v lack %s", c.Name, c.Spec.DNSNames, name)
		}
	}
	for _, name := range c.Spec.DNSNames {
		if strings.HasPrefix(name, "mcp-plugin-") && name != c.Spec.CommonName {
			report("certificate %s: %s is another plugin's identity", c.Name, name)
		}
	}
}

func (s *set) checkRoles(report reporter) {
	for _, b := range s.bindings {
		if b.RoleRef.Kind != "Role" || find(s.roles, b.RoleRef.Name) == nil {
			report("rolebinding %s: role %s does not exist", b.Name, b.RoleRef.Name)
		}
	}
	for _, r := range s.roles {
		for _, rule := range r.Rules {
			if slices.Contains(rule.Resources, "secrets") {
				s.checkSecretRule(r.Name, rule.ResourceNames, rule.Verbs, report)
			}
			for _, name := range rule.ResourceNames {
				switch {
				case slices.Contains(rule.Resources, "deployments") && find(s.deployments, name) == nil:
					report("role %s: deployment %s does not exist", r.Name, name)
				case slices.Contains(rule.Resources, "configmaps") && !s.hasConfigMap(name):
					report("role %s: configmap %s does not exist", r.Name, name)
				}
			}
			if slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Resources, "*") {
				report("role %s: a wildcard", r.Name)
			}
		}
	}
}

func (s *set) checkSecretRule(role string, names, verbs []string, report reporter) {
	if !slices.Equal(verbs, []string{"get"}) {
		report("role %s: verbs %v on secrets, want get only: the others are not limited to names", role, verbs)
	}
	var leaves []string
	for _, c := range s.certs {
		if !c.Spec.IsCA {
			leaves = append(leaves, c.Spec.SecretName)
		}
	}
	slices.Sort(leaves)
	names = slices.Sorted(slices.Values(names))
	if !slices.Equal(names, leaves) {
		report("role %s: secrets %v, want those of the leaves: %v", role, names, leaves)
	}
}
