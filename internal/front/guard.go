package front

import (
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/logs"
)

// guard keeps browsers out: a program that is not a browser sends no Origin,
// and names in Host what it dials.
type guard struct {
	http.Handler
	log *logs.Flood

	// loopback says that the listener is bound to loopback. Then a Host that is
	// no loopback name means that DNS led a browser here, and pages of this host
	// itself may call.
	loopback bool

	// authenticated says that a client certificate has told who calls: then any
	// Host will do.
	authenticated bool

	// hosts and origins are let through beside those.
	hosts, origins []string
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if reason := g.foreign(r); reason != "" {
		g.log.Log(slog.LevelInfo, "request refused", slog.String("peer", r.RemoteAddr), slog.String("reason", reason))
		Refuse(w, http.StatusForbidden, reason)
		return
	}
	g.Handler.ServeHTTP(w, r)
}

// foreign says why a request must not be served, "" when it may.
func (g *guard) foreign(r *http.Request) string {
	if g.loopback && !g.authenticated && !g.isHost(r.Host) && (r.Host != "" || r.ProtoAtLeast(1, 1)) {
		return "the Host header names no loopback address"
	}
	origins := r.Header["Origin"]
	if len(origins) == 0 || (len(origins) == 1 && g.isOrigin(origins[0])) {
		return ""
	}
	return "the Origin header names no origin that may call this server"
}

func (g *guard) isHost(host string) bool {
	if isLoopbackHost(host) {
		return true
	}
	name, _ := splitPort(host)
	return slices.ContainsFunc(g.hosts, func(allowed string) bool {
		if _, port := splitPort(allowed); port != "" {
			return strings.EqualFold(allowed, host)
		}
		return strings.EqualFold(bare(allowed), bare(name))
	})
}

func (g *guard) isOrigin(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil {
		return false
	}
	if g.loopback && isLoopbackHost(u.Host) {
		return true
	}
	return slices.ContainsFunc(g.origins, func(allowed string) bool {
		return strings.EqualFold(strings.TrimSuffix(allowed, "/"), origin)
	})
}

// isLoopbackHost reports whether host, with or without a port, is a name or an
// address of the loopback interface.
func isLoopbackHost(host string) bool {
	name, _ := splitPort(host)
	if name = bare(strings.ToLower(name)); name == "localhost" {
		return true
	}
	ip := net.ParseIP(name)
	return ip != nil && ip.IsLoopback()
}

// splitPort takes the port off a host; "" when there is none.
func splitPort(host string) (name, port string) {
	if name, port, err := net.SplitHostPort(host); err == nil {
		return name, port
	}
	return host, ""
}

// bare is a name without the dot of the root and an address without brackets.
func bare(name string) string {
	name = strings.TrimSuffix(name, ".")
	return strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
}
