// Command mutate judges the tests of package match.
//
//	go run ./internal/match/mutate
package main
