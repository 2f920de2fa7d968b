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
	var sent [][]byte
	var wire []byte
	sequence := byte(0)
	for _, size := range []int{0, 1, 5, 300, packetBuffer - 8, packetBuffer, 3 * packetBuffer, gomysql.MaxPayloadLen - 1, gomysql.MaxPayloadLen, gomysql.MaxPayloadLen + 7, 2, 2 * gomysql.MaxPayloadLen, 0, 9} {
		packet := make([]byte, size)
		for i := 0; i < size; i += 97 {
			packet[i] = byte(r.IntN(256))
		}
		sent = append(sent, packet)
		for more := true; more; {
			n := min(len(packet), gomysql.MaxPayloadLen)
			wire = append(append(wire, byte(n), byte(n>>8), byte(n>>16), sequence), packet[:n]...)
			packet, more = packet[n:], n == gomysql.MaxPayloadLen
			sequence++
		}
	}
	p := &packets{conn: dribble{from: bytes.NewReader(wire), r: r}}
	for i, want := range sent {
		got, err := p.next()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("packet %d: %d bytes, want %d: %v", i, len(got), len(want), err)
		}
	}
	if !p.drained() {
		t.Error("something is left")
	}
	if _, err := p.next(); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	wire[3] = 1
	if _, err := (&packets{conn: dribble{from: bytes.NewReader(wire), r: r}}).next(); err != gomysql.ErrMalformPacket {
		t.Error("a packet is missing, and", err)
	}
}
