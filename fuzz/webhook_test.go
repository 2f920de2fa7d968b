package fuzz

import (
	"bytes"
	"net/http"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/webhooksig"
	"github.com/cdcd-project/cdcd/partner"
)

// FuzzWebhook: what a stranger sends to a partner's URL is only taken when it is signed, whatever its headers say.
func FuzzWebhook(f *testing.F) {
	now := time.Unix(1614265330, 0)
	secret, err := webhooksig.ParseKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		f.Fatal(err)
	}
	private, _ := webhooksig.NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	signer, err := webhooksig.ParseKey(private)
	if err != nil {
		f.Fatal(err)
	}
	body := []byte(`{"id":"shop/acme/00/1/aa","type":"cdcd.object.v1","data":{"ordinal":1}}`)
	f.Add("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", []byte(`{"test": 2432232314}`))
	f.Add("shop/acme/00/1/aa", "1614265330", webhooksig.Sign("shop/acme/00/1/aa", now, body, secret, signer), body)
	f.Add("", "-1", "v1, v1a, v9,==== ,,,", []byte("{"))
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		m := webhooksig.Message{ID: id, Timestamp: timestamp, Signature: signature, Body: body}
		taken := webhooksig.Verify(m, now, secret, signer) == nil
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		tr, err := partner.VerifyTrigger(header, body, now, secret, signer)
		if err == nil && (!taken || tr.ID != id) {
			t.Fatalf("taken as a trigger: %+v", tr)
		}
		// Whatever is taken is not taken with another body, id or key.
		if taken {
			other, m2, m3 := m, m, m
			other.Body, m2.ID = append(bytes.Clone(body), ' '), id+"x"
			m3.Signature = ""
			for _, m := range []webhooksig.Message{other, m2, m3} {
				if webhooksig.Verify(m, now, secret, signer) == nil {
					t.Fatalf("taken, too: %+v", m)
				}
			}
			if webhooksig.Verify(m, now.Add(24*time.Hour), secret, signer) == nil {
				t.Fatal("taken a day later")
			}
		}
		// What we sign is taken.
		if id != "" {
			m.Timestamp, m.Signature = "1614265330", webhooksig.Sign(id, now, body, signer)
			if err := webhooksig.Verify(m, now, signer); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzReceipt: what a partner sends is a receipt that says the same when it is written again, or none.
func FuzzReceipt(f *testing.F) {
	private, _ := webhooksig.NewPrivateKey(bytes.Repeat([]byte{1}, 32))
	signer, err := webhooksig.ParseKey(private)
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(1614265330, 0)
	r := partner.Receipt{Chain: "shop/acme/00", Ordinal: 1, Key: "p=00/dt=2026-11-21/00000000000000000001.jsonl",
		SHA256: "0000000000000000000000000000000000000000000000000000000000000000", Time: now}
	_, body := r.Sign(now, signer)
	f.Add(body)
	f.Add([]byte(`{"chain":"a","ordinal":18446744073709551615,"key":"k","sha256":"","time":"9999-12-31T23:59:59Z"}`))
	f.Add([]byte(`{}{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := partner.ParseReceipt(body)
		if err != nil {
			return
		}
		header, again := r.Sign(now, signer)
		back, err := partner.VerifyReceipt(header, again, now, signer)
		if err != nil || !back.Time.Equal(r.Time) || back.Chain != r.Chain || back.Ordinal != r.Ordinal || back.Key != r.Key || back.SHA256 != r.SHA256 {
			t.Fatalf("%+v became %+v, %v", r, back, err)
		}
	})
}
