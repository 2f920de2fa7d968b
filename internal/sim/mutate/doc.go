// Command mutate breaks the delivery of changes in one place after the other, and has the simulation find each of them.
//
//	go run ./internal/sim/mutate
package main
