package partner

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/internal/webhooksig"
)

// Key signs receipts or verifies triggers: a shared secret (whsec_…), a private key (whsk_…) or a public key (whpk_…).
type Key = webhooksig.Key

// ParseKey reads a key as it is written down.
func ParseKey(text string) (Key, error) { return webhooksig.ParseKey(text) }

// ParseKeys reads keys, one a line.
func ParseKeys(text string) ([]Key, error) { return webhooksig.ParseKeys(text) }

// The most that a trigger and a receipt have.
const (
	MaxTrigger = 64 << 10
	MaxReceipt = 4 << 10
)

// Trigger is a CloudEvent that tells of an object, as far as a partner needs it.
type Trigger struct {
	ID      string    `json:"id"` // the same as often as it is sent
	Source  string    `json:"source"`
	Type    string    `json:"type"`    // cdcd.object.v1, or cdcd.test.v1 without Data
	Subject string    `json:"subject"` // the object's key
	Time    time.Time `json:"time"`
	Data    struct {
		Chain       string `json:"chain"`
		Ordinal     uint64 `json:"ordinal"`
		Store       string `json:"store"`
		Key         string `json:"key"`
		Size        int64  `json:"size"`
		SHA256      string `json:"sha256"`
		Records     int    `json:"records"`
		RecordsRoot string `json:"records_root"`
		FirstPartNo uint64 `json:"first_part_no"`
		LastPartNo  uint64 `json:"last_part_no"`
		PrevKey     string `json:"prev_key"`
		PrevSHA256  string `json:"prev_sha256"`
		Checkpoint  string `json:"checkpoint"` // signed
		URL         string `json:"url"`
	} `json:"data"`
}

// VerifyTrigger checks the signature of a trigger, and that it is not older than five minutes, and reads it. header and
// body are those of the request, unchanged. It may be a repetition: see [Trigger.ID].
func VerifyTrigger(header http.Header, body []byte, now time.Time, keys ...Key) (Trigger, error) {
	var t Trigger
	if len(body) > MaxTrigger {
		return t, errors.New("trigger: too large")
	}
	if err := webhooksig.Verify(message(header, body), now, keys...); err != nil {
		return t, fmt.Errorf("trigger: %w", err)
	}
	if err := json.Unmarshal(body, &t); err != nil {
		return t, fmt.Errorf("trigger: %w", err)
	}
	if t.ID != header.Get(webhooksig.HeaderID) {
		return t, errors.New("trigger: its id is not that of its header")
	}
	return t, nil
}

func message(header http.Header, body []byte) webhooksig.Message {
	return webhooksig.Message{ID: header.Get(webhooksig.HeaderID), Timestamp: header.Get(webhooksig.HeaderTimestamp),
		Signature: header.Get(webhooksig.HeaderSignature), Body: body}
}

// Receipt says that a partner has an object, and all before it in its chain.
type Receipt struct {
	Chain   string    `json:"chain"`
	Ordinal uint64    `json:"ordinal"`
	Key     string    `json:"key"`
	SHA256  string    `json:"sha256"` // of the stored bytes as the partner has got them
	Time    time.Time `json:"time"`   // when it had them
}

// Sign returns the receipt's body and its headers.
func (r Receipt) Sign(now time.Time, keys ...Key) (header http.Header, body []byte) {
	r.Time = r.Time.UTC()
	body, _ = json.Marshal(r) // has nothing that could fail, before the year 10000
	id := fmt.Sprintf("receipt/%s/%d", r.Chain, r.Ordinal)
	header = http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set(webhooksig.HeaderID, id)
	header.Set(webhooksig.HeaderTimestamp, strconv.FormatInt(now.Unix(), 10))
	header.Set(webhooksig.HeaderSignature, webhooksig.Sign(id, now, body, keys...))
	return header, body
}

// VerifyReceipt checks a receipt's signature, of which only Ed25519's count: with a shared secret whoever receives it could
// have made it, too.
func VerifyReceipt(header http.Header, body []byte, now time.Time, keys ...Key) (Receipt, error) {
	if len(body) > MaxReceipt {
		return Receipt{}, errors.New("receipt: too large")
	}
	var public []Key
	for _, k := range keys {
		if !k.Shared() {
			public = append(public, k)
		}
	}
	if err := webhooksig.Verify(message(header, body), now, public...); err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	return ParseReceipt(body)
}

// ParseReceipt reads a receipt's body, strictly.
func ParseReceipt(body []byte) (r Receipt, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return Receipt{}, fmt.Errorf("receipt: %w", err)
	}
	if dec.More() {
		return Receipt{}, errors.New("receipt: there is more behind it")
	}
	if r.Chain == "" || len(r.Chain) > 200 || r.Ordinal == 0 || r.Key == "" || len(r.Key) > 1024 || len(r.SHA256) != 64 || strings.Trim(r.SHA256, "0123456789abcdef") != "" ||
		r.Time.UTC().Year() < 2000 || r.Time.UTC().Year() > 9998 {
		return Receipt{}, errors.New("receipt: chain, ordinal, key, sha256 or time is missing or cannot be right")
	}
	return r, nil
}
