//go:build !wasip1

package cdcd

import (
	"unsafe"

	"github.com/cdcd-project/cdcd/sdk/go/internal/native"
)

func hostLog(level int32, text string) { native.Log(level, text) }

func hostMetric(metric int32, delta int64) { native.Metric(metric, delta) }

func hostJSON(event uint32, room []byte) int { return native.JSON(event, room) }

func init() {
	native.Configure = func(config []byte) error {
		growInput(uint32(len(config)))
		copy(input(), config)
		return configureWith(uint32(len(config)))
	}
	native.Judge = func(frame []uint64) (verdicts, log []byte) {
		growInput(uint32(8 * len(frame)))
		copy(in, frame)
		out.verdicts = [maxEvents]Verdict{}
		judgeBatch()
		verdicts = unsafe.Slice((*byte)(unsafe.Pointer(&out.verdicts)), out.cursor)
		return verdicts, unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(edits.words))), 8*edits.kept)
	}
	native.Value = func(kind uint8, number uint64, text string) any { return Value{Kind(kind), number, text} }
}
