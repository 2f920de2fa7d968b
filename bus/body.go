package bus

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/s2"

	"github.com/cdcd-project/cdcd/cdc"
)

// A message's body is a frame, or one compressed as an S2 block where that makes it smaller. The embedded server keeps in
// memory what it has taken within the last ten seconds, so the size of a row in the stream decides how much memory
// cdcd needs at full rate, beside the disk and what is synced to it.
//
// The two are told apart by their first bytes. A frame begins with its magic; a block that began with the same bytes
// would say that it holds 67 bytes, which is less than any frame.

const frameMagic = "CDCF"

// pack returns the body for a frame. It may be the frame itself.
func pack(frame []byte) []byte {
	if packed := s2.Encode(nil, frame); len(packed) < len(frame) {
		return packed
	}
	return frame
}

// unpack returns the frame of a body. It never takes more memory than a frame may have.
func unpack(body []byte) ([]byte, error) {
	if len(body) >= len(frameMagic) && string(body[:len(frameMagic)]) == frameMagic {
		return body, nil
	}
	if n, used := binary.Uvarint(body); used <= 0 || n > cdc.MaxFrame {
		return nil, fmt.Errorf("%d bytes that are neither a frame nor a compressed one", len(body))
	}
	frame, err := s2.Decode(nil, body)
	if err != nil {
		return nil, fmt.Errorf("%d bytes that should be a compressed frame: %w", len(body), err)
	}
	return frame, nil
}

// openBody opens the frame of a body.
func openBody(body []byte, tables *cdc.Tables) (*cdc.Batch, error) {
	frame, err := unpack(body)
	if err != nil {
		return nil, err
	}
	return cdc.Open(frame, tables)
}
