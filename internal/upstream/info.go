package upstream

import (
	"errors"

	"github.com/sallyport-mcp/sallyport/internal/wire"
)

// Info is what the upstream said about itself.
type Info = wire.Introduction

// readDiscover and readInitialize read what an upstream says about itself. An
// answer that cannot be one is a bad answer.
func readDiscover(result []byte) (*Info, error)   { return judged(wire.ReadDiscover(result)) }
func readInitialize(result []byte) (*Info, error) { return judged(wire.ReadInitialize(result)) }

func judged(info *Info, err error) (*Info, error) {
	if err == nil {
		return info, nil
	}
	if _, ok := errors.AsType[*wire.NotModernError](err); ok {
		return nil, err // it only leads to initialize
	}
	return nil, &fault{BadAnswer, err}
}

// isChange reports whether a notification says that a list has changed.
func isChange(method string) bool {
	switch method {
	case "notifications/tools/list_changed", "notifications/prompts/list_changed", "notifications/resources/list_changed":
		return true
	}
	return false
}
