package audit

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/proof"
)

// Checkpoint is the statement that is signed: the log of this name has this root at this size.
type Checkpoint = proof.Checkpoint

// OpenCheckpoint checks the signature of a checkpoint with a public key as it stands in a .pub file, and reads it.
// Signatures of others, such as witnesses, are left alone.
func OpenCheckpoint(signed []byte, key string) (Checkpoint, error) {
	return proof.OpenCheckpoint(signed, key)
}

// historyLine is one line of checkpoints.jsonl.
type historyLine struct {
	Time       time.Time `json:"time"` // by our clock; not signed
	Checkpoint string    `json:"checkpoint"`
}

func (h historyLine) encode() []byte {
	text, _ := json.Marshal(h) // has nothing that could fail
	return append(text, '\n')
}

// loadKey reads the private key, or makes it if there is none. It also sees to the public key beside it.
func loadKey(d *durable.Disk, path, origin string) (signer note.Signer, public string, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		secret, _, err := note.GenerateKey(rand.Reader, origin)
		if err != nil {
			return nil, "", fmt.Errorf("make audit key: %w", err)
		}
		if _, err := d.Create(path, []byte(secret+"\n"), 0o600); err != nil {
			return nil, "", fmt.Errorf("write audit key: %w", err)
		}
		return loadKey(d, path, origin)
	}
	if err != nil {
		return nil, "", fmt.Errorf("audit key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, "", cdc.Errorf(codeKey, "others may read the audit key %s (mode %04o): who has it can forge the log", path, info.Mode().Perm()).
			WithFix("chmod 600 %s", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("audit key: %w", err)
	}
	bad := func(why string) error {
		return cdc.Errorf(codeKey, "audit key %s: %s", path, why).WithFix("restore the file from a backup")
	}
	secret := strings.TrimSpace(string(text))
	if signer, err = note.NewSigner(secret); err != nil {
		return nil, "", bad("it is not a private key")
	}
	if signer.Name() != origin {
		return nil, "", bad(fmt.Sprintf("it is the key of the log %q, not of %q", signer.Name(), origin))
	}
	if public, err = publicKey(secret, origin); err != nil {
		return nil, "", bad("it is not an Ed25519 key")
	}
	if have, err := os.ReadFile(path + ".pub"); err != nil || strings.TrimSpace(string(have)) != public {
		if err := d.Replace(path+".pub", []byte(public+"\n"), 0o644); err != nil {
			return nil, "", fmt.Errorf("write audit public key: %w", err)
		}
	}
	return signer, public, nil
}

// publicKey derives the public key from "PRIVATE+KEY+<name>+<hash>+<base64 of 1, seed>". Names have no plus.
func publicKey(secret, origin string) (string, error) {
	fields := strings.SplitN(secret, "+", 5)
	raw, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(raw) != 1+ed25519.SeedSize || raw[0] != 1 {
		return "", errors.New("not an Ed25519 key")
	}
	key := ed25519.NewKeyFromSeed(raw[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(origin, key)
}
