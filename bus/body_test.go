package bus

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/klauspost/compress/s2"

	"github.com/cdcd-project/cdcd/cdc"
)

func TestABodyIsTheFrameOrSmaller(t *testing.T) {
	noise := make([]byte, 10_000)
	rand.Read(noise)
	for name, frame := range map[string][]byte{
		"rows alike":  append([]byte(frameMagic), bytes.Repeat([]byte("paid,1200.00;"), 1000)...),
		"noise":       append([]byte(frameMagic), noise...),
		"short":       append([]byte(frameMagic), 1, 2, 3),
		"the largest": append([]byte(frameMagic), make([]byte, cdc.MaxFrame-len(frameMagic))...),
	} {
		t.Run(name, func(t *testing.T) {
			body := pack(frame)
			if len(body) > len(frame) {
				t.Errorf("a body of %d bytes for a frame of %d", len(body), len(frame))
			}
			got, err := unpack(body)
			if err != nil || !bytes.Equal(got, frame) {
				t.Errorf("got %d bytes, %v; want the frame of %d", len(got), err, len(frame))
			}
		})
	}
}

func TestABodyThatIsNoFrameIsRefused(t *testing.T) {
	packed := s2.Encode(nil, append([]byte(frameMagic), bytes.Repeat([]byte("x"), 5000)...))
	for name, body := range map[string][]byte{
		"empty":          {},
		"no length":      {0xff, 0xff, 0xff},
		"too long":       {0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"cut short":      packed[:len(packed)-1],
		"not compressed": []byte("hello"),
	} {
		t.Run(name, func(t *testing.T) {
			if b, err := openBody(body, nil); err == nil {
				t.Errorf("opened as a batch of %d events", b.Len())
			}
		})
	}
}
