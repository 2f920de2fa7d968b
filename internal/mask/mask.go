package mask

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/tink-crypto/tink-go/v2/daead"
	"github.com/tink-crypto/tink-go/v2/daead/aessiv"
	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/key"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/prf"
	"github.com/tink-crypto/tink-go/v2/prf/hmacprf"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Method is how values are masked.
type Method string

// The methods.
const (
	HMAC    Method = "hmac"    // HMAC-SHA256 of the value, 64 hexadecimal digits
	Encrypt Method = "encrypt" // AES-SIV (RFC 5297), bound to the column, base64
)

// Mask is a method with its key. It is immutable and may be used by many goroutines at once.
type Mask struct {
	method Method
	hmac   *prf.Set
	siv    tink.DeterministicAEAD
	id     string
	feed   string // that the masks are for; "": for all
}

// New returns the mask of a method with a keyset in Tink's JSON form. Of several keys the primary one masks. Errors do
// not hold anything of the keyset.
func New(m Method, keys []byte) (*Mask, error) {
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(keys)))
	if err != nil {
		return nil, errors.New("it is not a keyset of Tink in JSON without encryption")
	}
	primary, err := handle.Primary()
	if err != nil {
		return nil, errors.New("no key of it is the primary one")
	}
	if !m.fits(primary.Key()) {
		return nil, fmt.Errorf("its primary key is not one for %s, which takes %s", m, m.keyType())
	}
	out := &Mask{method: m}
	if m == HMAC {
		out.hmac, err = prf.NewPRFSet(handle)
	} else {
		out.siv, err = daead.New(handle)
	}
	if err != nil {
		return nil, fmt.Errorf("not every key of it is one for %s, which takes %s", m, m.keyType())
	}
	probe, err := out.text(idText, []byte(idText))
	if err != nil {
		return nil, fmt.Errorf("its primary key cannot be used for %s", m)
	}
	sum := sha256.Sum256([]byte(probe))
	out.id = fmt.Sprintf("%s:%d:%x", m, primary.KeyID(), sum[:8])
	return out, nil
}

// idText is what is masked to tell keys apart.
const idText = "cdcd mask key id"

func (m Method) fits(k key.Key) bool {
	switch m {
	case HMAC:
		p, ok := k.Parameters().(*hmacprf.Parameters)
		return ok && p.HashType() == hmacprf.SHA256
	case Encrypt:
		_, ok := k.Parameters().(*aessiv.Parameters)
		return ok
	}
	return false
}

// keyType says what Tink calls the keys that a method takes.
func (m Method) keyType() string {
	return map[Method]string{HMAC: "HMAC_SHA256_PRF", Encrypt: "AES256_SIV"}[m]
}

// ID tells masks apart: two with the same ID give the same masks. It holds the method and Tink's number of the key.
func (m *Mask) ID() string { return m.id }

// Column describes a column whose values are masked.
func (m *Mask) Column(c cdc.Column) cdc.Column {
	masked := cdc.Column{Name: c.Name, Kind: cdc.KindString, Nullable: c.Nullable, Key: c.Key, Type: "text"}
	if m.method == HMAC {
		masked.Type = "char(64)"
	}
	return masked
}

// Value returns what stands for a value of the column. place is schema.table.column; it binds what [Encrypt] makes.
func (m *Mask) Value(place string, c *cdc.Column, v cdc.Value) (cdc.Value, error) {
	if v.IsNull() || v.IsAbsent() {
		return v, nil
	}
	text, err := m.text(place, cdc.AppendText(nil, c, v))
	if err != nil {
		return cdc.Value{}, err
	}
	return cdc.TextValue(cdc.KindString, text), nil
}

// For returns a mask with the same key whose masks are those of one feed: of the same values another feed has others.
func (m *Mask) For(feed string) *Mask {
	out := *m
	out.feed = feed
	return &out
}

func (m *Mask) text(place string, text []byte) (string, error) {
	if m.feed != "" { // no name of a feed or of a schema holds a zero byte
		place = m.feed + "\x00" + place
	}
	if m.method == HMAC {
		if m.feed != "" {
			text = append([]byte(m.feed+"\x00"), text...)
		}
		sum, err := m.hmac.ComputePrimaryPRF(text, sha256.Size)
		return hex.EncodeToString(sum), err
	}
	sealed, err := m.siv.EncryptDeterministically(text, []byte(place))
	return base64.StdEncoding.EncodeToString(sealed), err
}

// Reveal returns the text that [Encrypt] masked in the column, with whichever key of the keyset masked it.
func (m *Mask) Reveal(place, masked string) (string, error) {
	if m.method != Encrypt {
		return "", fmt.Errorf("what %s makes cannot be revealed", m.method)
	}
	sealed, err := base64.StdEncoding.DecodeString(masked)
	if err != nil {
		return "", errors.New("it is not base64")
	}
	bound := place
	if m.feed != "" {
		bound = m.feed + "\x00" + place
	}
	text, err := m.siv.DecryptDeterministically(sealed, []byte(bound))
	if err != nil {
		if m.feed != "" {
			return "", fmt.Errorf("it was not made with a key of this keyset for the column %s of feed %s", place, m.feed)
		}
		return "", fmt.Errorf("it was not made with a key of this keyset for the column %s", place)
	}
	return string(text), nil
}

// NewKeyset returns a keyset in Tink's JSON form with one new random key for the method.
func NewKeyset(m Method) ([]byte, error) { return addKey(m, keyset.NewManager()) }

// Rotate returns the keyset with a new random primary key. The old keys stay in it, to reveal what they masked.
func Rotate(m Method, keys []byte) ([]byte, error) {
	if _, err := New(m, keys); err != nil {
		return nil, err
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewJSONReader(bytes.NewReader(keys)))
	if err != nil {
		return nil, err
	}
	return addKey(m, keyset.NewManagerFromHandle(handle))
}

func addKey(m Method, manager *keyset.Manager) ([]byte, error) {
	template := prf.HMACSHA256PRFKeyTemplate()
	if m == Encrypt {
		template = daead.AESSIVKeyTemplate()
	}
	id, err := manager.Add(template)
	if err == nil {
		err = manager.SetPrimary(id)
	}
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", m, err)
	}
	handle, err := manager.Handle()
	if err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", m, err)
	}
	var out bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewJSONWriter(&out)); err != nil {
		return nil, fmt.Errorf("make a key for %s: %w", m, err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
