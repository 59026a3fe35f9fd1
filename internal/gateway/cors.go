package gateway

import (
	"net/http"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// allowOrigin tells a browser that the page which calls may. Which pages that
// are has been decided before: the listener lets no other Origin through. It
// reports whether the request was only the browser's question.
func allowOrigin(w http.ResponseWriter, r *http.Request) (preflight bool) {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	h.Set("Access-Control-Expose-Headers", wire.HeaderSession+", "+wire.HeaderRevision)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", "POST, DELETE")
	// What the page asks for: Mcp-Param-* have no names that could be listed.
	if asked := r.Header.Get("Access-Control-Request-Headers"); asked != "" {
		h.Set("Access-Control-Allow-Headers", asked)
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
