package fuzz

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// fixFrame makes magic, version, size and checksum right, so that the fuzzer gets past them.
func fixFrame(frame []byte) []byte {
	frame = bytes.Clone(frame)
	if len(frame) < 16 {
		return frame
	}
	le.PutUint32(frame[0:], 0x46434443)
	le.PutUint16(frame[4:], 1)
	le.PutUint32(frame[8:], uint32(len(frame)))
	le.PutUint32(frame[12:], 0)
	le.PutUint32(frame[12:], crc32.Checksum(frame, castagnoli))
	return frame
}

// patch changes single words of a frame, which fuzzers are slow to do by themselves: each patch is 2 bytes that say
// where, and 4 bytes of value, or with the topmost bit of where set the place of another word whose value to take.
func patch(frame, patches []byte) []byte {
	frame = bytes.Clone(frame)
	words := uint32(len(frame) / 4)
	for ; words > 0 && len(patches) >= 6; patches = patches[6:] {
		at, value := le.Uint16(patches), le.Uint32(patches[2:])
		if at&0x8000 != 0 {
			value = le.Uint32(frame[value%words*4:])
		}
		le.PutUint32(frame[uint32(at&0x7fff)%words*4:], value)
	}
	return frame
}

// FuzzFrame opens any bytes as a frame, as they are and with a checksum made right, and reads all that can be read.
func FuzzFrame(f *testing.F) {
	for _, seed := range goldenFrames(f) {
		f.Add(seed, []byte{})
		f.Add(seed, []byte{18, 0, 0xff, 0xff, 0xff, 0xff, 52, 0x80, 30, 0, 0, 0}) // an offset beyond all, and one taken from elsewhere
	}
	for _, seed := range hostileFrames() {
		if len(seed.frame) < 100_000 {
			f.Add(seed.frame, []byte{})
		}
	}
	f.Fuzz(func(t *testing.T, frame, patches []byte) {
		for _, frame := range [][]byte{frame, fixFrame(frame), fixFrame(patch(frame, patches))} {
			var tables cdc.Tables
			b, err := cdc.Open(frame, &tables)
			again, err2 := cdc.Open(frame, &tables)
			if (err == nil) != (err2 == nil) {
				t.Fatalf("at first %v, with known tables %v", err, err2)
			}
			var frameError *cdc.FrameError
			if err != nil && !errors.As(err, &frameError) {
				t.Fatalf("%T: %v", err, err)
			}
			if err == nil {
				readAll(t, b)
				readAll(t, again)
			}
		}
	})
}

// readAll reads all of a batch, in every way that there is. In a frame that Verify accepts all is JSON, and takes only
// so much room.
func readAll(t testing.TB, b *cdc.Batch) {
	verified := b.Verify() == nil
	checkpoint := b.Checkpoint()
	var w cdc.Builder
	w.Reset(b.Header())
	w.AddTx(cdc.Tx{})
	var line, doc []byte
	rows := 0
	for i := range b.Len() {
		e := b.Event(i)
		d := cdc.Decision{Event: e, Matches: []cdc.RuleMatch{{Name: e.Table().Name, Version: e.ID(), Change: b.Header().Writer}}}
		line = cdc.AppendEvent(line[:0], e)
		doc = cdc.AppendRecord(doc[:0], "", &d)
		for _, text := range [][]byte{line, doc} {
			if verified && !json.Valid(text) {
				t.Fatalf("verified, but not JSON: %q", text)
			}
			if verified && bytes.ContainsAny(text, "\n\r") {
				t.Fatalf("not one line: %q", text)
			}
		}
		_ = e.Position().String() + e.CommitTime().String() + e.Op().String()
		_ = e.TxEnds()
		for _, r := range []cdc.Row{e.Before(), e.After()} {
			for c := range r.Len() {
				v := r.Value(c)
				_ = v.String()
				_, _, _, _, _ = v.Bool(), v.Int64(), v.Float64(), v.Civil(), v.Duration()
				_ = v.Time()
				if got, ok := r.Get(e.Table().Columns[c].Name); !ok || verified && got.Kind() != r.Kind(e.Table().Column(e.Table().Columns[c].Name)) {
					t.Fatalf("column %d: %v, %v", c, got, ok)
				}
				rows += len(v.Text())
			}
		}
		w.AddEvent(cdc.EventInfo{No: e.No(), Table: w.AddTable(e.Table()), Op: e.Op(), Before: w.CopyRow(e.Before()), After: w.CopyRow(e.After())})
	}
	if verified && rows > 2*len(b.Frame()) {
		t.Fatalf("verified, but its %d bytes hold %d bytes of text", len(b.Frame()), rows)
	}
	// Whatever can be read can be written. Only texts that shared their bytes may have grown too large together.
	if frame := w.Seal(checkpoint); len(frame) <= cdc.MaxFrame {
		c, err := cdc.Open(frame, nil)
		if err != nil {
			t.Fatalf("a copy cannot be opened: %v", err)
		}
		if c.Len() != b.Len() || (c.Verify() == nil) != verified {
			t.Fatalf("a copy has %d events, %v; the frame %d, %v", c.Len(), c.Verify(), b.Len(), b.Verify())
		}
	}
}

func goldenFrames(t testing.TB) [][]byte {
	files, err := filepath.Glob("../cdc/testdata/*.frame")
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden frames: %v", err)
	}
	var out [][]byte
	for _, file := range files {
		frame, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, frame)
	}
	return out
}

type hostile struct {
	name  string
	frame []byte
	opens bool
}

// hostileFrames are small bytes that a careless reader would blow up: parts named many times, and huge counts.
func hostileFrames() []hostile {
	// A frame is laid out by hand: header, then whatever the case adds.
	base := func(size int) []byte {
		f := make([]byte, size)
		for _, at := range []int{52, 60, 68} { // no transactions, tables, events
			le.PutUint32(f[at+4:], 112)
		}
		le.PutUint32(f[92:], 112) // an empty checkpoint
		return f
	}
	set := func(f []byte, at int, n ...uint32) {
		for i, n := range n {
			le.PutUint32(f[at+4*i:], n)
		}
	}
	const size = 1 << 20
	var out []hostile
	add := func(name string, opens bool, f []byte) { out = append(out, hostile{name, fixFrame(f), opens}) }

	f := base(size) // the dictionary names one entry of half the frame 65536 times
	set(f, 60, 65536, 176)
	set(f, 1<<19, 1<<19, 0)
	for i := range 65536 {
		set(f, 176+4*i, 1<<19)
	}
	add("one table many times", false, f)

	f = base(size) // entries that each begin 8 bytes after the last and end at the end
	set(f, 60, 50_000, 176)
	for i := range 50_000 {
		at := 1<<19 + 8*i
		set(f, 176+4*i, uint32(at))
		set(f, at, uint32(size-at), 0)
	}
	add("tables within tables", false, f)

	table := func(columns int) []byte {
		f := base(size)
		set(f, 60, 1, 176)
		set(f, 176, 184)
		set(f, 184, size-184, uint32(columns))
		for i := range columns {
			f[184+32+32*i+16] = byte(cdc.KindSet)
		}
		return f
	}
	f = table(4096)
	for i := range 4096 {
		set(f, 184+32+32*i, 0, 1024)
	}
	add("columns that share a long name", false, f)
	f = table(4096)
	for i := range 4096 {
		set(f, 184+32+32*i+8, 0, size-184)
	}
	add("columns that share a long type", false, f)
	f = table(4096)
	for i := range 4096 {
		le.PutUint16(f[184+32+32*i+26:], 65535)
		set(f, 184+32+32*i+28, 1<<18)
	}
	add("columns that share their members", false, f)
	f = table(1)
	le.PutUint16(f[184+32+26:], 65535)
	set(f, 184+32+28, 64)
	for i := range 65535 {
		set(f, 184+64+8*i, 0, 1<<19)
	}
	add("members that share a long text", false, f)
	f = table(4096)
	for i := range 4096 {
		le.PutUint16(f[184+32+32*i+22:], 4096)
	}
	add("a key of 4096 columns in one place", true, f)

	// Events of one image, and columns that share their text.
	events := func(columns, events int, image uint32) []byte {
		f := table(columns)
		end := 184 + 32 + 32*columns
		set(f, 184, uint32(end-184))
		tx := (end + 7) &^ 7
		set(f, 52, 1, uint32(tx))
		at := tx + 64
		set(f, 68, uint32(events), uint32(at))
		for i := range events {
			f[at+32*i+18] = byte(cdc.OpInsert)
			set(f, at+32*i+24, image)
		}
		set(f, int(image), size-image, uint32(columns))
		return f
	}
	add("many events of one image", false, events(3, 10_000, 1<<19))
	f = events(4096, 1, 1<<19)
	for i := range 4096 {
		f[1<<19+8+i] = byte(cdc.KindSet)
		set(f, 1<<19+8+4096+8*i, 8+4096+8*4096, 1<<18)
	}
	add("columns that share their text", true, f) // Verify refuses it

	f = base(size)
	set(f, 52, 1<<32-1, 112)
	add("transactions beyond all bounds", false, f)
	f = base(size)
	set(f, 68, 1<<27, 112)
	add("events beyond 32 bits", false, f)
	f = base(size)
	set(f, 60, 1<<30, 112)
	add("tables beyond 32 bits", false, f)
	f = base(size)
	set(f, 112+60, 1<<29)
	add("partitions beyond 32 bits", false, f)
	f = base(256)
	set(f, 76, 1<<32-8, 16)
	add("a source's name around the end of 32 bits", false, f)
	add("nothing at all", true, base(256))
	return out
}

// TestHostileFramesAreCheap measures what opening and verifying costs.
func TestHostileFramesAreCheap(t *testing.T) {
	for _, tt := range hostileFrames() {
		t.Run(tt.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b, err := cdc.Open(tt.frame, nil)
			verified := err == nil && b.Verify() == nil
			runtime.ReadMemStats(&after)
			if (err == nil) != tt.opens {
				t.Errorf("opens: %v, want %v", err, tt.opens)
			}
			if tt.name == "columns that share their text" && verified {
				t.Error("verified")
			}
			if took, limit := after.TotalAlloc-before.TotalAlloc, uint64(8*len(tt.frame)+4096); took > limit {
				t.Errorf("%d bytes took %d, want at most %d", len(tt.frame), took, limit)
			}
		})
	}
	for _, frame := range goldenFrames(t) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := cdc.Open(frame, nil); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if took, limit := after.TotalAlloc-before.TotalAlloc, uint64(8*len(frame)+4096); took > limit {
			t.Errorf("%d bytes took %d, want at most %d", len(frame), took, limit)
		}
	}
}
