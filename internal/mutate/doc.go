// Package mutate judges tests: it breaks the code that they are about in one place after the other and runs them on each
// broken copy. A change that no test notices is reported, unless the list says why it changes nothing.
//
//	err := mutate.Run([]mutate.Mutant{{File: "internal/match/index.go", From: "a < b", To: "a <= b"}}, os.Args[1:], "./internal/match")
package mutate
