// Package cdcd is for writing plugins of cdcd in Go: functions that judge row changes, compiled to WebAssembly.
//
// A plugin registers one function, which gets one change after the other and says whether to keep it:
//
//	package main
//
//	import cdcd "github.com/cdcd-project/cdcd/sdk/go"
//
//	// The columns that plugin.yaml declares, in its order.
//	const (
//		status = iota
//		total
//	)
//
//	func init() { cdcd.Filter(judge) }
//
//	func judge(e *cdcd.Event) cdcd.Verdict {
//		if !e.Changed(status) || e.After(status).Text() != "paid" {
//			return cdcd.Drop
//		}
//		if cdcd.CompareDecimals(e.After(total).Text(), "1000") >= 0 {
//			e.Tag("big")
//		}
//		return cdcd.Keep
//	}
//
//	func main() {}
//
// It is built by the standard toolchain; `cdcd plugin build` does so and adds the manifest:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o plugin.wasm .
//
// # Columns
//
// A column is named by its place in `columns` of the manifest, whatever the table; a column that may be altered by its place in
// `edits`. Constants with iota say it best. A place that the manifest does not have is an author's mistake, and panics.
//
// # What lives how long
//
// An [Event] and all texts that are read from it, [Value.Text] among them, are views of the plugin's input: they are good until
// the function that got the event returns, and then become something else. What must live longer is copied
// (strings.Clone). In return nothing is allocated: not by reading values, not by edits, not by verdicts, so that Go's garbage
// collector has nothing to do unless the plugin's own code makes it.
//
// # The same answer every time
//
// The same change must be judged the same whatever came before it. Variables are for caches and for what [Init] made of the
// configuration; what has been written to them may be undone at any time. Clocks show the commit time of the change, and there is no network and
// no file system. Maps are ranged over in an order that nobody promises.
//
// # When something goes wrong
//
// A change that cannot be judged is answered with [Event.Error]. A panic ends the plugin's instance: the change is tried once more in a
// new one, and if it panics again it is reported with the stack.
//
// # Tests
//
// `cdcd plugin test` runs the built module. The package compiles natively too, so `go test` works as everywhere; package
// cdcdtest makes events.
package cdcd
