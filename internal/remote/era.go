package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// era is how the server wants to be spoken to.
type era = int32

const (
	unknownEra era = iota
	modernEra      // 2026-07-28: each call stands alone
	legacyEra      // initialize and sessions
)

// call calls one tool of the server and returns its result. Only here is a call
// sent a second time, and only when the server turned it away for the era it
// was written in and a probe shows that the server has changed.
func (p *Plugin) call(ctx context.Context, deadline time.Time, tool string, arguments []byte) (json.RawMessage, error) {
	if p.stdio != nil {
		return p.stdio.call(ctx, deadline, tool, arguments)
	}
	now := p.era.Load()
	var err error
	if now == unknownEra {
		if now, err = p.settle(ctx, deadline); err != nil {
			return nil, err
		}
	}
	result, err := p.callIn(ctx, deadline, now, tool, arguments)
	if err == nil || !wrongEra(now, err) {
		return result, err
	}
	p.era.CompareAndSwap(now, unknownEra)
	next, probeErr := p.settle(ctx, deadline)
	if probeErr != nil || next == now {
		return nil, err
	}
	return p.callIn(ctx, deadline, next, tool, arguments)
}

func (p *Plugin) callIn(ctx context.Context, deadline time.Time, now era, tool string, arguments []byte) (json.RawMessage, error) {
	if now == legacyEra {
		ctx, cancel := context.WithDeadline(ctx, deadline)
		defer cancel()
		return p.legacy.call(ctx, tool, arguments)
	}
	return p.post(ctx, deadline, tool, arguments)
}

// post makes one modern call.
func (p *Plugin) post(ctx context.Context, deadline time.Time, tool string, arguments []byte) (json.RawMessage, error) {
	body, id := p.form.body(p.ids.Add(1), tool, arguments)
	var result json.RawMessage
	err := p.transport.do(ctx, deadline, p.form.heads[tool], body, func(resp *http.Response) error {
		m, err := readAnswer(resp, id, p.maxAnswer)
		if err == nil {
			result = m.Result
		}
		return err
	})
	return result, err
}

// settle finds out the era, once for all who wait for it.
func (p *Plugin) settle(ctx context.Context, deadline time.Time) (era, error) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	return p.probes.do(ctx, p, p.cfg.Timeout, func(ctx context.Context) (era, error) {
		if known := p.era.Load(); known != unknownEra {
			return known, nil // found out between our look and now
		}
		found, err := p.probe(ctx)
		p.era.Store(found)
		return found, err
	})
}

// probe asks for the plugin's config, which changes nothing on the server.
func (p *Plugin) probe(ctx context.Context) (era, error) {
	deadline := time.Now().Add(p.cfg.Timeout)
	_, err := p.callIn(ctx, deadline, modernEra, toolConfig, p.describeArguments())
	var rpc *wire.Error
	switch {
	case err == nil:
		return modernEra, nil
	case !wrongEra(modernEra, err) && errors.As(err, &rpc):
		return modernEra, nil // what it does not like, the call itself will tell
	case !wrongEra(modernEra, err):
		return unknownEra, err
	}
	_, legacyErr := p.callIn(ctx, deadline, legacyEra, toolConfig, p.describeArguments())
	var toolFailed *wire.Error
	switch {
	case legacyErr == nil, errors.As(legacyErr, &toolFailed) && !refused(legacyErr):
		p.log.InfoContext(ctx, "plugin server is of the legacy era", "plugin", p.cfg.Name, "url", p.cfg.URL)
		return legacyEra, nil
	case refused(legacyErr) && legacyErr.Error() != err.Error():
		return unknownEra, fmt.Errorf("%w (and to initialize: %w)", err, legacyErr)
	}
	return unknownEra, legacyErr
}

// wrongEra reports whether err is what a server of the other era answers: one
// of certain 4xx without an error that only a modern server knows, or a modern
// refusal that lists legacy revisions alone.
func wrongEra(now era, err error) bool {
	var s *statusError
	if !errors.As(err, &s) {
		return false
	}
	switch s.status {
	case http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound,
		http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
	default:
		return false
	}
	if now == legacyEra || s.rpc == nil || !s.rpc.IsModern(s.status) {
		return true
	}
	if s.rpc.Code != wire.CodeUnsupportedRevision {
		return false
	}
	var data wire.UnsupportedRevision
	if json.Unmarshal(s.rpc.Data, &data) != nil {
		return false
	}
	return slices.ContainsFunc(data.Supported, func(revision string) bool {
		return slices.Contains(wire.LegacyRevisions(), revision)
	})
}
