package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The digest of a configuration is of what is in force, not of how it is written, and not of secrets.
func TestTheDigestOfAConfigurationIsOfWhatIsInForce(t *testing.T) {
	dir := t.TempDir()
	digest := func(text string, env ...string) string {
		t.Helper()
		file := filepath.Join(dir, "cdcd.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(file, env, nil)
		if cfg == nil {
			t.Fatal(err)
		}
		return cfg.digest()
	}
	const plain = `version: 1
name: shop
rules: [rules.yaml]
source:
  mysql: {url: "mysql://cdc:one@localhost:3306", server_id: 77, tables: [shop.orders]}
feeds:
  acme: {to: "file:///srv/acme"}
  beta: {to: "file:///srv/beta"}
`
	was := digest(plain)
	if !strings.HasPrefix(was, "sha256:") || len(was) != 7+64 {
		t.Fatalf("digest %q", was)
	}
	for name, c := range map[string]struct {
		text string
		same bool
	}{
		"again":                 {plain, true},
		"a comment":             {"# hello\n" + plain, true},
		"a default, written":    {plain + "console: {listen: \"127.0.0.1:8480\"}\n", true},
		"another order":         {strings.Replace(plain, "  acme: {to: \"file:///srv/acme\"}\n", "", 1) + "  acme: {to: \"file:///srv/acme\"}\n", true},
		"another password":      {strings.Replace(plain, "cdc:one@", "cdc:two@", 1), true},
		"another table":         {strings.Replace(plain, "[shop.orders]", "[shop.orders, shop.items]", 1), false},
		"another place":         {strings.Replace(plain, "/srv/beta", "/srv/gamma", 1), false},
		"a feed less":           {strings.Replace(plain, "  beta: {to: \"file:///srv/beta\"}\n", "", 1), false},
		"another default value": {strings.Replace(plain, "acme\"}", "acme\", compress: gzip}", 1), false},
	} {
		if got := digest(c.text); (got == was) != c.same {
			t.Errorf("%s: the digest is the same: %v, want %v", name, got == was, c.same)
		}
	}
}
