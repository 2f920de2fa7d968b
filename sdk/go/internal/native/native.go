// Package native joins the SDK to its tests where there is no host: package cdcd puts its entry points here, and package cdcdtest
// what a host would do.
package native

// What package cdcd does.
var (
	Configure func(config []byte) error
	Judge     func(frame []uint64) (verdicts []byte, log []byte) // views, good until the next call
	Value     func(kind uint8, number uint64, text string) any   // a cdcd.Value
)

// What the host does.
var (
	Log    = func(level int32, text string) {}
	Metric = func(metric int32, delta int64) {}
	JSON   = func(event uint32, room []byte) int { return -1 }
)
