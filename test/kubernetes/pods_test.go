package kubernetes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// trustBundle is the one object that people make and not the manifests.
const trustBundle = "mcp-ca-bundle"

// user is who the image runs as; the Dockerfile says the same.
const user = 65532

func find[P meta.Object](list []P, name string) (none P) {
	for _, object := range list {
		if object.GetName() == name {
			return object
		}
	}
	return none
}

func (s *set) hasConfigMap(name string) bool {
	return name == trustBundle || find(s.configMaps, name) != nil
}

// workload is anything that makes pods.
type workload struct {
	name     string
	template *core.PodTemplateSpec
}

func (s *set) workloads() []workload {
	var out []workload
	for _, d := range s.deployments {
		out = append(out, workload{"deployment " + d.Name, &d.Spec.Template})
	}
	for _, j := range s.jobs {
		out = append(out, workload{"job " + j.Name, &j.Spec.Template})
	}
	return out
}

// pluginFile is what of a plugin file the manifests must agree with.
type pluginFile struct {
	Plugins []struct {
		Name string `json:"name"`
		MCP  struct {
			URL string   `json:"url"`
			TLS tlsFiles `json:"tls"`
		} `json:"mcp"`
	} `json:"plugins"`
	Server struct {
		Port int32    `json:"port"`
		TLS  tlsFiles `json:"tls"`
	} `json:"server_settings"`
}

type tlsFiles struct {
	CertFile string `json:"certfile"`
	KeyFile  string `json:"keyfile"`
	CABundle string `json:"ca_bundle"`
	CertReqs int    `json:"ssl_cert_reqs"`
}

// config returns the plugin file that a pod mounts.
func (s *set) config(w workload) (file pluginFile, text string, err error) {
	for _, v := range w.template.Spec.Volumes {
		if v.ConfigMap == nil || v.ConfigMap.Name == trustBundle {
			continue
		}
		m := find(s.configMaps, v.ConfigMap.Name)
		if m == nil {
			return file, "", fmt.Errorf("%s: configmap %s does not exist", w.name, v.ConfigMap.Name)
		}
		text = m.Data["config.yaml"]
		return file, text, yaml.Unmarshal([]byte(text), &file)
	}
	return file, "", fmt.Errorf("%s mounts no plugin file", w.name)
}

func (s *set) checkPod(w workload, report reporter) {
	spec := &w.template.Spec
	sec := spec.SecurityContext
	if sec == nil || sec.RunAsNonRoot == nil || !*sec.RunAsNonRoot || sec.RunAsUser == nil || *sec.RunAsUser != user {
		report("%s does not run as user %d", w.name, user)
	}
	if sec == nil || sec.FSGroup == nil || *sec.FSGroup != user {
		report("%s has no fsGroup %d: it could not read a key of mode 0440", w.name, user)
	}
	if spec.AutomountServiceAccountToken == nil || *spec.AutomountServiceAccountToken {
		report("%s mounts an API token", w.name)
	}
	if find(s.accounts, spec.ServiceAccountName) == nil {
		report("%s: service account %q does not exist", w.name, spec.ServiceAccountName)
	}
	for _, v := range spec.Volumes {
		s.checkVolume(w, v, report)
	}
	for _, c := range spec.Containers {
		checkContainer(w, c, report)
	}
	file, _, err := s.config(w)
	if err != nil {
		report("%v", err)
		return
	}
	for _, tls := range append([]tlsFiles{file.Server.TLS}, clientTLS(file)...) {
		if tls == (tlsFiles{}) {
			continue
		}
		for _, f := range []string{tls.CertFile, tls.KeyFile} {
			if v := mounted(spec, f); v == nil || v.Secret == nil || !hasItem(v.Secret.Items, path.Base(f)) {
				report("%s: %s is not a mounted key of a secret", w.name, f)
			}
		}
		if v := mounted(spec, tls.CABundle); v == nil || v.ConfigMap == nil || v.ConfigMap.Name != trustBundle {
			report("%s: ca_bundle %s is not the trust bundle %s", w.name, tls.CABundle, trustBundle)
		}
	}
}

func clientTLS(file pluginFile) (out []tlsFiles) {
	for _, p := range file.Plugins {
		out = append(out, p.MCP.TLS)
	}
	return out
}

func hasItem(items []core.KeyToPath, name string) bool {
	return slices.ContainsFunc(items, func(i core.KeyToPath) bool { return i.Path == name })
}

// mounted returns the volume whose mount holds a file.
func mounted(spec *core.PodSpec, file string) *core.Volume {
	for _, c := range spec.Containers {
		for _, m := range c.VolumeMounts {
			if m.MountPath != path.Dir(file) {
				continue
			}
			for i := range spec.Volumes {
				if spec.Volumes[i].Name == m.Name {
					return &spec.Volumes[i]
				}
			}
		}
	}
	return nil
}

func (s *set) checkVolume(w workload, v core.Volume, report reporter) {
	switch {
	case v.ConfigMap != nil:
		if !s.hasConfigMap(v.ConfigMap.Name) {
			report("%s: configmap %s does not exist", w.name, v.ConfigMap.Name)
		}
	case v.Secret != nil:
		if s.leaf(v.Secret.SecretName) == nil {
			report("%s: secret %s is filled by no leaf certificate", w.name, v.Secret.SecretName)
		}
		if v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440 {
			report("%s: volume %s does not have defaultMode 0440", w.name, v.Name)
		}
		var keys []string
		for _, i := range v.Secret.Items {
			keys = append(keys, i.Key)
		}
		if !slices.Equal(keys, []string{"tls.crt", "tls.key"}) {
			report("%s: volume %s mounts keys %v of the secret, want tls.crt and tls.key: its ca.crt is not a source of trust", w.name, v.Name, keys)
		}
	default:
		report("%s: volume %s is neither a secret nor a configmap", w.name, v.Name)
	}
}

func checkContainer(w workload, c core.Container, report reporter) {
	sec := c.SecurityContext
	if sec == nil || sec.AllowPrivilegeEscalation == nil || *sec.AllowPrivilegeEscalation ||
		sec.ReadOnlyRootFilesystem == nil || !*sec.ReadOnlyRootFilesystem ||
		sec.Capabilities == nil || !slices.Equal(sec.Capabilities.Drop, []core.Capability{"ALL"}) {
		report("%s: container %s has more rights than it needs", w.name, c.Name)
	}
	if c.Image != "sallyport:latest" {
		report("%s: image %s is not the one that kustomization.yaml sets", w.name, c.Image)
	}
	for _, m := range c.VolumeMounts {
		if m.SubPath != "" || !m.ReadOnly {
			report("%s: mount %s: a subPath is never updated, and nothing is written", w.name, m.Name)
		}
	}
	if env(c, "PLUGINS_REQUIRE_TLS") != "true" {
		report("%s: container %s may speak plain HTTP", w.name, c.Name)
	}
}

func env(c core.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

func (s *set) checkServer(d *apps.Deployment, report reporter) {
	w := workload{"deployment " + d.Name, &d.Spec.Template}
	file, text, err := s.config(w)
	if err != nil {
		return // checkPod says it
	}
	sum := sha256.Sum256([]byte(text))
	if got, want := d.Spec.Template.Annotations["checksum/config"], hex.EncodeToString(sum[:]); got != want {
		report("%s: checksum/config is %s, want %s", w.name, got, want)
	}
	if file.Server.TLS.CertReqs != 2 {
		report("%s: ssl_cert_reqs %d does not require client certificates", w.name, file.Server.TLS.CertReqs)
	}
	c := d.Spec.Template.Spec.Containers[0]
	if env(c, "PLUGINS_SERVER_HEALTH_HOST") != "0.0.0.0" {
		report("%s: the kubelet cannot reach a health port on loopback", w.name)
	}
	s.checkPorts(w, c, file.Server.Port, report)
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Secret != nil && d.Annotations["secret.reloader.stakater.com/reload"] != v.Secret.SecretName {
			report("%s: is not restarted when secret %s changes", w.name, v.Secret.SecretName)
		}
	}
	if d.Annotations["configmap.reloader.stakater.com/reload"] != trustBundle {
		report("%s: is not restarted when the trust bundle changes", w.name)
	}
	if !labels.SelectorFromSet(d.Spec.Selector.MatchLabels).Matches(labels.Set(d.Spec.Template.Labels)) {
		report("%s: its selector does not match its own pods", w.name)
	}
	s.checkServices(d, file, report)
}

func (s *set) checkPorts(w workload, c core.Container, main int32, report reporter) {
	ports := map[string]int32{}
	for _, p := range c.Ports {
		ports[p.Name] = p.ContainerPort
	}
	if ports["mcp"] != main || ports["health"] != main+1000 {
		report("%s: container ports %v, but the server listens on %d and %d", w.name, ports, main, main+1000)
	}
	for kind, probe := range map[string]*core.Probe{"startup": c.StartupProbe, "liveness": c.LivenessProbe, "readiness": c.ReadinessProbe} {
		if probe == nil || probe.HTTPGet == nil {
			report("%s: no %s probe", w.name, kind)
			continue
		}
		port := probe.HTTPGet.Port.IntVal
		if probe.HTTPGet.Port.StrVal != "" {
			port = ports[probe.HTTPGet.Port.StrVal]
		}
		if port != main+1000 {
			report("%s: the %s probe asks port %s, health is on %d", w.name, kind, probe.HTTPGet.Port.String(), main+1000)
		}
		want := map[bool]string{true: "/readyz", false: "/livez"}[kind == "readiness"]
		if probe.HTTPGet.Path != want || probe.HTTPGet.Scheme == core.URISchemeHTTPS {
			report("%s: the %s probe asks %s, want plain %s", w.name, kind, probe.HTTPGet.Path, want)
		}
	}
}

// checkServices wants a Service for the deployment, whose every name is in the
// certificate that the deployment mounts.
func (s *set) checkServices(d *apps.Deployment, file pluginFile, report reporter) {
	found := false
	pod := labels.Set(d.Spec.Template.Labels)
	for _, svc := range s.services {
		if !labels.SelectorFromSet(svc.Spec.Selector).Matches(pod) {
			continue
		}
		found = true
		for _, p := range svc.Spec.Ports {
			if p.Port != file.Server.Port || p.TargetPort.String() != "mcp" {
				report("service %s: port %d to %s, want %d to mcp", svc.Name, p.Port, p.TargetPort.String(), file.Server.Port)
			}
		}
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.Secret == nil || s.leaf(v.Secret.SecretName) == nil {
				continue
			}
			leaf := s.leaf(v.Secret.SecretName)
			for _, suffix := range []string{"", "." + svc.Namespace, "." + svc.Namespace + ".svc", "." + svc.Namespace + ".svc.cluster.local"} {
				if !slices.Contains(leaf.Spec.DNSNames, svc.Name+suffix) {
					report("certificate %s lacks the service's name %s", leaf.Name, svc.Name+suffix)
				}
			}
			for _, p := range file.Plugins {
				if leaf.Spec.CommonName != "mcp-plugin-"+p.Name {
					report("deployment %s serves %s with the certificate of %s", d.Name, p.Name, leaf.Spec.CommonName)
				}
			}
		}
	}
	if !found {
		report("deployment %s: no service selects its pods", d.Name)
	}
	for _, b := range s.budgets {
		if !labels.SelectorFromSet(b.Spec.Selector.MatchLabels).Matches(pod) {
			report("poddisruptionbudget %s selects no pods", b.Name)
		}
	}
}

// checkClient wants the URLs of the gateway's side to be a Service that the
// manifests have, under a name that the server's certificate has.
func (s *set) checkClient(j *batch.Job, report reporter) {
	w := workload{"job " + j.Name, &j.Spec.Template}
	file, _, err := s.config(w)
	if err != nil {
		return // checkPod says it
	}
	for _, p := range file.Plugins {
		u, err := url.Parse(p.MCP.URL)
		if err != nil || u.Scheme != "https" {
			report("%s: url %q is not https", w.name, p.MCP.URL)
			continue
		}
		name, _, _ := strings.Cut(u.Hostname(), ".")
		if svc := find(s.services, name); svc == nil || u.Port() != fmt.Sprint(svc.Spec.Ports[0].Port) {
			report("%s: url %s is no service's", w.name, p.MCP.URL)
		}
		if !slices.ContainsFunc(s.certs, func(c *certmanager.Certificate) bool {
			return c.Spec.CommonName == "mcp-plugin-"+p.Name && slices.Contains(c.Spec.DNSNames, u.Hostname())
		}) {
			report("%s: no certificate of %s holds %s", w.name, p.Name, u.Hostname())
		}
	}
}

func (s *set) checkPolicies(report reporter) {
	deny := false
	for _, p := range s.policies {
		all := len(p.Spec.PodSelector.MatchLabels)+len(p.Spec.PodSelector.MatchExpressions) == 0
		deny = deny || all && len(p.Spec.PolicyTypes) == 2 && len(p.Spec.Ingress)+len(p.Spec.Egress) == 0
	}
	if !deny {
		report("no policy denies by default")
	}
	for _, d := range s.deployments {
		file, _, err := s.config(workload{"deployment " + d.Name, &d.Spec.Template})
		if err != nil {
			continue
		}
		ingress := false
		for _, p := range s.policies {
			if len(p.Spec.PodSelector.MatchLabels) == 0 || !matches(&p.Spec.PodSelector, d.Spec.Template.Labels) {
				continue
			}
			for _, rule := range p.Spec.Ingress {
				ingress = true
				s.checkIngress(p.Name, rule, file.Server.Port, report)
			}
		}
		if !ingress {
			report("deployment %s: no policy lets the gateway in", d.Name)
		}
	}
}

func (s *set) checkIngress(name string, rule networking.NetworkPolicyIngressRule, main int32, report reporter) {
	if len(rule.Ports) != 1 || rule.Ports[0].Port == nil || rule.Ports[0].Port.IntVal != main {
		report("networkpolicy %s opens ports %v, want %d only", name, rule.Ports, main)
	}
	if len(rule.From) != 1 || rule.From[0].PodSelector == nil {
		report("networkpolicy %s lets in more than pods of the gateway", name)
		return
	}
	for _, j := range s.jobs {
		if !matches(rule.From[0].PodSelector, j.Spec.Template.Labels) {
			report("networkpolicy %s does not let in job %s", name, j.Name)
		}
		out := false
		for _, p := range s.policies {
			out = out || len(p.Spec.Egress) > 0 && matches(&p.Spec.PodSelector, j.Spec.Template.Labels)
		}
		if !out {
			report("no networkpolicy lets job %s out", j.Name)
		}
	}
}

func matches(selector *meta.LabelSelector, set map[string]string) bool {
	s, err := meta.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(labels.Set(set))
}
