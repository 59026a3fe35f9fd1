package upstream

import (
	"slices"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// notModern is an answer to server/discover that offers no modern revision.
type notModern struct{ why string }

func (e *notModern) Error() string { return e.why }

// readDiscover reads the result of server/discover.
func readDiscover(result []byte) (*Info, error) {
	versions := wire.Member(result, "supportedVersions")
	if wire.Kind(versions) != '[' {
		return nil, &notModern{"an answer to server/discover without supportedVersions"}
	}
	var offered []string
	for raw := range wire.Elements(versions) {
		if revision, ok := wire.String(raw); ok && len(offered) < 32 {
			offered = append(offered, clip(revision))
		}
	}
	if !slices.Contains(offered, wire.Revision2026_07) {
		if slices.ContainsFunc(offered, func(r string) bool { return slices.Contains(wire.LegacyRevisions(), r) }) {
			return nil, &notModern{"server/discover offers legacy revisions only"}
		}
		return nil, faultf(BadAnswer, "the upstream speaks revisions of MCP that we do not know: %q", offered)
	}
	info := readInfo(wire.Modern, result)
	info.Revision = wire.Revision2026_07
	info.ServerInfo = wire.Member(wire.Member(result, "_meta"), wire.MetaServerInfo)
	return info, nil
}

// readInitialize reads the result of initialize.
func readInitialize(result []byte) (*Info, error) {
	revision, _ := wire.String(wire.Member(result, "protocolVersion"))
	if !slices.Contains(wire.LegacyRevisions(), revision) {
		return nil, faultf(BadAnswer, "initialize was answered with a revision of MCP that we do not know: %q", clip(revision))
	}
	info := readInfo(wire.Legacy, result)
	info.Revision = revision
	info.ServerInfo = wire.Member(result, "serverInfo")
	return info, nil
}

func readInfo(era wire.Era, result []byte) *Info {
	info := &Info{Era: era, Raw: result, Capabilities: wire.Member(result, "capabilities")}
	if wire.Kind(info.Capabilities) != '{' {
		info.Capabilities = []byte("{}")
	}
	info.Instructions, _ = wire.String(wire.Member(result, "instructions"))
	return info
}

// isChange reports whether a notification says that a list has changed.
func isChange(method string) bool {
	switch method {
	case "notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed":
		return true
	}
	return false
}

// answerTo answers a request of a legacy server. We declare no capabilities, so
// only ping has an answer.
func answerTo(m *wire.Message) []byte {
	if m.Method == wire.MethodPing {
		return wire.AppendResult(nil, m.ID, []byte("{}"))
	}
	return wire.AppendError(nil, m.ID, wire.Errorf(wire.CodeMethodNotFound, "Method not found: %s", clip(m.Method)))
}

// cancellation is the notification that the request with this id is not waited
// for any more.
func cancellation(id []byte) []byte {
	params := append(append([]byte(`{"requestId":`), id...), '}')
	return wire.AppendRequest(nil, nil, wire.MethodCancelled, params)
}
