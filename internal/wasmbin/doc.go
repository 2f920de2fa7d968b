// Package wasmbin reads a WebAssembly module that nobody trusts, and refuses what must not reach a compiler.
//
// [Read] goes over the bytes once. It takes time and memory in proportion to the length of the module, whatever the module
// claims: 13 bytes that announce four billion imports are an error here and the end of the process in a reader that
// believes them. It checks that
//
//   - the sections are those of core WebAssembly 2.0, once each and in order, and end where they say;
//   - every index that the module uses is one that it has, so that nothing it says can mean something that is added later;
//   - every instruction is known, control is nested properly, and no instruction is of threads, tail calls, exceptions or
//     garbage collection, which metering does not know;
//   - it stays within [Limits].
//
// It does not check types: the compiler does, and what is inserted by package meter is of no type of the module's.
//
//	m, err := wasmbin.Read(wasm, wasmbin.DefaultLimits)
//	for _, i := range m.Imports { … }
//
// A [Module] is views of the bytes that were read; they must not be changed while it is in use. [Code] walks the
// instructions of a function.
//
// The format: https://www.w3.org/TR/wasm-core-2/, chapter 5.
package wasmbin
