package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestImageRunsAsThePodsUser: runAsNonRoot needs a number in the image, and
// fsGroup and file modes are worked out for that one.
func TestImageRunsAsThePodsUser(t *testing.T) {
	text, err := os.ReadFile(root + "/deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("USER %d:%d", user, user)
	if !slices.Contains(strings.Split(string(text), "\n"), want) {
		t.Errorf("deploy/Dockerfile has no line %q", want)
	}
}

// TestBuildContextHoldsWhatTheImageNeedsAndNoKeys: .dockerignore lists what may
// go in, and that is exactly what the Dockerfile copies.
func TestBuildContextHoldsWhatTheImageNeedsAndNoKeys(t *testing.T) {
	ignore, err := os.ReadFile(root + "/.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	var allowed []string
	everythingElse := false
	for line := range strings.Lines(string(ignore)) {
		line = strings.TrimSpace(line)
		if name, ok := strings.CutPrefix(line, "!"); ok {
			allowed = append(allowed, name)
		}
		everythingElse = everythingElse || line == "*"
	}
	if !everythingElse {
		t.Error(".dockerignore does not exclude everything else: certs/ would be in the build context")
	}
	dockerfile, err := os.ReadFile(root + "/deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	var copied []string
	for line := range strings.Lines(string(dockerfile)) {
		words := strings.Fields(line)
		if len(words) > 2 && words[0] == "COPY" && !strings.HasPrefix(words[1], "--") {
			copied = append(copied, words[1:len(words)-1]...)
		}
	}
	slices.Sort(allowed)
	slices.Sort(copied)
	if len(copied) == 0 || !slices.Equal(allowed, copied) {
		t.Errorf(".dockerignore lets in %v, the Dockerfile copies %v", allowed, copied)
	}
	for _, name := range copied {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("the Dockerfile copies what is not there: %v", err)
		}
	}
}
