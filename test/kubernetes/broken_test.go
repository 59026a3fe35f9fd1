package kubernetes

import (
	"strings"
	"testing"
)

// TestEachCheckFindsItsFault breaks the manifests one way at a time: a check
// that cannot fail is none.
func TestEachCheckFindsItsFault(t *testing.T) {
	const ca, leaf, rbac, server, network, job = "ca.yaml", "certificates.yaml", "rbac.yaml", "plugin-server.yaml", "networkpolicy.yaml", "check/job.yaml"
	for name, c := range map[string]struct{ file, old, new, want string }{
		"unknown field of a core type":        {server, "enableServiceLinks: false", "enableServiceLink: false", `unknown field "enableServiceLink"`},
		"unknown field of a certificate":      {leaf, "renewBefore: 720h", "renew_before: 720h", `unknown field "renew_before"`},
		"repeated field":                      {leaf, "duration: 2160h", "duration: 2160h\n  duration: 2160h", `"duration" already set`},
		"unknown kind":                        {ca, "kind: Issuer\nmetadata", "kind: Isuer\nmetadata", "unknown kind cert-manager.io/v1 Isuer"},
		"other namespace":                     {rbac, "namespace: sallyport", "namespace: default", `is in namespace "default"`},
		"issuer that is not there":            {leaf, "name: mcp-ca\n", "name: mcp-authority\n", "issuer Issuer mcp-authority does not exist"},
		"issuer signs with a leaf's secret":   {ca, "  ca:\n    secretName: mcp-ca", "  ca:\n    secretName: mcp-gateway-tls", "which no CA certificate fills"},
		"leaf signed by the bootstrap issuer": {leaf, "name: mcp-ca\n", "name: mcp-selfsigned\n", "a leaf must be signed by the CA issuer"},
		"two certificates, one secret":        {leaf, "secretName: mcp-gateway-tls", "secretName: mcp-plugin-replacebadwordsplugin-tls", "fill the same secret"},
		"renewBefore over duration":           {leaf, "renewBefore: 720h", "renewBefore: 2160h", "is not below duration"},
		"no renewBefore":                      {leaf, "  renewBefore: 720h\n", "", "duration and renewBefore must both be said"},
		"leaf outlives its CA":                {ca, "renewBefore: 8760h", "renewBefore: 720h", "can outlive its CA"},
		"CA key replaced":                     {ca, "rotationPolicy: Never", "rotationPolicy: Always", "would replace the CA's key"},
		"leaf key kept":                       {leaf, "rotationPolicy: Always", "rotationPolicy: Never", "want Always"},
		"CA with an EKU":                      {ca, "crl sign]", "crl sign, server auth]", "usages ["},
		"leaf for both roles":                 {leaf, "client auth]", "client auth, server auth]", "want exactly one"},
		"leaf without EKU":                    {leaf, ", client auth]", "]", "want exactly one"},
		"gateway as server":                   {leaf, "client auth]", "server auth]", `is not for "client auth"`},
		"key usage too many":                  {leaf, "[digital signature, client", "[digital signature, key encipherment, client", `usage "key encipherment"`},
		"another plugin's URI":                {leaf, "spiffe://mcp.local/plugin/Rep", "spiffe://mcp.local/plugin/rep", "uris ["},
		"plugin name missing":                 {leaf, "    - ReplaceBadWordsPlugin\n", "", "lack ReplaceBadWordsPlugin"},
		"another plugin's DNS name":           {leaf, "    - replace-bad-words\n", "    - mcp-plugin-replace\n", "is another plugin's identity"},
		"service name missing":                {leaf, "    - replace-bad-words.sallyport.svc\n", "", "lacks the service's name replace-bad-words.sallyport.svc"},
		"role may read the CA key":            {rbac, "resourceNames: [mcp-gateway-tls,", "resourceNames: [mcp-ca, mcp-gateway-tls,", "want those of the leaves"},
		"role without names":                  {rbac, "    resourceNames: [mcp-gateway-tls, mcp-plugin-replacebadwordsplugin-tls]\n", "", "want those of the leaves"},
		"role may list secrets":               {rbac, "verbs: [get]", "verbs: [get, list]", "want get only"},
		"role with a wildcard":                {rbac, "verbs: [get, list, watch]", "verbs: ['*']", "a wildcard"},
		"role names no deployment":            {rbac, "resourceNames: [replace-bad-words]", "resourceNames: [replace-words]", "deployment replace-words does not exist"},
		"role names no configmap":             {rbac, "resourceNames: [mcp-ca-bundle]", "resourceNames: [mcp-ca]", "configmap mcp-ca does not exist"},
		"binding without role":                {rbac, "kind: Role\n  name: mcp-operator", "kind: Role\n  name: mcp-operators", "role mcp-operators does not exist"},
		"secret that nobody fills":            {server, "secretName: mcp-plugin-replacebadwordsplugin-tls", "secretName: mcp-plugin-tls", "is filled by no leaf certificate"},
		"the CA's secret mounted":             {server, "secretName: mcp-plugin-replacebadwordsplugin-tls", "secretName: mcp-ca", "is filled by no leaf certificate"},
		"the gateway's certificate served":    {server, "secretName: mcp-plugin-replacebadwordsplugin-tls", "secretName: mcp-gateway-tls", "with the certificate of mcp-gateway-client"},
		"mode decimal 440":                    {server, "defaultMode: 0440", "defaultMode: 440", "does not have defaultMode 0440"},
		"key readable by all":                 {server, "defaultMode: 0440", "defaultMode: 0444", "does not have defaultMode 0440"},
		"no fsGroup":                          {server, "        fsGroup: 65532\n", "", "has no fsGroup"},
		"root":                                {server, "runAsNonRoot: true", "runAsNonRoot: false", "does not run as user"},
		"trust from the leaf's secret":        {server, "{key: tls.key, path: tls.key}", "{key: tls.key, path: tls.key}\n              - {key: ca.crt, path: ca.crt}", "is not a source of trust"},
		"bundle beside the certificate":       {server, "ca_bundle: /etc/sallyport/trust/ca.crt", "ca_bundle: /etc/sallyport/tls/ca.crt", "is not the trust bundle"},
		"key file not mounted":                {server, "keyfile: /etc/sallyport/tls/tls.key", "keyfile: /etc/sallyport/tls/server.key", "is not a mounted key"},
		"configmap that is not there":         {server, "            name: replace-bad-words\n        - name: tls", "            name: replace-words\n        - name: tls", "configmap replace-words does not exist"},
		"subPath":                             {server, "mountPath: /etc/sallyport/tls,", "mountPath: /etc/sallyport/tls, subPath: a,", "is never updated"},
		"API token":                           {server, "      automountServiceAccountToken: false\n", "", "mounts an API token"},
		"account that is not there":           {server, "serviceAccountName: plugin-server", "serviceAccountName: plugins", `service account "plugins" does not exist`},
		"writable root":                       {server, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "more rights than it needs"},
		"image out of kustomize's reach":      {server, "image: sallyport:latest", "image: sally:latest", "is not the one that kustomization.yaml sets"},
		"plain HTTP allowed":                  {server, "PLUGINS_REQUIRE_TLS\n              value: \"true\"", "PLUGINS_REQUIRE_TLS\n              value: \"false\"", "may speak plain HTTP"},
		"client certificate optional":         {server, "ssl_cert_reqs: 2", "ssl_cert_reqs: 1", "does not require client certificates"},
		"plugin file changed, checksum not":   {server, "replace: yikes", "replace: oops", "checksum/config is"},
		"health on loopback":                  {server, "HEALTH_HOST\n              value: 0.0.0.0", "HEALTH_HOST\n              value: 127.0.0.1", "cannot reach a health port"},
		"probe on the mTLS port":              {server, "{path: /livez, port: health}\n            periodSeconds: 10", "{path: /livez, port: mcp}\n            periodSeconds: 10", "the liveness probe asks port mcp"},
		"liveness that fails on expiry":       {server, "{path: /livez, port: health}\n            periodSeconds: 10", "{path: /readyz, port: health}\n            periodSeconds: 10", "the liveness probe asks /readyz"},
		"no readiness probe":                  {server, "          readinessProbe:\n            httpGet: {path: /readyz, port: health}\n            periodSeconds: 5\n", "", "no readiness probe"},
		"health port is not port+1000":        {server, "containerPort: 9000", "containerPort: 8001", "the server listens on 8000 and 9000"},
		"server moved, pod did not":           {server, "      port: 8000\n      tls", "      port: 8443\n      tls", "the server listens on 8443 and 9443"},
		"no restart on renewal":               {server, "secret.reloader.stakater.com/reload: mcp-plugin-replacebadwordsplugin-tls", "secret.reloader.stakater.com/reload: mcp-gateway-tls", "is not restarted when secret"},
		"no restart on new trust":             {server, "configmap.reloader.stakater.com/reload: mcp-ca-bundle", "configmap.reloader.stakater.com/reload: bundle", "is not restarted when the trust bundle"},
		"deployment selects other pods":       {server, "    matchLabels:\n      app.kubernetes.io/name: replace-bad-words\n  strategy", "    matchLabels:\n      app.kubernetes.io/name: replace\n  strategy", "does not match its own pods"},
		"service selects other pods":          {server, "  selector:\n    app.kubernetes.io/name: replace-bad-words", "  selector:\n    app.kubernetes.io/name: replace", "no service selects its pods"},
		"service port":                        {server, "port: 8000\n      targetPort: mcp", "port: 443\n      targetPort: mcp", "port 443 to mcp, want 8000"},
		"service to the health port":          {server, "targetPort: mcp", "targetPort: health", "8000 to health"},
		"budget selects other pods":           {server, "  minAvailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: replace-bad-words", "  minAvailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: replace", "selects no pods"},
		"plain URL":                           {job, "url: https:", "url: http:", "is not https"},
		"URL of another port":                 {job, ".svc:8000/mcp", ".svc:9000/mcp", "is no service's"},
		"URL not in the certificate":          {job, "replace-bad-words.sallyport.svc:", "replace-bad-words.other.svc:", "no certificate of ReplaceBadWordsPlugin holds"},
		"no default deny":                     {network, "  podSelector: {}\n  policyTypes: [Ingress, Egress]", "  podSelector: {}\n  policyTypes: [Egress]", "no policy denies by default"},
		"policy opens the health port":        {network, "              app.kubernetes.io/component: gateway\n      ports:\n        - {protocol: TCP, port: 8000}", "              app.kubernetes.io/component: gateway\n      ports:\n        - {protocol: TCP, port: 8000}\n        - {protocol: TCP, port: 9000}", "want 8000 only"},
		"policy lets everybody in":            {network, "        - podSelector:\n            matchLabels:\n              app.kubernetes.io/component: gateway\n      ports", "        - namespaceSelector: {}\n      ports", "lets in more than pods of the gateway"},
		"policy for other pods":               {network, "  podSelector:\n    matchLabels:\n      app.kubernetes.io/component: plugin-server\n", "  podSelector:\n    matchLabels:\n      app.kubernetes.io/component: plugin\n", "no policy lets the gateway in"},
		"client without way out":              {network, "  podSelector:\n    matchLabels:\n      app.kubernetes.io/component: gateway\n", "  podSelector:\n    matchLabels:\n      app.kubernetes.io/component: client\n", "lets job gateway-check out"},
		"client not let in":                   {job, "app.kubernetes.io/component: gateway", "app.kubernetes.io/component: client", "does not let in job gateway-check"},
	} {
		t.Run(name, func(t *testing.T) {
			texts := files(t)
			broken := strings.Replace(texts[c.file], c.old, c.new, 1)
			if broken == texts[c.file] {
				t.Fatalf("%s does not hold %q", c.file, c.old)
			}
			texts[c.file] = broken
			s, err := parse(texts)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Fatalf("got error %v, want one with %q", err, c.want)
				}
				return
			}
			problems := strings.Join(s.problems(), "\n")
			if !strings.Contains(problems, c.want) {
				t.Errorf("got problems %q, want one with %q", problems, c.want)
			}
		})
	}
}
