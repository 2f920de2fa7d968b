// Package bench measures cdcd as a whole on real servers, and prints the figures beside those that it is to reach:
//
//	make bench
//	make bench-delivery
//
// What is compared with each other is measured in one run, in turns, and given as ratios: absolute figures are those of
// the machine. docs/performance.md says what each means. It is a benchmark and not a test: nothing fails because it is
// slow, but whatever is delivered late, twice or not at all fails it.
package bench
