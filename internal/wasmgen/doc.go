// Package wasmgen makes valid WebAssembly modules out of random bytes, for tests of what reads, rewrites and runs modules.
//
//	wasm := wasmgen.Module(input)
//
// A module has a memory, tables, globals, segments and functions with typed expressions, blocks, loops, branches of every kind,
// calls, direct ones and through tables, in cycles, and bulk instructions, some
// on more than a megabyte. Some functions are only called directly. It imports one function, "env" "see" (i64) → i64, by which it can be
// watched. Most loops end. Bits of NaNs, which engines may choose, reach neither memory nor integers.
//
// Each choice takes a byte of the input; where it ends, the simplest is chosen. So a small change of the input is a small
// change of the module, which is what a fuzzer needs.
package wasmgen
