// Package s3 keeps objects in a bucket of Amazon S3 or of a server that speaks its protocol.
//
// A [Store] writes an object only if there is none under its key (PutObject with If-None-Match: *), which is what makes
// a chain of objects safe against writers that were thought dead. Everything that a person has to mend (access, bucket,
// region, clock, credentials) comes back as a *cdc.Error with a code; everything else (timeouts, 5xx, resets) as a
// plain error, after which the caller waits and tries again.
//
//	store, err := s3.Open(ctx, s3.Config{URL: "s3://partner-acme/changes", Region: "eu-central-1"})
//	created, err := store.Put(ctx, "p=00/dt=2026-11-21/00000000000000000001.jsonl", body, map[string]string{"cdcd-ordinal": "1"})
//
// The store has to be an S3 that honours If-None-Match; sinks/chain asks it before it trusts it.
package s3
