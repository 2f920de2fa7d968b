package webhooksig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// The vector that the libraries of Standard Webhooks are tested with.
const (
	vectorSecret    = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

// RFC 8032, 7.1, test 1: the key; what is signed is ours.
const (
	rfcSeed   = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	rfcPublic = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
)

func parse(t *testing.T, text string) Key {
	t.Helper()
	k, err := ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignaturesAreThoseOfTheReferenceLibraries(t *testing.T) {
	for _, text := range []string{vectorSecret, "whsec_" + vectorSecret} {
		k := parse(t, text)
		if got := Sign(vectorID, time.Unix(vectorTime, 0), []byte(vectorBody), k); got != vectorSignature {
			t.Errorf("got %s, want %s", got, vectorSignature)
		}
	}
	private := parse(t, "whsk_"+rfcSeed)
	if private.Public() != rfcPublic {
		t.Errorf("public key %s, want %s", private.Public(), rfcPublic)
	}
}

func TestVerify(t *testing.T) {
	seed := bytes.Repeat([]byte{7}, 32)
	privateText, publicText := NewPrivateKey(seed)
	private, public := parse(t, privateText), parse(t, publicText)
	secret, older := parse(t, vectorSecret), parse(t, NewSecret(bytes.Repeat([]byte{9}, 32)))
	at := time.Unix(vectorTime, 0)
	body := []byte(vectorBody)
	good := Message{vectorID, fmt.Sprint(vectorTime), vectorSignature, body}
	with := func(f func(m *Message)) Message {
		m := good
		f(&m)
		return m
	}
	tests := []struct {
		name string
		m    Message
		now  time.Time
		keys []Key
		want error
	}{
		{"the vector", good, at, []Key{secret}, nil},
		{"five minutes late", good, at.Add(5 * time.Minute), []Key{secret}, nil},
		{"too late", good, at.Add(5*time.Minute + time.Second), []Key{secret}, ErrTimestamp},
		{"too early", good, at.Add(-5*time.Minute - time.Second), []Key{secret}, ErrTimestamp},
		{"another key", good, at, []Key{older}, ErrSignature},
		{"one of two keys", good, at, []Key{older, secret}, nil},
		{"no key", good, at, nil, ErrSignature},
		{"two signatures", with(func(m *Message) { m.Signature = Sign(m.ID, at, body, older, private, secret) }), at, []Key{secret}, nil},
		{"the second is Ed25519", with(func(m *Message) { m.Signature = Sign(m.ID, at, body, older, private) }), at, []Key{public}, nil},
		{"Ed25519 of another body", with(func(m *Message) { m.Signature = Sign(m.ID, at, []byte("x"), private) }), at, []Key{public}, ErrSignature},
		{"v1 under the name of v1a", with(func(m *Message) { m.Signature = "v1a," + vectorSignature[3:] }), at, []Key{secret, public}, ErrSignature},
		{"another body", with(func(m *Message) { m.Body = []byte("{}") }), at, []Key{secret}, ErrSignature},
		{"another id", with(func(m *Message) { m.ID += "x" }), at, []Key{secret}, ErrSignature},
		{"another time", with(func(m *Message) { m.Timestamp = fmt.Sprint(vectorTime + 1) }), at, []Key{secret}, ErrSignature},
		{"the time written otherwise", with(func(m *Message) { m.Timestamp = "+" + m.Timestamp }), at, []Key{secret}, ErrSignature},
		{"no number", with(func(m *Message) { m.Timestamp = "soon" }), at, []Key{secret}, ErrTimestamp},
		{"far away", with(func(m *Message) { m.Timestamp = "-9223372036854775808" }), at, []Key{secret}, ErrTimestamp},
		{"no id", with(func(m *Message) { m.ID = "" }), at, []Key{secret}, ErrIncomplete},
		{"no signature", with(func(m *Message) { m.Signature = "" }), at, []Key{secret}, ErrIncomplete},
		{"an unknown version before it", with(func(m *Message) { m.Signature = "v9,!!! " + m.Signature }), at, []Key{secret}, nil},
		{"behind too many others", with(func(m *Message) { m.Signature = strings.Repeat("v1,AAAA ", maxSignatures) + m.Signature }), at, []Key{secret}, ErrSignature},
		{"an empty signature", with(func(m *Message) { m.Signature = "v1," }), at, []Key{secret}, ErrSignature},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := Verify(tt.m, tt.now, tt.keys...); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, text := range []string{"", "whsec_", "whsec_!!!", "whsec_AAAA", "whpk_" + vectorSecret, "whsk_AAAA",
		"whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 64))} {
		if k, err := ParseKey(text); err == nil {
			t.Errorf("%q: taken as %v", text, k)
		} else if len(text) > 8 && strings.Contains(err.Error(), text[6:]) {
			t.Errorf("%q: the error shows it: %v", text, err)
		}
	}
}

func TestKeysAreReadOneALine(t *testing.T) {
	keys, err := ParseKeys("# new\nwhsec_" + vectorSecret + "\r\n\n" + rfcPublic + "\n")
	if err != nil || len(keys) != 2 || !keys[0].Shared() || keys[1].CanSign() || !keys[1].CanVerify() {
		t.Errorf("got %v, %v", keys, err)
	}
	if text := fmt.Sprintf("%v %+v %#v %s", keys[0], keys[0], keys[0], keys[0]); strings.Contains(text, "MfKQ") || strings.Contains(text, "77") {
		t.Errorf("a secret shows: %s", text)
	}
	for text, want := range map[string]string{"# none\n": "no key", "\nwhsec_x\n": "line 2"} {
		if _, err := ParseKeys(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
