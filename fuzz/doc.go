// Package fuzz holds one fuzz target per input that strangers control. There is nothing to import here.
//
// A target uses exported API only, and states what must hold for any input: it never panics, never takes more than its
// share of time and memory, and what it accepts is what it says. Its seeds are what tests of the package have as
// golden files, plus hand-made hostile inputs; what the fuzzer has found is kept in testdata/fuzz and runs with every
// `go test`.
//
//	go test ./fuzz -fuzz '^FuzzFrame$' -fuzztime 60s -fuzzminimizetime 1s
//	make fuzz
//
// Without -fuzzminimizetime, go test may spend a minute on making each new input smaller, and try nothing else meanwhile.
//
// For rules against CEL it is values that matter, not code: TestDecideRandomly tries as many cases as it can in the time
// that it is given, and prints the rule and the change when the two differ.
//
//	go test ./fuzz -run TestDecideRandomly -decide.for 1h -timeout 0 -v
package fuzz
