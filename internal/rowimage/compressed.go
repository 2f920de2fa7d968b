package rowimage

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/cdcd-project/cdcd/cdc"
)

// Inflater decompresses the row images of MariaDB's compressed row events, and the values of its COMPRESSED columns. It
// belongs to one goroutine.
type Inflater struct {
	zlib, flate io.ReadCloser
	in          bytes.Reader
	out         bytes.Buffer
}

// Inflate returns the row images, which stay valid until the next call. data is a byte that tells the algorithm and how
// many bytes of length follow, the length, and the compressed images. The length is believed only as far as there is
// something to decompress.
func (f *Inflater) Inflate(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0]>>4&7 != 0 {
		return nil, errUnknownCompression
	}
	return f.inflate(&f.zlib, data)
}

var errUnknownCompression = errors.New("its compression is not known")

// The first byte of a value of a COMPRESSED column: the method, whether the data is without zlib's head and checksum, and how
// many bytes of length follow. An empty value has no byte at all.
const (
	methodStored  = 0 // the value follows as it is
	methodZlib    = 8
	methodBits    = 4
	headlessValue = 1 << 3
)

// value returns the value of a COMPRESSED column, which has most bytes at most. It stays valid until the next call.
func (f *Inflater) value(data []byte, most uint64) ([]byte, error) {
	if len(data) == 0 {
		return data, nil
	}
	switch data[0] >> methodBits {
	case methodStored:
		return data[1:], nil
	case methodZlib:
	default:
		return nil, errUnknownCompression
	}
	if n := 1 + int(data[0]&7); n <= len(data) && uintBE(data[1:n]) > most {
		return nil, errors.New("it would be longer than its column")
	}
	if data[0]&headlessValue != 0 {
		return f.inflate(&f.flate, data)
	}
	return f.inflate(&f.zlib, data)
}

// inflate decompresses what stands behind the first byte and the length that this announces.
func (f *Inflater) inflate(stream *io.ReadCloser, data []byte) ([]byte, error) {
	n := 1 + int(data[0]&7)
	if n > len(data) {
		return nil, errUnknownCompression
	}
	size := uintBE(data[1:n])
	f.in.Reset(data[n:])
	err := error(nil)
	switch {
	case *stream != nil:
		err = (*stream).(zlib.Resetter).Reset(&f.in, nil)
	case stream == &f.flate:
		*stream = flate.NewReader(&f.in)
	default:
		*stream, err = zlib.NewReader(&f.in)
	}
	if err != nil {
		return nil, err
	}
	f.out.Reset()
	got, err := f.out.ReadFrom(io.LimitReader(*stream, int64(min(size, 1<<62))+1))
	switch {
	case err != nil:
		return nil, err
	case uint64(got) != size:
		return nil, fmt.Errorf("it holds another number of bytes than the %d that it tells", size)
	}
	return f.out.Bytes(), nil
}

// inflaters are for values of COMPRESSED columns, whose layouts are read by several goroutines.
var inflaters = sync.Pool{New: func() any { return new(Inflater) }}

// keptByInflaters is what an inflater in the pool may keep of a large value.
const keptByInflaters = 1 << 20

// putCompressed writes a value of a COMPRESSED column.
func (c *column) putCompressed(b *cdc.Builder, data []byte) error {
	f := inflaters.Get().(*Inflater)
	defer func() {
		f.in.Reset(nil)
		if f.out.Cap() > keptByInflaters {
			f.out = bytes.Buffer{}
		}
		inflaters.Put(f)
	}()
	value, err := f.value(data, c.longest)
	if err != nil {
		return err
	}
	return c.put(b, value)
}

// Inflatable reports whether compressed data can be as long as it tells: zlib makes it at most 1032 times shorter.
func Inflatable(data []byte) bool {
	if len(data) == 0 || data[0]>>4&7 != 0 || len(data) < 1+int(data[0]&7) {
		return false
	}
	n := 1 + data[0]&7
	return uintBE(data[1:n]) <= 1032*uint64(len(data))
}
