package person

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Keyring is the secrets that persons' keys are kept with. It may be used by many goroutines at once.
type Keyring struct {
	ids *prf.Set  // names persons
	kek tink.AEAD // wraps their keys
	id  string
}

// keyringFile is a keyring as it is kept: two keysets of Tink. Rotating adds to keys only: with another ids, nobody would find a
// person's key again.
type keyringFile struct {
	IDs  json.RawMessage `json:"ids"`
	Keys json.RawMessage `json:"keys"`
}

// Open reads a keyring. Errors do not hold anything of it.
func Open(text []byte) (*Keyring, error) {
	ids, keys, err := handles(text)
	if err != nil {
		return nil, err
	}
	k := &Keyring{}
	if k.ids, err = prf.NewPRFSet(ids); err != nil {
		return nil, errors.New("its member ids is not a keyset with HMAC_SHA256_PRF keys")
	}
	if k.kek, err = aead.New(keys); err != nil {
		return nil, errors.New("its member keys is not a keyset with AES256_GCM keys")
	}
	primary, err := keys.Primary()
	if err != nil {
		return nil, errors.New("no key of it is the primary one")
	}
	k.id = "persons:" + strconv.FormatUint(uint64(primary.KeyID()), 10) + ":" + k.ID("", "")[:16]
	return k, nil
}

func handles(text []byte) (ids, keys *keyset.Handle, err error) {
	var f keyringFile
	no := errors.New("it is not a keyring: an object with two keysets of Tink, ids and keys")
	if json.Unmarshal(text, &f) != nil {
		return nil, nil, no
	}
	if ids, err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(f.IDs))); err != nil {
		return nil, nil, no
	}
	if keys, err = insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(f.Keys))); err != nil {
		return nil, nil, no
	}
	return ids, keys, nil
}

// NewKeyring returns a keyring with random keys.
func NewKeyring() ([]byte, error) {
	ids, err := keyset.NewHandle(prf.HMACSHA256PRFKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a keyring: %w", err)
	}
	keys, err := keyset.NewHandle(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make a keyring: %w", err)
	}
	return write(ids, keys)
}

// Rotate returns the keyring with a new key that wraps from now on. The old ones stay, to unwrap what they wrapped.
func Rotate(text []byte) ([]byte, error) {
	ids, keys, err := handles(text)
	if err != nil {
		return nil, err
	}
	m := keyset.NewManagerFromHandle(keys)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return nil, fmt.Errorf("rotate a keyring: %w", err)
	}
	if keys, err = m.Handle(); err != nil {
		return nil, fmt.Errorf("rotate a keyring: %w", err)
	}
	return write(ids, keys)
}

func write(ids, keys *keyset.Handle) ([]byte, error) {
	var f keyringFile
	for _, part := range []struct {
		to     *json.RawMessage
		handle *keyset.Handle
	}{{&f.IDs, ids}, {&f.Keys, keys}} {
		var b bytes.Buffer
		if err := insecurecleartextkeyset.Write(part.handle, keyset.NewJSONWriter(&b)); err != nil {
			return nil, fmt.Errorf("write a keyring: %w", err)
		}
		*part.to = b.Bytes()
	}
	out, err := json.Marshal(f)
	return append(out, '\n'), err
}

// Name tells keyrings apart, without giving anything of them away.
func (k *Keyring) Name() string { return k.id }

// ID names a person: 32 hexadecimal digits, that nobody without the keyring gets back to the person from.
func (k *Keyring) ID(kind, subject string) string {
	sum, err := k.ids.ComputePrimaryPRF([]byte(kind+"\x00"+subject), 16)
	if err != nil {
		panic(err) // 16 bytes are fewer than any PRF of Tink gives
	}
	return hex.EncodeToString(sum)
}
