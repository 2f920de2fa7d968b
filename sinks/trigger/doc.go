// Package trigger tells somebody of each object of a chain, in the order of the chain, at least once. It makes no calls
// itself: [Config.Send] does, to a webhook or a subject of NATS.
//
//	t := trigger.New(trigger.Config{Chain: "shop/acme/00", Audited: …, Told: …, Note: …, Find: …, Send: hook.Post})
//	go t.Run(ctx)
//	t.Kick() // after each object that was audited; never waits
//
// There is one type, [Teller], for one chain and one place to tell. It owns nothing that a crash could take: what is
// audited and not told is derived from two ordinals of the audit log, so what comes back after a crash tells the one
// object again that it may have told already, under the same id. A Teller that waits, for however long, holds up nobody:
// the chain, other feeds and other places have their own.
//
// What is not taken is sent again, with a pause that grows up to some minutes and is random, or as long as the other
// side asks for. After [Config.GiveUp], or when the other side says that it wants no more (Gone), the Teller is
// disabled: durably, until [Teller.Enable] or until it is another place that is told. It then goes on with the object
// that was not taken, so that nothing is left out in between.
//
// The event is a CloudEvent, see [Event].
package trigger
