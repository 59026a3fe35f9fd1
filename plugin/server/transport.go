package server

import (
	"io/fs"
	"os"

	"github.com/sallyport-mcp/sallyport/internal/config"
)

const (
	httpTransport  = "http"
	stdioTransport = "stdio"
)

// chooseTransport says what to serve over, and why. Nothing but a client that
// talks on both ends makes it stdio unasked: started from a script, a server
// must not end at once because its stdin does.
func chooseTransport(cfg *config.Server, stdin, stdout any) (transport, why string) {
	switch {
	case cfg.Transport.V != "":
		return cfg.Transport.V, cfg.Transport.Source.String() + " says so"
	case cfg.HTTPAsked:
		return httpTransport, "server_settings or PLUGINS_SERVER_* ask for it"
	case isPipe(stdin) && isPipe(stdout):
		return stdioTransport, "stdin and stdout are pipes, and nothing asks for http"
	}
	return httpTransport, "stdin and stdout are not both pipes"
}

// isPipe reports whether f is a pipe or a socket, as a parent process makes
// them for a child that it talks to.
func isPipe(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) != 0
}
