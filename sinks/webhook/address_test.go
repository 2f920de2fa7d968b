package webhook

import (
	"net/netip"
	"testing"
)

func TestWhatIsPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "172.32.0.1": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true, "2a00:1450::1": true,

		"127.0.0.1": false, "127.255.0.9": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.100.100.200": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false,
		"192.0.0.192": false, "198.19.0.1": false, "168.63.129.16": false,
		"::": false, "::1": false, "fe80::1": false, "fc00::1": false, "fd00:ec2::254": false, "ff02::1": false,
		"::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "2002:a9fe:a9fe::": false,
		"2001:0:a9fe:a9fe::": false, "fe80::1%eth0": false, "2606:4700::1%eth0": false, "2001:db8::1": false,
	} {
		if got := public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
	if public(netip.Addr{}) {
		t.Error("no address is public")
	}
}
