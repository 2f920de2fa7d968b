// Package person encrypts what is known of persons with a key for each of them, so that destroying one key erases one person
// everywhere: in the stream, in what was delivered, in copies and backups of both.
//
//	sealer := person.New(kinds, keyring, store)
//	sealed, err := sealer.Seal(ctx, batch)   // between a source and the stream; an error means: offer the batch again
//
// A person is of a kind (customer) and has a subject, the value of a column that names it (42). Its key is random, made when it is
// first needed, and kept in a [Store], wrapped by the keyring, under a keyed hash of kind and subject. A sealed value is AES-SIV
// (RFC 5297) of the text that a record would carry, with schema.table.column as associated data, in base64: equal values of one
// person in one column look alike, those of two persons do not. Where the person is not known the value is redacted, and of one
// whose key was destroyed it is [Erased].
package person
