// Package e2e proves the guarantees of the whole program: the real binary, real MariaDB and MySQL servers, a real S3
// server, real kills. It has only tests. Each runs a ledger workload (package ledger), breaks something, and then holds
// what is in the bucket against what was committed.
//
// The seed of a run is printed; CDCD_E2E_SEED repeats it. CDCD_E2E_KILLS sets how often cdcd is killed (default 30).
package e2e
