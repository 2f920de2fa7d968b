package main

import (
	"net"
	"net/netip"
	"strings"

	"github.com/cdcd-project/cdcd/cdc"
)

// consoleConfig is the address for people and monitoring.
type consoleConfig struct {
	// Listen is the address (host:port) of the console, its API, /metrics, /healthz and /readyz; "off" for none. On a loopback address
	// nobody is asked who he is, unless tokens_file or header is set; on any other one of them must be.
	Listen string `yaml:"listen" default:"127.0.0.1:8480"`
	// Names under which the console is reached, beside addresses and localhost: console.example.com. Others are not answered.
	Names []string `yaml:"names"`
	// TokensFile holds who may do what with which token, of which it has the hashes; cdcd console token writes it.
	TokensFile string `yaml:"tokens_file"`
	// TokenFile holds the token that verbs of the command line show to the running cdcd; the environment variable CDCD_TOKEN goes before it.
	TokenFile string `yaml:"token_file"`
	// Header believes a proxy in front about who asks.
	Header *consoleHeaderConfig `yaml:"header"`
}

// consoleHeaderConfig is a proxy that asks people who they are, with OIDC for example.
type consoleHeaderConfig struct {
	// User is the header with the name of who asks.
	User string `yaml:"user" default:"X-Forwarded-User"`
	// Role is the header with the role: viewer, analyst, publisher or operator.
	Role string `yaml:"role" default:"X-Forwarded-Role"`
	// From are the addresses of the proxy, as 10.0.0.5 or 10.0.0.0/24. Headers from elsewhere are not believed.
	From []string `yaml:"from" required:"true"`
}

// asks reports whether people must show who they are.
func (c *consoleConfig) asks() bool { return c.TokensFile != "" || c.Header != nil }

func (v *validator) checkConsole() {
	c := v.Console
	if c.Listen != "" && c.Listen != "off" {
		v.checkAddress(steps("console", "listen"), c.Listen)
	}
	for i, name := range c.Names {
		if name == "" || strings.ContainsAny(name, "/:* ") {
			v.invalid(steps("console", "names", i), "'%s' is not the name of a host", name).Hint("write it like console.example.com")
		}
	}
	if c.Header == nil {
		return
	}
	for i, text := range c.Header.From {
		switch from, err := prefixOf(text); {
		case err != nil:
			v.invalid(steps("console", "header", "from", i), "'%s' is not an address", text).Hint("write it like 10.0.0.5 or 10.0.0.0/24")
		case from.Bits() == 0:
			v.invalid(steps("console", "header", "from", i), "'%s' is everybody, who could say to be anybody", text).Hint("name the proxy, like 10.0.0.5")
		}
	}
	for _, one := range []struct{ key, name string }{{"user", c.Header.User}, {"role", c.Header.Role}} {
		if strings.ContainsFunc(one.name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r) }) {
			v.invalid(steps("console", "header", one.key), "'%s' is not the name of a header", one.name).Hint("write it like X-Forwarded-User")
		}
	}
}

// prefixOf reads an address, or a range of them.
func prefixOf(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// guarded refuses an address that others can reach where nobody is asked who he is.
func (c *consoleConfig) guarded(at net.Addr) error {
	host, _, err := net.SplitHostPort(at.String())
	if err == nil && net.ParseIP(host).IsLoopback() || c.asks() {
		return nil
	}
	return cdc.Errorf("CDCD-1053", "console.listen is %s, which others can reach, and nobody would be asked who he is", at).
		WithFix("set console.tokens_file and make tokens with cdcd console token NAME, or listen on 127.0.0.1")
}
