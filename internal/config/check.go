package config

// Report is what Check found.
type Report struct {
	Problems Problems // errors and warnings, in file order

	// Server and Client are the two readings of the file. One is nil when the
	// file is no such file, both are when there is an error.
	Server *Server
	Client *Client
}

// Check reads the file at path as whatever it is: a plugin server's, a
// gateway's, or both. It opens no file that the configuration names.
func Check(path string, o Options) *Report {
	l := load(path, o)
	r := &Report{}
	asServer, asClient := l.uses()
	if asServer {
		r.Server = l.server()
	}
	if asClient {
		r.Client = l.client()
	}
	r.Problems = l.problems()
	if len(r.Problems.Errors()) > 0 {
		r.Server, r.Client = nil, nil
	}
	return r
}

// uses says what the file can be: a gateway's when an entry is external, a
// plugin server's when one is not or there are server_settings.
func (l *loader) uses() (server, client bool) {
	server = l.root.get("server_settings") != nil
	for _, entry := range l.root.list("plugins") {
		if entry.str("kind") == External {
			client = true
		} else {
			server = true
		}
	}
	return server || !client, client
}
