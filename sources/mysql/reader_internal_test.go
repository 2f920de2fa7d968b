package mysql

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/klauspost/compress/zstd"
)

// logEvent is an event without a checksum.
func logEvent(kind replication.EventType, body []byte) (*replication.EventHeader, []byte) {
	raw := make([]byte, replication.EventHeaderSize, replication.EventHeaderSize+len(body))
	raw[4] = byte(kind)
	binary.LittleEndian.PutUint32(raw[9:], uint32(cap(raw)))
	raw = append(raw, body...)
	h := &replication.EventHeader{}
	if err := h.Decode(raw); err != nil {
		panic(err)
	}
	return h, raw
}

func TestADecompressionBombTakesTimeAndLittleMemory(t *testing.T) {
	var peak uint64
	var mem runtime.MemStats
	parts := 0
	r := newLogReader(FlavorMySQL, (&selection{}).clone(), func(ev *replication.BinlogEvent, size int) error {
		if _, ok := ev.Event.(payloadPart); ok {
			parts++
		}
		if size < len(ev.RawData) {
			t.Errorf("an event of %d bytes counts as %d", len(ev.RawData), size)
		}
		runtime.ReadMemStats(&mem)
		peak = max(peak, mem.HeapInuse)
		return nil
	})
	format := append([]byte{4, 0}, "8.4.0"...)
	format = append(format, make([]byte, 50-len("8.4.0")+4)...)
	format = append(append(format, replication.EventHeaderSize), make([]byte, 42+5)...)
	if err := r.event(logEvent(replication.FORMAT_DESCRIPTION_EVENT, format)); err != nil {
		t.Fatal(err)
	}
	const pieces = 1 << 10
	_, piece := logEvent(replication.IGNORABLE_EVENT, make([]byte, 1<<20))
	var body bytes.Buffer
	w, err := zstd.NewWriter(&body, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	for range pieces {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	head := binary.LittleEndian.AppendUint64([]byte{payloadSize, 9, 254}, uint64(body.Len()))
	runtime.GC()
	runtime.ReadMemStats(&mem)
	others := mem.HeapInuse // of tests before this one
	peak = 0
	if err := r.event(logEvent(replication.TRANSACTION_PAYLOAD_EVENT, append(append(head, payloadEnd), body.Bytes()...))); err != nil {
		t.Fatal(err)
	}
	peak -= min(peak, others)
	t.Logf("%d bytes become %d MiB, in memory were at most %d MiB", body.Len(), parts, peak>>20)
	if parts != pieces || peak > 64<<20 {
		t.Errorf("%d parts, want %d; %d MiB in memory, more than 64", parts, pieces, peak>>20)
	}
}
