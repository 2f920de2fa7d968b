package wasm

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
)

// budget is the memory that all instances of a host share.
type budget struct {
	most int64
	used atomic.Int64
}

// take takes bytes from the budget, or none of them.
func (b *budget) take(bytes int64) bool {
	if b.used.Add(bytes) <= b.most {
		return true
	}
	b.used.Add(-bytes)
	return false
}

func (b *budget) give(bytes int64) { b.used.Add(-bytes) }

// linear is the memory of an instance. It lies outside of the Go heap, in as many bytes of address space as it may ever have, and
// is zero where it was never written to: growing it moves nothing.
type linear struct {
	budget *budget
	count  *atomic.Int64 // the bytes of the plugin's instances
	buf    []byte
	size   int64 // taken from the budget
	refuse bool  // growth was refused for the budget's sake

	free sync.Once
}

// newLinear makes a memory that begins with size bytes; false: the budget does not have them.
func newLinear(b *budget, count *atomic.Int64, size int64) (*linear, bool) {
	if !b.take(size) {
		return nil, false
	}
	count.Add(size)
	return &linear{budget: b, count: count, size: size}, true
}

// Allocate implements experimental.MemoryAllocator: an instance has one memory.
func (l *linear) Allocate(_, most uint64) experimental.LinearMemory {
	buf, err := mapMemory(int(most))
	if err != nil { // there is no address space left
		panic(fmt.Errorf("memory of %d bytes: %w", most, err))
	}
	l.buf = buf
	return l
}

// Reallocate implements experimental.LinearMemory.
func (l *linear) Reallocate(size uint64) []byte {
	if size > uint64(len(l.buf)) {
		return nil
	}
	if more := int64(size) - l.size; more > 0 {
		if !l.budget.take(more) {
			l.refuse = true
			return nil
		}
		l.count.Add(more)
		l.size = int64(size)
	}
	return l.buf[:size:size]
}

// Free implements experimental.LinearMemory. It may be called again.
func (l *linear) Free() {
	l.free.Do(func() {
		unmapMemory(l.buf)
		l.buf = nil
		l.count.Add(-l.size)
		l.budget.give(l.size)
	})
}

// refill makes dst what src is, and zero behind it. It does so in pieces: the garbage collector cannot interrupt a long copy.
func refill(dst, src []byte) {
	for len(dst) > 0 {
		n := min(1<<20, len(dst))
		src = refillPiece(dst[:n], src)
		dst = dst[n:]
	}
}

// refillPiece is a function of its own because calling one is where the collector can step in.
//
//go:noinline
func refillPiece(dst, src []byte) (rest []byte) {
	n := copy(dst, src)
	clear(dst[n:])
	return src[n:]
}
