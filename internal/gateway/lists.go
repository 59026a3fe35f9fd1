package gateway

import (
	"context"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

const (
	// pageItems and pageBytes bound a page of a merged list. Clients exist that
	// read the first page only, so it is large.
	pageItems, pageBytes = 1000, 4 << 20

	// listTTL is how long a modern client may keep a list, in milliseconds.
	listTTL = "30000"
)

// listed reports whether a method asks for a list.
func listed(method string) bool {
	for _, f := range forms {
		if f.method == method {
			return true
		}
	}
	return false
}

// list answers with a page of a merged list.
func (g *Gateway) list(ctx context.Context, q *request) ([]byte, *wire.Error) {
	k := tools
	for forms[k].method != q.m.Method {
		k++
	}
	start, ok := position(wire.Member(q.m.Params, "cursor"))
	if !ok {
		return nil, wire.Errorf(wire.CodeInvalidParams, "Invalid cursor")
	}
	g.catalog.refresh(ctx, k, patient)
	entries := g.catalog.view(k).entries
	start = min(start, len(entries)) // the list may have become shorter
	dst := []byte{'{'}
	if q.era == wire.Modern {
		dst = append(dst, `"resultType":"complete","ttlMs":`+listTTL+`,"cacheScope":"private",`...)
	}
	dst = append(dst, `"`+forms[k].member+`":[`...)
	end, size := start, 0
	for ; end < len(entries) && end-start < pageItems && (size < pageBytes || end == start); end++ {
		if end > start {
			dst = append(dst, ',')
		}
		dst = append(dst, entries[end].raw...)
		size += len(entries[end].raw)
	}
	dst = append(dst, ']')
	if end < len(entries) {
		dst = append(dst, `,"nextCursor":"`+cursorAt(end)+`"`...)
	}
	return append(dst, '}'), nil
}

// cursorAt is an opaque name for a place in a list.
func cursorAt(n int) string {
	return base64.RawURLEncoding.EncodeToString([]byte("at " + strconv.Itoa(n)))
}

// position reads a cursor of ours.
func position(raw []byte) (int, bool) {
	if wire.IsNull(raw) {
		return 0, true
	}
	text, ok := wire.String(raw)
	if !ok {
		return 0, false
	}
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return 0, false
	}
	number, ok := strings.CutPrefix(string(plain), "at ")
	n, err := strconv.Atoi(number)
	return n, ok && err == nil && n > 0
}
