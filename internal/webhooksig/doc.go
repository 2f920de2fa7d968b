// Package webhooksig signs messages and checks their signatures as Standard Webhooks says
// (https://www.standardwebhooks.com): over id, time and body, with HMAC-SHA256 (v1) or Ed25519 (v1a), with as many keys at
// once as a rotation needs.
//
//	key, err := webhooksig.ParseKey("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
//	signature := webhooksig.Sign("shop/acme/00/17", time.Now(), body, key)
//	err = webhooksig.Verify(webhooksig.Message{ID: id, Timestamp: timestamp, Signature: signature, Body: body}, time.Now(), key)
package webhooksig
