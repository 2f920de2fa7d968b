package plugindist

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"aead.dev/minisign"
)

func TestOnlyWhatATrustedKeySignedIsTrusted(t *testing.T) {
	private, public, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	_, others, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := ParseKey("shop.pub", string(public))
	if err != nil {
		t.Fatal(err)
	}
	other, err := ParseKey("other.pub", strings.Split(string(others), "\n")[1]) // the line alone
	if err != nil {
		t.Fatal(err)
	}
	signature, err := Sign(plugin.Module, "fraud-score", "1.2.0", private, "")
	if err != nil {
		t.Fatal(err)
	}
	var plain minisign.PrivateKey
	if err := plain.UnmarshalText(bytes.TrimSpace(private)); err != nil {
		t.Fatal(err)
	}
	edited := func(from, to string) []byte { return []byte(strings.Replace(string(signature), from, to, 1)) }
	for _, row := range []struct {
		name         string
		module, sign []byte
		pluginName   string
		keys         []Key
		want         string // a part of the error; "": trusted
	}{
		{"as it was signed", plugin.Module, signature, "fraud-score", []Key{other, key}, ""},
		{"the untrusted comment changed", plugin.Module, edited("signature of a cdcd plugin", "anything"), "fraud-score", []Key{key}, ""},
		{"no signature", plugin.Module, nil, "fraud-score", []Key{key}, "it is not signed"},
		{"no keys", plugin.Module, signature, "fraud-score", nil, "which is none of the 0 that are trusted"},
		{"another key", plugin.Module, signature, "fraud-score", []Key{other}, "which is none of the 1 that are trusted"},
		{"another module", []byte("another"), signature, "fraud-score", []Key{key}, "with shop.pub is not of these bytes"},
		{"another name", plugin.Module, signature, "other", []Key{key}, "but as something else"},
		{"the trusted comment changed", plugin.Module, edited("name=fraud-score", "name=other"), "other", []Key{key}, "is not of these bytes"},
		{"a signature without what it is for", plugin.Module, minisign.Sign(plain, plugin.Module), "fraud-score", []Key{key}, "but as something else"},
		{"half a signature", plugin.Module, signature[:len(signature)/2], "fraud-score", []Key{key}, "cannot be read"},
		{"a text", plugin.Module, []byte("hello"), "fraud-score", []Key{key}, "cannot be read"},
		{"a megabyte", plugin.Module, make([]byte, 1<<20), "fraud-score", []Key{key}, "1048576 bytes"},
	} {
		signer, err := Verify(row.module, row.sign, row.pluginName, "1.2.0", row.keys)
		switch {
		case row.want == "" && (err != nil || signer.Key != "shop.pub" || signer.Comment != "name=fraud-score version=1.2.0 digest="+Digest(plugin.Module)):
			t.Errorf("%s: %+v, %v", row.name, signer, err)
		case row.want != "" && (code(err) != "CDCD-2564" || !strings.Contains(fmt.Sprint(err), row.want)):
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
}

// A key as minisign makes it, but for the cost of its password, which is "open sesame".
const (
	encrypted = `untrusted comment: minisign encrypted secret key
RWRTY0IyAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAgAAAAAAAAAAAAAEAAAAAaRYsWkzqGJRoHRI/zvFZW2NjGzUWYbsKNZCFBQNvU2vDE6dE2kc7d+gY/izSCy+bN5odzN0AaZQQDUQ/68S79yWp3ejM7hv0IOiPIe9JP8cI7exz0FJ7FxEVrhKXMXb+UcWBlEVHG3M=
`
	encryptedPublic = `untrusted comment: minisign public key: EBE0C400AD18D2BE
RWS+0hitAMTg6x38NpJURV3hDOAGuYHo/0dS+54+6Tu3VOO0PjztiOE8
`
)

func TestAKeyCanHaveAPassword(t *testing.T) {
	key, err := ParseKey("k", encryptedPublic)
	if err != nil {
		t.Fatal(err)
	}
	for password, want := range map[string]string{"": "CDCD-2565", "guess": "CDCD-2565", "open sesame": ""} {
		signature, err := Sign(plugin.Module, "a", "1", []byte(encrypted), password)
		if want != "" {
			if code(err) != want || password != "" && strings.Contains(err.Error(), password) {
				t.Errorf("%s: %v", password, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(plugin.Module, signature, "a", "1", []Key{key}); err != nil {
			t.Error(err)
		}
	}
	for _, text := range []string{"", "RW", "untrusted comment: x\n", encrypted, strings.Repeat("A", 56)} {
		if _, err := ParseKey("k", text); code(err) != "CDCD-2565" {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := Sign(plugin.Module, "a", "1", []byte(text), "x"); code(err) != "CDCD-2565" {
			t.Errorf("%q: %v", text, err)
		}
	}
}
