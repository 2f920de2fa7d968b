package webhook

import (
	"fmt"
	"net/netip"
	"syscall"
)

// special are ranges that are no single public machine, beyond those that netip knows.
var special = func() (all []netip.Prefix) {
	for _, text := range []string{
		"0.0.0.0/8",        // this network
		"100.64.0.0/10",    // shared by a provider's customers; some clouds have their metadata there
		"192.0.0.0/24",     // protocols
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // relays of 6to4
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"240.0.0.0/4",      // reserved, and broadcast
		"168.63.129.16/32", // Azure's own services
		"2001::/23",        // protocols, Teredo among them, which has IPv4 within
		"2001:db8::/32",    // documentation
		"2002::/16",        // 6to4, which has IPv4 within
		"3fff::/20",        // documentation
	} {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}()

// global is what of IPv6 is given to single machines. Beyond it are loopback, local and mapped addresses, and NAT64.
var global = netip.MustParsePrefix("2000::/3")

// public reports whether an address is one that a stranger may make us call.
func public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap()
	if !a.IsValid() || a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || a.Is6() && !global.Contains(a) {
		return false
	}
	for _, p := range special {
		if p.Contains(a) {
			return false
		}
	}
	return true
}

// publicOnly is called by the dialler with the address that it is about to connect to.
func publicOnly(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if !public(at.Addr()) {
		return fmt.Errorf("%w: %s", ErrAddress, at.Addr())
	}
	return nil
}
