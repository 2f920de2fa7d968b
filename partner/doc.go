// Package partner is for who receives objects of cdcd.
//
//	trigger, err := partner.VerifyTrigger(r.Header, body, time.Now(), keys...)
//
// [VerifyTrigger] checks the event that tells of an object, [Receipt.Sign] signs that it was fetched.
package partner
