package cdcd

// Level says how much a log line matters.
type Level int32

// The levels.
const (
	Debug Level = 0
	Info  Level = 1
	Warn  Level = 2
	Error Level = 3
)

// Log writes a line to the log of cdcd. Lines are cut at 1,024 bytes, and 50 a second are written.
func Log(level Level, text string) { hostLog(int32(level), text) }

// Metric adds to a counter, which is named by its place in `metrics` of the manifest.
func Metric(metric int, delta int64) { hostMetric(int32(metric), delta) }
