//go:build wasip1

package cdcd

import "unsafe"

//go:wasmimport cdc1 log
//go:noescape
func hostLog(level int32, text string)

//go:wasmimport cdc1 metric
//go:noescape
func hostMetric(metric int32, delta int64)

//go:wasmimport cdc1 json
//go:noescape
func importJSON(event uint32, address unsafe.Pointer, room uint32) int32

func hostJSON(event uint32, room []byte) int {
	return int(importJSON(event, unsafe.Pointer(unsafe.SliceData(room)), uint32(len(room))))
}

//go:wasmexport cdc_abi_1
func exportMarker() {}

//go:wasmexport cdc_arena
func exportArena(kind, bytes uint32) unsafe.Pointer {
	switch {
	case kind == 0:
		return growInput(bytes)
	case kind == 1 && bytes <= uint32(unsafe.Sizeof(out)):
		return unsafe.Pointer(&out)
	}
	return nil
}

//go:wasmexport cdc_init
func exportInit(bytes uint32) int32 {
	err := configureWith(bytes)
	if err == nil {
		return 0
	}
	if n := copy(input(), err.Error()); n > 0 {
		return int32(n)
	}
	return -1 // wrong, without a text
}

//go:wasmexport cdc_batch
func exportBatch(uint32) int32 {
	judgeBatch()
	return 0
}
