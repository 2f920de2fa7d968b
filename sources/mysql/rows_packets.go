package mysql

import (
	"io"
	"net"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// packets reads the packets of a result in large pieces and without copying them, which is what go-mysql, packet by
// packet, spends most of its time on. Between the sending of a statement and the end of its result nothing else may read
// from the connection.
type packets struct {
	conn     net.Conn
	patience time.Duration // how long the server may be silent
	sequence byte          // of the next packet

	buf        []byte
	begin, end int    // of what has been read and not been used
	large      []byte // a packet in several parts
}

const packetBuffer = 256 << 10

// next returns the next packet, which is valid until next is called again.
func (p *packets) next() ([]byte, error) {
	packet, last, err := p.part()
	if err != nil || last {
		return packet, err
	}
	p.large = p.large[:0]
	for {
		p.large = append(p.large, packet...)
		if last {
			return p.large, nil
		}
		if packet, last, err = p.part(); err != nil {
			return nil, err
		}
	}
}

// part returns what stands behind one header, and whether the packet ends with it.
func (p *packets) part() (part []byte, last bool, err error) {
	const header = 4
	if err := p.fill(header); err != nil {
		return nil, false, err
	}
	h := p.buf[p.begin:]
	size := int(h[0]) | int(h[1])<<8 | int(h[2])<<16
	if h[3] != p.sequence {
		return nil, false, gomysql.ErrMalformPacket
	}
	p.sequence++
	if err := p.fill(header + size); err != nil {
		return nil, false, err
	}
	part = p.buf[p.begin+header : p.begin+header+size]
	p.begin += header + size
	return part, size < gomysql.MaxPayloadLen, nil
}

// fill sees to it that n bytes lie in the buffer.
func (p *packets) fill(n int) error {
	if p.end-p.begin >= n {
		return nil
	}
	if p.begin+n > len(p.buf) {
		into := p.buf
		if n > len(into) {
			into = make([]byte, max(n, packetBuffer))
		}
		p.begin, p.end = 0, copy(into, p.buf[p.begin:p.end])
		p.buf = into
	}
	for p.end-p.begin < n {
		if err := p.conn.SetReadDeadline(time.Now().Add(p.patience)); err != nil {
			return err
		}
		got, err := p.conn.Read(p.buf[p.end:])
		if p.end += got; err != nil && p.end-p.begin < n {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// drained reports whether all that was read has been used.
func (p *packets) drained() bool { return p.begin == p.end }
