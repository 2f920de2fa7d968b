// Package wasm runs plugins: WebAssembly modules, in whatever language they were written, that judge changes.
//
// A [Host] loads them. Nothing of a module runs before it was vetted and metered, so that it can neither run away nor reach anything,
// and computes the same on every machine (ABI.md is the interface that plugins are written to). A [Plugin] with the configuration of a rule
// is a [Filter], which judges changes by the batch:
//
//	host, err := wasm.NewHost(wasm.Config{Dir: "/var/lib/cdcd/compiled"})
//	plugin, err := host.Load(ctx, module, wasm.Limits{})
//	filter, err := plugin.Filter(ctx, json.RawMessage(`{"threshold": 100}`))
//	err = filter.Judge(ctx, events, verdicts)
//
// What is wrong with one change is an error of its verdict, a [*Trap] that says what the plugin did; an error of Judge is of the world, and
// the changes are to be offered again.
//
// # A plugin that fails
//
// The plugin says in its memory which change it is looking at. When it fails, those before it are judged, and the one that it was looking
// at is judged once more, alone, by an instance in its pristine state: memory and variables as they were when it had begun. If that
// works, the state was to blame; if not, the change. An instance never goes on in the state in which it has failed. A plugin that keeps
// failing is quarantined.
//
// # What is not trusted
//
// Neither the module nor anything that it answers: lengths and addresses, verdicts, edits, the cursor. An answer that cannot be read counts for
// nothing; its changes are offered again in smaller parts until it is clear which one it is.
package wasm
