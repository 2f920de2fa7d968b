package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Checkpoint is the statement that is signed: the log of this name has this root at this size.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// Text is the checkpoint before it is signed.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// OpenCheckpoint checks the signature of a checkpoint with the log's public key, as it stands in a .pub file, and reads it.
// Signatures of others, such as witnesses, are left alone.
func OpenCheckpoint(signed []byte, key string) (Checkpoint, error) {
	c, _, err := Open(signed, key)
	return c, err
}

// Cosigned says that a witness had seen a checkpoint, and no other of the log that contradicts it, at a time of his clock.
type Cosigned struct {
	By   string    `json:"by"`
	Time time.Time `json:"time"`
}

// Open does what [OpenCheckpoint] does, and demands a valid cosignature of each of the witnesses, given by their public keys.
func Open(signed []byte, key string, witnesses ...string) (Checkpoint, []Cosigned, error) {
	_, c, by, err := open(signed, key, witnesses)
	return c, by, err
}

func open(signed []byte, key string, witnesses []string) (*note.Note, Checkpoint, []Cosigned, error) {
	log, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return nil, Checkpoint{}, nil, fmt.Errorf("public key: %w", err)
	}
	verifiers := []note.Verifier{log}
	for _, w := range witnesses {
		v, err := newCosignatureVerifier(w)
		if err != nil {
			return nil, Checkpoint{}, nil, fmt.Errorf("public key of a witness: %w", err)
		}
		verifiers = append(verifiers, v)
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return nil, Checkpoint{}, nil, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := parseCheckpoint(n.Text)
	if err == nil && c.Origin != log.Name() {
		err = fmt.Errorf("checkpoint is of %q, the key is of %q", c.Origin, log.Name())
	}
	if err != nil {
		return nil, c, nil, err
	}
	var by []Cosigned
	for i, v := range verifiers {
		s, ok := signature(n, v)
		switch {
		case !ok && i == 0:
			return nil, c, nil, fmt.Errorf("checkpoint: it is not signed by the log %s itself", v.Name())
		case !ok:
			return nil, c, nil, fmt.Errorf("checkpoint: witness %s has not cosigned it", v.Name())
		case i > 0:
			raw, _ := base64.StdEncoding.DecodeString(s.Base64) // it was verified
			by = append(by, Cosigned{v.Name(), time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC()})
		}
	}
	return n, c, by, nil
}

// signature returns the verified signature of a verifier.
func signature(n *note.Note, v note.Verifier) (note.Signature, bool) {
	for _, s := range n.Sigs {
		if s.Name == v.Name() && s.Hash == v.KeyHash() {
			return s, true
		}
	}
	return note.Signature{}, false
}

func parseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4) // more lines are extensions, which we do not use
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, errors.New("checkpoint: it does not have three lines")
	}
	size, err := parseNumber(lines[1])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is not a size", lines[1])
	}
	root, err := parseHash(lines[2])
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %q is not a hash", lines[2])
	}
	return Checkpoint{lines[0], size, root}, nil
}

// parseNumber reads a number that is written in the one way that it can be.
func parseNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && (n < 0 || strconv.FormatInt(n, 10) != s) {
		err = strconv.ErrSyntax
	}
	return n, err
}

func parseHash(s string) (tlog.Hash, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(raw) != tlog.HashSize {
		return tlog.Hash{}, fmt.Errorf("%.50q is not a hash", s)
	}
	return tlog.Hash(raw), nil
}

// algCosignature is the number of Ed25519 cosignatures in keys of signed notes.
const algCosignature = 4

// NewCosigner makes the keys of a witness. The name identifies him, like a URL without its scheme; it has no space or plus.
func NewCosigner(random io.Reader, name string) (secret, public string, err error) {
	if !validName(name) {
		return "", "", fmt.Errorf("%q cannot be the name of a witness: it must be text without space and plus", name)
	}
	key, private, err := ed25519.GenerateKey(random)
	if err != nil {
		return "", "", err
	}
	material := append([]byte{algCosignature}, key...)
	public = fmt.Sprintf("%s+%08x+%s", name, keyHash(name, material), base64.StdEncoding.EncodeToString(material))
	material = append([]byte{algCosignature}, private.Seed()...)
	secret = fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", name, keyHash(name, material), base64.StdEncoding.EncodeToString(material))
	return secret, public, nil
}

// CosignerKey returns the public key that belongs to a witness's secret one.
func CosignerKey(secret string) (public string, err error) {
	s, err := newCosigner(secret, time.Time{})
	if err != nil {
		return "", err
	}
	material := append([]byte{algCosignature}, s.key.Public().(ed25519.PublicKey)...)
	return fmt.Sprintf("%s+%08x+%s", s.name, s.hash, base64.StdEncoding.EncodeToString(material)), nil
}

// Cosign adds the cosignature of a witness to a checkpoint that the log has signed. It checks that signature; that the
// checkpoint continues those which the witness has cosigned before is the caller's part ([Request.Check]).
func Cosign(signed []byte, key, secret string, now time.Time) ([]byte, error) {
	if _, err := OpenCheckpoint(signed, key); err != nil {
		return nil, err
	}
	signer, err := newCosigner(secret, now)
	if err != nil {
		return nil, err
	}
	log, err := note.NewVerifier(strings.TrimSpace(key))
	if err != nil {
		return nil, err
	}
	n, err := note.Open(signed, note.VerifierList(log))
	if err != nil {
		return nil, err
	}
	return note.Sign(n, signer)
}

// AddCosignatures adds the cosignatures of the witnesses that are among lines, as a witness has answered them, to a checkpoint.
// Each of the witnesses must have given a valid one; what others have signed is not added.
func AddCosignatures(signed []byte, key string, lines []byte, witnesses ...string) ([]byte, error) {
	n, _, _, err := open(slices.Concat(signed, lines), key, witnesses)
	if err != nil {
		return nil, err
	}
	n.UnverifiedSigs = slices.DeleteFunc(n.UnverifiedSigs, func(s note.Signature) bool { return !bytes.Contains(signed, []byte(s.Base64)) })
	return note.Sign(n)
}

// cosigner signs as a witness, at one time.
type cosigner struct {
	name string
	hash uint32
	key  ed25519.PrivateKey
	now  time.Time
}

func newCosigner(secret string, now time.Time) (*cosigner, error) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(secret), "PRIVATE+KEY+")
	name, material, err := parseKey(rest, ed25519.SeedSize)
	if !ok || err != nil {
		return nil, errors.New("it is not the secret key of a witness")
	}
	key := ed25519.NewKeyFromSeed(material)
	return &cosigner{name, keyHash(name, append([]byte{algCosignature}, key.Public().(ed25519.PublicKey)...)), key, now}, nil
}

func (c *cosigner) Name() string    { return c.name }
func (c *cosigner) KeyHash() uint32 { return c.hash }

func (c *cosigner) Sign(text []byte) ([]byte, error) {
	at := uint64(c.now.Unix())
	return append(binary.BigEndian.AppendUint64(nil, at), ed25519.Sign(c.key, cosignedText(at, text))...), nil
}

// cosignatureVerifier verifies the cosignatures of one witness.
type cosignatureVerifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

func newCosignatureVerifier(public string) (*cosignatureVerifier, error) {
	name, key, err := parseKey(strings.TrimSpace(public), ed25519.PublicKeySize)
	if err != nil {
		return nil, err
	}
	return &cosignatureVerifier{name, keyHash(name, append([]byte{algCosignature}, key...)), key}, nil
}

func (v *cosignatureVerifier) Name() string    { return v.name }
func (v *cosignatureVerifier) KeyHash() uint32 { return v.hash }

func (v *cosignatureVerifier) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(sig)
	return at < 1<<63 && ed25519.Verify(v.key, cosignedText(at, text), sig[8:])
}

func cosignedText(at uint64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
}

// parseKey reads "<name>+<hash>+<base64 of algorithm, key>", of a witness.
func parseKey(s string, size int) (name string, key []byte, err error) {
	fields := strings.SplitN(s, "+", 3)
	if len(fields) != 3 || !validName(fields[0]) {
		return "", nil, errors.New("it does not have the form <name>+<hash>+<key>")
	}
	raw, err := base64.StdEncoding.DecodeString(fields[2])
	switch {
	case err != nil || len(raw) == 0:
		return "", nil, errors.New("it does not end with a key in base64")
	case raw[0] != algCosignature:
		return "", nil, fmt.Errorf("it is a key of type %d, that of a witness who signs with Ed25519 has type %d", raw[0], algCosignature)
	case len(raw) != 1+size || fmt.Sprintf("%08x", keyHash(fields[0], raw)) != fields[1]:
		return "", nil, errors.New("it is not whole: its hash is another one")
	}
	return fields[0], raw[1:], nil
}

func validName(name string) bool {
	return name != "" && strings.ToValidUTF8(name, "") == name && !strings.ContainsFunc(name, unicode.IsSpace) && !strings.Contains(name, "+")
}

func keyHash(name string, material []byte) uint32 {
	sum := sha256.Sum256(append([]byte(name+"\n"), material...))
	return binary.BigEndian.Uint32(sum[:])
}
