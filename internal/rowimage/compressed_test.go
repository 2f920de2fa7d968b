package rowimage

import (
	"bytes"
	"compress/zlib"
	"testing"
)

func TestCompressedImagesMustBeAsLongAsTheySay(t *testing.T) {
	images := bytes.Repeat([]byte("row "), 1000)
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	if _, err := w.Write(images); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	event := func(head ...byte) []byte { return append(head, packed.Bytes()...) }
	var f Inflater
	for _, tt := range []struct {
		name string
		data []byte
		ok   bool
	}{
		{"as MariaDB writes it", event(0x82, 0x0f, 0xa0), true},
		{"again", event(0x84, 0, 0, 0x0f, 0xa0), true},
		{"nothing", nil, false},
		{"no length", []byte{0x84, 0, 0}, false},
		{"another algorithm", event(0x92, 0x0f, 0xa0), false},
		{"too short a length", event(0x82, 0x0f, 0x9f), false},
		{"too long a length, by far", event(0x87, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), false},
		{"cut off", event(0x82, 0x0f, 0xa0)[:20], false},
		{"not compressed", []byte{0x81, 4, 'r', 'o', 'w', 's'}, false},
		{"after all that", event(0x82, 0x0f, 0xa0), true},
	} {
		got, err := f.Inflate(tt.data)
		if tt.ok != (err == nil) || tt.ok && !bytes.Equal(got, images) {
			t.Errorf("%s: %d bytes, error %v", tt.name, len(got), err)
		}
	}
}
