package front

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"syscall"
)

// Listen binds a TCP address, host:port. The error is the cause alone: the
// caller knows which setting it comes from.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	network := "tcp"
	if ap, err := netip.ParseAddrPort(address); err == nil && ap.Addr().Is4() {
		network = "tcp4" // or Go opens every IPv6 address too for 0.0.0.0, behind firewall rules for IPv4
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, network, address)
	if err == nil {
		return l, nil
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return nil, errno
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return nil, op.Err
	}
	return nil, err
}
