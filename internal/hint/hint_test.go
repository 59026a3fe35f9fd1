package hint

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOfFindsEachHintOnceOutermostFirst(t *testing.T) {
	inner := Add(io.EOF, "read the file again")
	joined := errors.Join(inner, Add(io.ErrNoProgress, "look at the disk"), Add(io.EOF, "read the file again"))
	err := Add(fmt.Errorf("reading x: %w", joined), "sallyport certs check")

	want := []string{"sallyport certs check", "read the file again", "look at the disk"}
	if diff := cmp.Diff(want, Of(err)); diff != "" {
		t.Errorf("hints (-want +got):\n%s", diff)
	}
}

func TestAddKeepsTextAndIdentity(t *testing.T) {
	err := Add(io.EOF, "look again")
	if err.Error() != "EOF" || !errors.Is(err, io.EOF) {
		t.Errorf("Add(io.EOF) = %q, errors.Is(…, io.EOF) = %v", err, errors.Is(err, io.EOF))
	}
	if Add(nil, "look again") != nil {
		t.Error("Add(nil) is an error")
	}
	if got := Of(nil); got != nil {
		t.Errorf("Of(nil) = %q", got)
	}
}
