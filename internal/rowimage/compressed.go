package rowimage

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"
)

// Inflater decompresses the row images of MariaDB's compressed row events. It belongs to one goroutine.
type Inflater struct {
	zlib io.ReadCloser
	in   bytes.Reader
	out  bytes.Buffer
}

// Inflate returns the row images, which stay valid until the next call. data is a byte that tells the algorithm and how
// many bytes of length follow, the length, and the compressed images. The length is believed only as far as there is
// something to decompress.
func (f *Inflater) Inflate(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0]>>4&7 != 0 || len(data) < 1+int(data[0]&7) {
		return nil, fmt.Errorf("its compression is not known")
	}
	size := uintBE(data[1 : 1+data[0]&7])
	f.in.Reset(data[1+data[0]&7:])
	var err error
	if f.zlib == nil {
		f.zlib, err = zlib.NewReader(&f.in)
	} else {
		err = f.zlib.(zlib.Resetter).Reset(&f.in, nil)
	}
	if err != nil {
		return nil, err
	}
	f.out.Reset()
	n, err := f.out.ReadFrom(io.LimitReader(f.zlib, int64(min(size, 1<<62))+1))
	switch {
	case err != nil:
		return nil, err
	case uint64(n) != size:
		return nil, fmt.Errorf("it holds another number of bytes than the %d that it tells", size)
	}
	return f.out.Bytes(), nil
}

// Inflatable reports whether compressed data can be as long as it tells: zlib makes it at most 1032 times shorter.
func Inflatable(data []byte) bool {
	if len(data) == 0 || data[0]>>4&7 != 0 || len(data) < 1+int(data[0]&7) {
		return false
	}
	n := 1 + data[0]&7
	return uintBE(data[1:n]) <= 1032*uint64(len(data))
}
