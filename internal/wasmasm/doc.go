// Package wasmasm puts WebAssembly modules together from parts that can be read, for tests: of a plugin that loops, of one that
// lies, of one that no compiler would make.
//
//	m := wasmasm.Module{Pages: 1, Funcs: []wasmasm.Func{
//		{Export: "forever", Code: wasmasm.Loop(wasmasm.Br(0))},
//	}}
//	wasm := m.Bytes()
//
// Nothing is checked: what is put in wrong comes out wrong, which is what some tests want.
package wasmasm
