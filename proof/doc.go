// Package proof checks offline what cdcd's audit log proves: that a record, or an object, was delivered as it is, under a
// checkpoint that the log's key has signed. It links the standard library and golang.org/x/mod/sumdb only, so that whoever
// receives data can have it without the rest of cdcd.
//
//	p, err := proof.Parse(file)                        // a .tlog-proof from `cdcd audit prove`
//	result, err := p.Check(proof.Claim{Key: key, Record: line})
//	if fault := (*proof.Fault)(nil); errors.As(err, &fault) {
//		fmt.Println(fault.Part, fault.Why)             // which part is not what was signed, and why
//	}
//
// A proof is a text file as C2SP's tlog-proof (https://c2sp.org/tlog-proof) has it. Its extra data is the leaf, and for a
// record the way from the record to the root over all records of its object, which the leaf names:
//
//	record ── path in the object ──> leaf.object.records_root      leaf ── path in the log ──> root of the checkpoint
//
// [Cosign] and [Open] are the part of witnesses: who adds a cosignature (https://c2sp.org/tlog-cosignature) to a checkpoint
// says that it continues all others that he has seen of this log, and has checked that with [Request.Check].
package proof
