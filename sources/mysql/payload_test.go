package mysql_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/klauspost/compress/zstd"
)

// packed is how MySQL packs a number of up to eight bytes.
func packed(n uint64) []byte {
	if n < 251 {
		return []byte{byte(n)}
	}
	return binary.LittleEndian.AppendUint64([]byte{254}, n)
}

// payload is the body of a TRANSACTION_PAYLOAD event.
func payload(way, uncompressed uint64, data []byte) []byte {
	var body []byte
	field := func(kind byte, n uint64) {
		value := packed(n)
		body = append(append(body, kind, byte(len(value))), value...)
	}
	field(2, way)
	field(3, uncompressed)
	field(1, uint64(len(data)))
	return append(append(body, 0), data...)
}

func compressed(parts ...[]byte) (out []byte) {
	for _, part := range parts { // each a frame of its own
		w, err := zstd.NewWriter(nil)
		if err != nil {
			panic(err)
		}
		out = w.EncodeAll(part, out)
	}
	return out
}

// compressedLog is a binlog with two compressed transactions and the parts of the first, one event after the other.
func compressedLog(t *testing.T, s *testenv.Server) (log, parts []byte) {
	t.Helper()
	s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v TEXT)", "SET SESSION binlog_transaction_compression = ON",
		"INSERT INTO shop.a VALUES (1, REPEAT('x', 1000)), (2, 'y')", "UPDATE shop.a SET v = 'z'", "FLUSH BINARY LOGS")
	log, err := os.ReadFile(s.BinlogFiles(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	rewritten(log, func(body []byte) []byte {
		if parts == nil {
			r, err := zstd.NewReader(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if parts, err = r.DecodeAll(body[bytes.Index(body, []byte{0x28, 0xb5, 0x2f, 0xfd}):], nil); err != nil {
				t.Fatal(err)
			}
		}
		return body
	})
	return log, parts
}

// rewritten is the log with other bodies of compressed transactions, and what depends on their sizes.
func rewritten(log []byte, edit func(body []byte) []byte) []byte {
	out := bytes.Clone(log[:4])
	for at := 4; at < len(log); {
		size := int(binary.LittleEndian.Uint32(log[at+9:]))
		event := bytes.Clone(log[at : at+size])
		at += size
		if replication.EventType(event[4]) == replication.TRANSACTION_PAYLOAD_EVENT {
			event = append(append(event[:19:19], edit(event[19:size-4])...), 0, 0, 0, 0)
		}
		binary.LittleEndian.PutUint32(event[9:], uint32(len(event)))
		binary.LittleEndian.PutUint32(event[13:], uint32(len(out)+len(event)))
		end := len(event) - 4
		binary.LittleEndian.PutUint32(event[end:], crc32.ChecksumIEEE(event[:end]))
		out = append(out, event...)
	}
	return out
}

func TestCompressedTransactionsOfEveryShape(t *testing.T) {
	t.Parallel()
	s := testenv.MySQL(t)
	log, parts := compressedLog(t, s)
	read := func(t *testing.T, log []byte) (*recorder, error) {
		path := filepath.Join(t.TempDir(), "binlog.000001")
		if err := os.WriteFile(path, log, 0o600); err != nil {
			t.Fatal(err)
		}
		source, err := mysql.Files(config(s), path)
		if err != nil {
			t.Fatal(err)
		}
		rec := newRecorder()
		return rec, source.Run(t.Context(), cdc.Checkpoint{}, rec.handle)
	}
	want, err := read(t, log)
	if err != nil || len(want.list()) != 4 {
		t.Fatalf("%v, %v", want.list(), err)
	}
	xid := parts[len(parts)-27:] // the last, 8 bytes long
	if replication.EventType(xid[4]) != replication.XID_EVENT {
		t.Fatalf("the transaction ends with an event of type %d", xid[4])
	}
	sized := func(size uint32) []byte {
		out := bytes.Clone(parts)
		binary.LittleEndian.PutUint32(out[9:], size)
		return compressed(out)
	}
	typed := func(kind replication.EventType) []byte {
		out := bytes.Clone(parts)
		out[4] = byte(kind)
		return compressed(out)
	}
	whole := compressed(parts)
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 0xff
	for name, test := range map[string]struct {
		body []byte
		says string // the error; "" is none
	}{
		"as it was":                            {payload(0, uint64(len(parts)), whole), ""},
		"not compressed":                       {payload(255, uint64(len(parts)), parts), ""},
		"in several frames":                    {payload(0, uint64(len(parts)), compressed(parts[:30], parts[30:])), ""},
		"with an enormous size that is not so": {payload(0, math.MaxUint64, whole), ""},
		"with a size of nothing":               {payload(0, 0, whole), ""},
		"with a field that is not known":       {append([]byte{9, 3, 1, 2, 3}, payload(0, 1, whole)...), ""},
		"compressed in an unknown way":         {payload(7, uint64(len(parts)), whole), "not known (7)"},
		"of nothing":                           {payload(0, 0, compressed(nil)), "before the one of"},
		"of no bytes":                          {payload(0, 0, nil), "before the one of"},
		"an empty body":                        {nil, "cut short"},
		"a head that is cut short":             {[]byte{2, 1}, "cut short"},
		"a field without a value":              {[]byte{2, 0, 0}, "broken"},
		"a field that is cut short":            {[]byte{2, 2, 252, 1, 0}, "broken"},
		"less than its head says":              {payload(0, 0, whole)[:100], "head says"},
		"cut short":                            {payload(0, 0, whole[:len(whole)-20]), "in the compressed transaction"},
		"one bit is wrong":                     {payload(0, 0, flipped), "in the compressed transaction"},
		"something behind it":                  {payload(0, 0, append(bytes.Clone(whole), 1, 2, 3, 4, 5)), "in the compressed transaction"},
		"a window of a gigabyte":               {payload(0, 0, []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0xa0, 1, 0, 0}), "window size exceeded"},
		"events cut short in the head":         {payload(0, 0, compressed(parts[:len(parts)-20])), "cut short"},
		"events cut short":                     {payload(0, 0, compressed(parts[:len(parts)-1])), "cut short"},
		"without the end of the transaction":   {payload(0, 0, compressed(parts[:len(parts)-27])), "before the one of"},
		"going on after the end":               {payload(0, 0, compressed(parts, xid)), "outside of any transaction"},
		"an event of five bytes":               {payload(0, 0, sized(5)), "the size 5"},
		"an event of four gigabytes":           {payload(0, 0, sized(math.MaxUint32)), "the size 4294967295"},
		"an event of one gigabyte, it says":    {payload(0, 0, sized(1<<30)), "cut short"},
		"a transaction in a transaction":       {payload(0, 0, typed(replication.TRANSACTION_PAYLOAD_EVENT)), "cannot be a part"},
		"another description of the log":       {payload(0, 0, typed(replication.FORMAT_DESCRIPTION_EVENT)), "cannot be a part"},
		"a BEGIN that is a TABLE_MAP":          {payload(0, 0, typed(replication.TABLE_MAP_EVENT)), "TABLE_MAP is cut short"},
	} {
		t.Run(name, func(t *testing.T) {
			first := true
			got, err := read(t, rewritten(log, func(body []byte) []byte {
				if !first {
					return body
				}
				first = false
				return test.body
			}))
			if test.says == "" {
				if err != nil {
					t.Fatal(err)
				}
				compare(t, short(got.list()), short(want.list()))
				return
			}
			var coded *cdc.Error
			if !errors.As(err, &coded) || coded.Code != "CDCD-1307" || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want CDCD-1307 with %q", err, test.says)
			}
			if slices.ContainsFunc(got.frames, func(b *cdc.Batch) bool {
				return b.Len() > 0 && b.Event(b.Len()-1).TxEnds() && test.says != "outside of any transaction"
			}) {
				t.Error("a transaction ended that did not")
			}
		})
	}
}
