package mysql

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// dribble is a connection that gives as many bytes at once as it likes.
type dribble struct {
	net.Conn
	from io.Reader
	r    *rand.Rand
}

func (d dribble) SetReadDeadline(time.Time) error { return nil }

func (d dribble) Read(b []byte) (int, error) { return d.from.Read(b[:min(len(b), 1+d.r.IntN(1<<20))]) }

func TestPacketsAreCutAsTheyWereSent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, gomysql.MaxPayloadLen+7)
	for i := 0; i < len(data); i += 97 {
		data[i] = byte(r.IntN(256))
	}
	sizes := []int{0, 1, 5, 300, packetBuffer - 8, packetBuffer, 3 * packetBuffer, gomysql.MaxPayloadLen - 1, gomysql.MaxPayloadLen, 2, gomysql.MaxPayloadLen + 7, 0, 9}
	var wire []io.Reader
	sequence := byte(0)
	for _, size := range sizes {
		packet := data[:size]
		for more := true; more; {
			n := min(len(packet), gomysql.MaxPayloadLen)
			wire = append(wire, bytes.NewReader([]byte{byte(n), byte(n >> 8), byte(n >> 16), sequence}), bytes.NewReader(packet[:n]))
			packet, more = packet[n:], n == gomysql.MaxPayloadLen
			sequence++
		}
	}
	p := &packets{conn: dribble{from: io.MultiReader(wire...), r: r}}
	for i, size := range sizes {
		got, err := p.next()
		if err != nil || !bytes.Equal(got, data[:size]) {
			t.Fatalf("packet %d: %d bytes, want %d: %v", i, len(got), size, err)
		}
	}
	if !p.drained() {
		t.Error("something is left")
	}
	if _, err := p.next(); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	if _, err := (&packets{conn: dribble{from: bytes.NewReader([]byte{1, 0, 0, 1, 0}), r: r}}).next(); err != gomysql.ErrMalformPacket {
		t.Error("a packet is missing, and", err)
	}
}
