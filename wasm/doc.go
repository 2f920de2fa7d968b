// Package wasm judges changes in plugins: WebAssembly modules that other people write and nobody has to trust.
//
// What it has so far is the gate that every module goes through before a compiler sees it: internal/module vets the bytes,
// internal/meter rewrites them so that they count what they do.
package wasm
