package webhooksig

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The headers that a message is signed in.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
)

// Tolerance is how far the sender's clock, or the message on its way, may be off.
const Tolerance = 5 * time.Minute

// Prefixes of keys as they are written down.
const (
	prefixSecret  = "whsec_" // of HMAC-SHA256, for both sides
	prefixPrivate = "whsk_"  // of Ed25519, for the sender
	prefixPublic  = "whpk_"  // of Ed25519, for the receiver
)

// Key signs or verifies. A shared secret does both, a private key only the first, a public key only the second.
type Key struct {
	secret  []byte
	private ed25519.PrivateKey
	public  ed25519.PublicKey
}

// ParseKey reads a key as it is written down: whsec_, whsk_ or whpk_, and base64. Without a prefix it is a shared secret.
// A private key is its seed of 32 bytes, or that and its public key. Errors never hold the key.
func ParseKey(text string) (Key, error) {
	text = strings.TrimSpace(text)
	kind := prefixSecret
	for _, prefix := range []string{prefixSecret, prefixPrivate, prefixPublic} {
		if rest, ok := strings.CutPrefix(text, prefix); ok {
			kind, text = prefix, rest
			break
		}
	}
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return Key{}, errors.New("it is not base64")
	}
	switch {
	case kind == prefixSecret && len(raw) >= 24 && len(raw) <= 64:
		return Key{secret: raw}, nil
	case kind == prefixSecret:
		return Key{}, fmt.Errorf("a secret has 24 to 64 bytes, not %d", len(raw))
	case kind == prefixPublic && len(raw) == ed25519.PublicKeySize:
		return Key{public: raw}, nil
	case kind == prefixPrivate && len(raw) == ed25519.SeedSize:
		private := ed25519.NewKeyFromSeed(raw)
		return Key{private: private, public: private.Public().(ed25519.PublicKey)}, nil
	case kind == prefixPrivate && len(raw) == ed25519.PrivateKeySize:
		private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if !slices.Equal(private, raw) {
			return Key{}, errors.New("its public half is not that of its private half")
		}
		return Key{private: private, public: private.Public().(ed25519.PublicKey)}, nil
	}
	return Key{}, fmt.Errorf("%d bytes are no key of Ed25519", len(raw))
}

// ParseKeys reads keys, one a line. Empty lines, and those that begin with #, are left out.
func ParseKeys(text string) ([]Key, error) {
	var keys []Key
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		k, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("key in line %d: %w", n, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no key in it")
	}
	return keys, nil
}

// NewPrivateKey returns the texts of a private key and of its public key, made of a seed of 32 bytes.
func NewPrivateKey(seed []byte) (private, public string) {
	key := ed25519.NewKeyFromSeed(seed)
	return prefixPrivate + base64.StdEncoding.EncodeToString(seed),
		prefixPublic + base64.StdEncoding.EncodeToString(key.Public().(ed25519.PublicKey))
}

// NewSecret returns the text of a shared secret.
func NewSecret(random []byte) string { return prefixSecret + base64.StdEncoding.EncodeToString(random) }

// CanSign reports whether the key signs.
func (k Key) CanSign() bool { return k.secret != nil || k.private != nil }

// CanVerify reports whether the key verifies.
func (k Key) CanVerify() bool { return k.secret != nil || k.public != nil }

// Shared reports whether whoever verifies with the key can also sign with it.
func (k Key) Shared() bool { return k.secret != nil }

// Public returns the text of the public key of an Ed25519 key, "" for a secret.
func (k Key) Public() string {
	if k.public == nil {
		return ""
	}
	return prefixPublic + base64.StdEncoding.EncodeToString(k.public)
}

// String never shows a secret.
func (k Key) String() string {
	if k.secret != nil {
		return prefixSecret + "REDACTED"
	}
	return k.Public()
}

// GoString is [Key.String], for %#v.
func (k Key) GoString() string { return k.String() }

// Sign returns the header webhook-signature: one signature a key, in their order.
func Sign(id string, at time.Time, body []byte, keys ...Key) string {
	signed := content(id, strconv.FormatInt(at.Unix(), 10), body)
	var all []string
	for _, k := range keys {
		switch {
		case k.secret != nil:
			all = append(all, "v1,"+base64.StdEncoding.EncodeToString(k.mac(signed)))
		case k.private != nil:
			all = append(all, "v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(k.private, signed)))
		}
	}
	return strings.Join(all, " ")
}

// Message is what was received: three headers and the body, byte by byte as it came.
type Message struct {
	ID, Timestamp, Signature string
	Body                     []byte
}

// What is wrong with a message.
var (
	ErrIncomplete = errors.New("a header of the signature is missing")
	ErrTimestamp  = errors.New("the timestamp is too far from the time here")
	ErrSignature  = errors.New("no signature is of a key that is known")
)

// maxSignatures bounds the work that a stranger's header makes.
const maxSignatures = 16

// Verify checks that one of the keys has signed the message, not longer ago (or later) than [Tolerance].
func Verify(m Message, now time.Time, keys ...Key) error {
	if m.ID == "" || m.Timestamp == "" || m.Signature == "" {
		return ErrIncomplete
	}
	seconds, err := strconv.ParseInt(m.Timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: it is not a number", ErrTimestamp)
	}
	if off := now.Sub(time.Unix(seconds, 0)); off > Tolerance || off < -Tolerance {
		return ErrTimestamp
	}
	signed := content(m.ID, m.Timestamp, m.Body)
	for i, one := range strings.Fields(m.Signature) {
		if i == maxSignatures {
			break
		}
		version, text, _ := strings.Cut(one, ",")
		signature, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			continue // of a version that is not known, perhaps
		}
		for _, k := range keys {
			switch {
			case version == "v1" && k.secret != nil && hmac.Equal(signature, k.mac(signed)):
				return nil
			case version == "v1a" && k.public != nil && len(signature) == ed25519.SignatureSize && ed25519.Verify(k.public, signed, signature):
				return nil
			}
		}
	}
	return ErrSignature
}

func (k Key) mac(signed []byte) []byte {
	h := hmac.New(sha256.New, k.secret)
	h.Write(signed)
	return h.Sum(nil)
}

// content is what is signed.
func content(id, timestamp string, body []byte) []byte {
	b := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	b = append(append(append(append(b, id...), '.'), timestamp...), '.')
	return append(b, body...)
}
