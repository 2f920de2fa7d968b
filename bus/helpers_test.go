package bus

import (
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/cdcd-project/cdcd/cdc"
)

// natsServer is an external server that tests can stop and start again at the same address.
type natsServer struct {
	dir  string
	port int
	srv  *server.Server
}

// loopback is an address of this process alone, so that nobody takes a port while its server is being restarted.
func loopback() string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", 1+pid>>16&0x3f, pid>>8&0xff, 1+pid&0x7f)
}

func newServer(t testing.TB) *natsServer {
	t.Helper()
	n := &natsServer{dir: t.TempDir(), port: server.RANDOM_PORT}
	n.start(t)
	n.port = n.srv.Addr().(*net.TCPAddr).Port
	t.Cleanup(n.stop)
	return n
}

func (n *natsServer) start(t testing.TB) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: loopback(), Port: n.port, NoSigs: true, NoLog: true, JetStream: true, StoreDir: n.dir, SyncAlways: true,
		MaxPayload: cdc.MaxFrame + messageOverhead, JetStreamMaxStore: 1 << 34,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server does not start")
	}
	n.srv = srv
}

func (n *natsServer) stop() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

func (n *natsServer) addr() string { return n.srv.Addr().String() }
func (n *natsServer) url() string  { return "nats://" + n.addr() }

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
