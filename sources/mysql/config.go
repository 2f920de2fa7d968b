package mysql

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/go-mysql-org/go-mysql/client"
)

// The flavors.
const (
	FlavorMySQL   = "mysql"
	FlavorMariaDB = "mariadb"
)

// Config says what to capture, and from where. The zero value of each field but Addr, User and Tables is good.
type Config struct {
	Name     string // name of the source, as it stands in frames
	Addr     string // host:port, or the path of a unix socket
	User     string
	Password string
	Flavor   string      // FlavorMySQL or FlavorMariaDB; "" takes what the server is
	TLS      *tls.Config // see [TLS.Config]; nil: no TLS

	Tables        []string // what is captured: schema.table with * and ? as wildcards, e.g. "shop.*"
	ExcludeTables []string // what of that is not; nothing

	// Columns that never leave the process, not even by name: schema.table.column with * and ? as wildcards. A table's
	// primary key cannot be dropped. Of the columns that are left, the first mask that is for one masks it.
	DropColumns []string
	MaskColumns []ColumnMask

	// Snapshot has the rows that are in the tables already read too, once for each table, beside the log. Tables that the
	// selection gets later are read then.
	Snapshot bool

	// ServerID is how the capture calls itself among the server's replicas. 0 takes a random one per Source, so that
	// two captures of the same server never throw each other off.
	ServerID uint32

	Writer string // names this process in frames
	Epoch  uint64 // epoch of the numbering, see cdc.Header

	FrameBytes    int           // a frame is cut at about this size; 512 KiB
	FrameRows     int           // and at this many events; 4096
	Linger        time.Duration // how long a frame that is not full waits for more transactions; 2 ms
	Heartbeat     time.Duration // a frame without events is sent after this time without frames; 10 s
	QueueBytes    int           // bound of what has been read but is not in a frame yet; 8 MiB
	HoldBytes     int           // bound of rows that wait for the outcome of their transaction: XA, savepoints, MariaDB; 64 MiB
	MaxBackoff    time.Duration // longest pause between two attempts to connect; 30 s
	Patience      time.Duration // how long the server may take to answer a question; 1 min
	SnapshotRows  int           // bound of the rows that a snapshot reads at once; 50000
	SnapshotBytes int           // and of their bytes, roughly; 4 MiB
	SnapshotHold  time.Duration // how long changes may wait while a table without a key is read; 5 min

	// OnTruncate says what happens when a statement removes rows of a captured table without delete events (TRUNCATE, DROP,
	// ALTER TABLE … DROP PARTITION): PolicyWarn (the default) or PolicyHalt.
	OnTruncate string

	// OnUnknownXA says what happens when an XA transaction commits that was prepared before the capture began, whose rows
	// therefore nobody knows: PolicyHalt (the default) or PolicyWarn.
	OnUnknownXA string

	// Oversize says what happens to a change that is larger than a frame may be: PolicyDeadLetter (the default) captures it without
	// its largest values, see cdc.Event.Incomplete; PolicyHalt ends Run.
	Oversize string
	MaxFrame int // bound of a frame, if the next handler takes less than cdc.MaxFrame

	Logger  *slog.Logger     // nil: no log
	Now     func() time.Time // nil: time.Now
	Observe func(Progress)   // nil: nobody looks. Called after each frame that the handler took and about every second, by Run's goroutine.

	// Following, if set, is called by Run's goroutine with nil whenever it has found its place in the log and begins to
	// read from there (at the very first start: after the handler has taken the frame that says where that is), and with
	// the reason when it has lost the server and will connect again.
	Following func(lost error)
}

const holdDefault = 64 << 20

func (c Config) withDefaults() (Config, error) {
	set := func(n *int, to int) {
		if *n <= 0 {
			*n = to
		}
	}
	wait := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.FrameBytes, 512<<10)
	set(&c.FrameRows, 4096)
	set(&c.QueueBytes, 8<<20)
	set(&c.HoldBytes, holdDefault)
	set(&c.SnapshotRows, 50_000)
	set(&c.SnapshotBytes, 4<<20)
	c.SnapshotBytes = min(c.SnapshotBytes, cdc.MaxFrame/4)
	wait(&c.Linger, 2*time.Millisecond)
	wait(&c.Heartbeat, 10*time.Second)
	wait(&c.MaxBackoff, 30*time.Second)
	wait(&c.Patience, time.Minute)
	wait(&c.SnapshotHold, 5*time.Minute)
	set(&c.MaxFrame, cdc.MaxFrame)
	c.MaxFrame = min(c.MaxFrame, cdc.MaxFrame)
	c.FrameBytes = min(c.FrameBytes, c.MaxFrame/2)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Observe == nil {
		c.Observe = func(Progress) {}
	}
	if c.Following == nil {
		c.Following = func(error) {}
	}
	if c.ServerID == 0 {
		c.ServerID = 1<<31 | rand.Uint32()
	}
	if c.Writer == "" {
		host, _ := os.Hostname()
		c.Writer = fmt.Sprintf("%s/%d", host, os.Getpid())
	}
	switch c.Flavor {
	case "", FlavorMySQL, FlavorMariaDB:
	default:
		return c, cdc.Errorf("CDCD-1104", "flavor %q: there are %q and %q", c.Flavor, FlavorMySQL, FlavorMariaDB)
	}
	if len(c.Tables) == 0 {
		return c, cdc.Errorf("CDCD-1208", "no tables to capture").WithFix(`name them, e.g. tables: [shop.*]`)
	}
	return c, nil
}

// dialer returns what connects for both go-mysql's client and its syncer, which hands over host and port. Connections
// end with ctx, whatever they wait for: go-mysql waits on its own for a server that has stopped answering.
//
// One that is made after the end of ctx is the syncer's, to have the server end what it was sending. That is a courtesy.
func (c *Config) dialer(ctx context.Context) client.Dialer {
	network := "tcp"
	if len(c.Addr) > 0 && c.Addr[0] == '/' {
		network = "unix"
	}
	return func(connecting context.Context, _, _ string) (net.Conn, error) {
		const courtesy = time.Second
		d := net.Dialer{Timeout: min(10*time.Second, c.Patience), KeepAlive: 15 * time.Second}
		if ctx.Err() != nil {
			d.Timeout = courtesy
		}
		conn, err := d.DialContext(connecting, network, c.Addr)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			conn.SetDeadline(time.Now().Add(courtesy))
			return lastConn{conn}, nil
		}
		return &boundConn{Conn: conn, unbind: context.AfterFunc(ctx, func() { conn.Close() }), slack: min(time.Second, c.Patience/16)}, nil
	}
}

// boundConn is closed when its context ends. go-mysql moves its read deadline with each packet, a row or less, which
// costs as much as the reading: moves by less than slack are left out.
type boundConn struct {
	net.Conn
	unbind func() bool
	slack  time.Duration
	readBy atomic.Int64 // the read deadline in nanoseconds since 1970, or 0
}

// SetReadDeadline implements net.Conn.
func (c *boundConn) SetReadDeadline(t time.Time) error {
	by := int64(0)
	if !t.IsZero() {
		by = t.UnixNano()
	}
	if moved := by - c.readBy.Load(); by != 0 && moved >= 0 && moved < int64(c.slack) {
		return nil
	}
	c.readBy.Store(by)
	return c.Conn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *boundConn) SetDeadline(t time.Time) error {
	c.readBy.Store(0)
	return c.Conn.SetDeadline(t)
}

func (c *boundConn) Close() error {
	c.unbind()
	return c.Conn.Close()
}

// lastConn keeps its deadline.
type lastConn struct{ net.Conn }

func (lastConn) SetDeadline(time.Time) error      { return nil }
func (lastConn) SetReadDeadline(time.Time) error  { return nil }
func (lastConn) SetWriteDeadline(time.Time) error { return nil }

// hostPort splits the address for the syncer, which announces the port to the server and has dial connect.
func (c *Config) hostPort() (string, uint16) {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return c.Addr, 0
	}
	n, _ := strconv.ParseUint(port, 10, 16)
	return host, uint16(n)
}
