// Package kubernetes holds only tests: it decodes the manifests of
// deploy/kubernetes strictly into the API's own types and checks what no type
// can: that names, ports, modes and lifetimes agree with each other. It is a
// module of its own so that nothing of Kubernetes is in the product's graph.
package kubernetes

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	root      = "../.."
	manifests = root + "/deploy/kubernetes"
)

// set is every object of the manifests, by kind.
type set struct {
	namespaces  []*core.Namespace
	issuers     []*certmanager.Issuer
	certs       []*certmanager.Certificate
	configMaps  []*core.ConfigMap
	deployments []*apps.Deployment
	jobs        []*batch.Job
	services    []*core.Service
	policies    []*networking.NetworkPolicy
	accounts    []*core.ServiceAccount
	roles       []*rbac.Role
	bindings    []*rbac.RoleBinding
	budgets     []*policy.PodDisruptionBudget
	all         []meta.Object
}

// decoders maps apiVersion and kind to the strict decoder of that type.
var decoders = map[string]func(*set, []byte) error{
	"v1 Namespace":                                  decode(func(s *set) *[]*core.Namespace { return &s.namespaces }),
	"cert-manager.io/v1 Issuer":                     decode(func(s *set) *[]*certmanager.Issuer { return &s.issuers }),
	"cert-manager.io/v1 Certificate":                decode(func(s *set) *[]*certmanager.Certificate { return &s.certs }),
	"v1 ConfigMap":                                  decode(func(s *set) *[]*core.ConfigMap { return &s.configMaps }),
	"apps/v1 Deployment":                            decode(func(s *set) *[]*apps.Deployment { return &s.deployments }),
	"batch/v1 Job":                                  decode(func(s *set) *[]*batch.Job { return &s.jobs }),
	"v1 Service":                                    decode(func(s *set) *[]*core.Service { return &s.services }),
	"networking.k8s.io/v1 NetworkPolicy":            decode(func(s *set) *[]*networking.NetworkPolicy { return &s.policies }),
	"v1 ServiceAccount":                             decode(func(s *set) *[]*core.ServiceAccount { return &s.accounts }),
	"rbac.authorization.k8s.io/v1 Role":             decode(func(s *set) *[]*rbac.Role { return &s.roles }),
	"rbac.authorization.k8s.io/v1 RoleBinding":      decode(func(s *set) *[]*rbac.RoleBinding { return &s.bindings }),
	"policy/v1 PodDisruptionBudget":                 decode(func(s *set) *[]*policy.PodDisruptionBudget { return &s.budgets }),
	"kustomize.config.k8s.io/v1beta1 Kustomization": func(*set, []byte) error { return nil }, // TestKustomizationsListEveryFile
}

// decode appends a document to the list of its kind. Unknown and repeated
// fields are errors.
func decode[T any, P interface {
	*T
	meta.Object
}](list func(*set) *[]P) func(*set, []byte) error {
	return func(s *set, doc []byte) error {
		object := P(new(T))
		if err := yaml.UnmarshalStrict(doc, object); err != nil {
			return err
		}
		*list(s) = append(*list(s), object)
		s.all = append(s.all, object)
		return nil
	}
}

// files returns the text of every manifest by its path below deploy/kubernetes.
func files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.yaml", "*/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join(manifests, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(manifests, path)
			out[filepath.ToSlash(name)] = string(text)
		}
	}
	if len(out) == 0 {
		t.Fatalf("no manifests in %s", manifests)
	}
	return out
}

// parse decodes every document of the files.
func parse(texts map[string]string) (*set, error) {
	s := &set{}
	var errs []error
	for name, text := range texts {
		reader := kyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(text)))
		for {
			doc, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				break
			}
			var kind meta.TypeMeta
			if err := yaml.Unmarshal(doc, &kind); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", name, err))
				continue
			}
			decoder, ok := decoders[kind.APIVersion+" "+kind.Kind]
			if !ok {
				errs = append(errs, fmt.Errorf("%s: unknown kind %s %s", name, kind.APIVersion, kind.Kind))
				continue
			}
			if err := decoder(s, bytes.TrimSpace(doc)); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", name, kind.Kind, err))
			}
		}
	}
	return s, errors.Join(errs...)
}

func TestManifestsDecodeStrictlyAndAgree(t *testing.T) {
	s, err := parse(files(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.certs) < 3 || len(s.deployments) == 0 || len(s.jobs) == 0 || len(s.roles) == 0 || len(s.policies) == 0 {
		t.Fatalf("too little to check: %d certificates, %d deployments, %d jobs, %d roles, %d policies",
			len(s.certs), len(s.deployments), len(s.jobs), len(s.roles), len(s.policies))
	}
	for _, problem := range s.problems() {
		t.Error(problem)
	}
}

func TestKustomizationsListEveryFile(t *testing.T) {
	texts := files(t)
	for _, dir := range []string{"", "check/"} {
		var k struct {
			APIVersion string   `json:"apiVersion"`
			Kind       string   `json:"kind"`
			Resources  []string `json:"resources"`
			Images     []struct {
				Name    string `json:"name"`
				NewName string `json:"newName"`
				NewTag  string `json:"newTag"`
			} `json:"images"`
		}
		if err := yaml.UnmarshalStrict([]byte(texts[dir+"kustomization.yaml"]), &k); err != nil {
			t.Fatalf("%skustomization.yaml: %v", dir, err)
		}
		for name := range texts {
			base, ok := strings.CutPrefix(name, dir)
			if ok && !strings.Contains(base, "/") && base != "kustomization.yaml" && !slices.Contains(k.Resources, base) {
				t.Errorf("%skustomization.yaml does not list %s", dir, base)
			}
		}
		for _, base := range k.Resources {
			if _, ok := texts[dir+base]; !ok {
				t.Errorf("%skustomization.yaml lists %s, which is not there", dir, base)
			}
		}
		if len(k.Images) != 1 || k.Images[0].Name != "sallyport" {
			t.Errorf("%skustomization.yaml does not let the image be set: %+v", dir, k.Images)
		}
	}
}
