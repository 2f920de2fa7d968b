package plugindist

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"aead.dev/minisign"

	"github.com/cdcd-project/cdcd/cdc"
)

// SignatureSuffix is what the file with a plugin's signature is called beside the plugin.
const SignatureSuffix = ".minisig"

// NewKey returns the texts of a new key for signing, which is not encrypted, and of the public key that belongs to it.
func NewKey() (private, public []byte, err error) {
	publicKey, privateKey, err := minisign.GenerateKey(nil)
	if err != nil {
		return nil, nil, err
	}
	if private, err = privateKey.MarshalText(); err != nil {
		return nil, nil, err
	}
	public, err = publicKey.MarshalText()
	return append(private, '\n'), append(public, '\n'), err
}

// Sign signs a module. name and version are those of its manifest; the password is for keys that are encrypted.
func Sign(module []byte, name, version string, private []byte, password string) (signature []byte, err error) {
	var key minisign.PrivateKey
	switch encrypted := minisign.IsEncrypted(private); {
	case encrypted && password == "":
		return nil, cdc.Errorf("CDCD-2565", "the key for signing is encrypted").WithFix("set CDCD_PLUGIN_KEY_PASSWORD")
	case encrypted:
		key, err = minisign.DecryptKey(password, private)
	default:
		err = key.UnmarshalText([]byte(strings.TrimSpace(string(private))))
	}
	if err != nil {
		return nil, cdc.Errorf("CDCD-2565", "the key for signing: %w", err).WithFix("name one that `cdcd plugin keygen` or minisign has made, and its password")
	}
	return minisign.SignWithComments(key, module, trustedComment(module, name, version), "signature of a cdcd plugin"), nil
}

// trustedComment is what is signed beside the module, for people and their minisign.
func trustedComment(module []byte, name, version string) string {
	return fmt.Sprintf("name=%s version=%s digest=%s", name, version, Digest(module))
}

// Digest is what a module is called by.
func Digest(module []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(module)) }

// Key is a public key that is trusted.
type Key struct {
	Name string // what it is called by: its file, or itself
	key  minisign.PublicKey
}

// ParseKey reads a public key: the text of a file of minisign's, or the line in it that is the key.
func ParseKey(name, text string) (Key, error) {
	k := Key{Name: name}
	if err := k.key.UnmarshalText([]byte(strings.TrimSpace(text))); err != nil {
		return Key{}, cdc.Errorf("CDCD-2565", "the public key %s: %w", name, err).WithFix("name a file that ends in .pub, or the line in it that begins with RW")
	}
	return k, nil
}

// Signer is who signed a plugin.
type Signer struct {
	Key     string `json:"key"`    // as the key is called that fits
	KeyID   string `json:"key_id"` // as minisign prints it
	Comment string `json:"comment"`
}

// Verify checks that one of the keys has signed the module, as the plugin of that name and version.
func Verify(module, signature []byte, name, version string, keys []Key) (*Signer, error) {
	refused := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-2564", "plugin %s %s: %w", name, version, fmt.Errorf(format, args...)).
			WithFix("get it from whoever made it, with their public key; do not use this one")
	}
	if len(signature) == 0 {
		return nil, refused("it is not signed")
	}
	if len(signature) > maxSignature {
		return nil, refused("its signature has %d bytes; at most %d are read", len(signature), maxSignature)
	}
	var s minisign.Signature
	if err := s.UnmarshalText(signature); err != nil {
		return nil, refused("its signature cannot be read: %w", err)
	}
	for _, k := range keys {
		if k.key.ID() != s.KeyID || !minisign.Verify(k.key, module, signature) {
			continue
		}
		if want := trustedComment(module, name, version); s.TrustedComment != want {
			return nil, refused("it is signed with %s, but as something else: '%.200s' instead of '%s'", k.Name, s.TrustedComment, want)
		}
		return &Signer{Key: k.Name, KeyID: keyID(s.KeyID), Comment: s.TrustedComment}, nil
	}
	for _, k := range keys {
		if k.key.ID() == s.KeyID {
			return nil, refused("its signature with %s is not of these bytes", k.Name)
		}
	}
	return nil, refused("it is signed with the key %s, which is none of the %d that are trusted", keyID(s.KeyID), len(keys))
}

func keyID(id uint64) string { return fmt.Sprintf("%016X", id) }
