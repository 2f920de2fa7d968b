// Package partner is for who receives objects of cdcd: it fetches them in order, checks that nothing is missing, changed or
// doubled, goes on where it was when it is killed, verifies the events that tell of objects, and signs receipts. It links the standard
// library and golang.org/x/mod alone, and shares no code with what delivers, but for signatures.
//
//	p, err := partner.Open(partner.Config{Store: bucket, State: "state.json", Deliver: partner.Folder("incoming")})
//	defer p.Close()
//	report, err := p.Pull(ctx) // a *partner.Fault when what is there is not what it should be
//
// A [Store] is a bucket or a folder, for reading. What [Puller.Pull] checks of each object before [Config.Deliver] gets it:
//
//   - its ordinal is the next one of its chain, and it names the checksum of the one before it
//   - it answers for the events behind those that the one before it answers for, without a gap
//   - its bytes have the checksum and size, its records the number and the Merkle root, that it says
//   - with [Config.Log], the audit log has it with just these, under a checkpoint that is signed and continues the last one seen
//
// Deliver has an object when it returns nil, and then the state is written. Who dies in between gets the object again: for
// [Folder] that is the same file once more, so each record is there once. A Deliver of your own keeps Object.Chain and
// Object.Ordinal with what it stores, in the same transaction, and passes over what it has.
//
// [VerifyTrigger] checks an event; it is only a reason to pull, and may come twice, or late. A [Receipt] tells the sender
// that its object, and all before it in its chain, are here.
package partner
