package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// cluster is three servers that can be stopped and started one by one, and cut off from each other.
type cluster struct {
	opts  [3]*server.Options
	srv   [3]*server.Server
	lines [3][3]*testenv.Proxy // from one to the other
	log   *slog.Logger
}

func newCluster(t testing.TB) *cluster {
	t.Helper()
	c := &cluster{log: slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))}
	var ports [6]int
	host := loopback()
	var listeners []net.Listener
	for i := range ports {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		ports[i] = l.Addr().(*net.TCPAddr).Port
		listeners = append(listeners, l)
	}
	for _, l := range listeners { // all at once, or a port is chosen twice
		l.Close()
	}
	for i := range c.opts {
		var routes []*url.URL
		for j := range c.opts {
			if i != j {
				c.lines[i][j] = testenv.NewProxy(t, fmt.Sprintf("%s:%d", host, ports[3+j]))
				routes = append(routes, &url.URL{Scheme: "nats", Host: c.lines[i][j].Addr})
			}
		}
		c.opts[i] = &server.Options{
			ServerName: fmt.Sprintf("n%d", i), Host: host, Port: ports[i], NoSigs: true,
			JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, JetStreamMaxStore: 1 << 34,
			// Of ways around the lines they must not tell each other.
			Cluster: server.ClusterOpts{Name: "c", Host: host, Port: ports[3+i], Advertise: host + ":1"}, Routes: routes,
		}
		c.start(t, i)
	}
	t.Cleanup(func() {
		for i := range c.srv {
			c.stop(i)
		}
	})
	eventually(t, "the cluster has a leader that knows all", func() bool {
		for _, s := range c.srv {
			if s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == 3 {
				return true
			}
		}
		return false
	})
	return c
}

func (c *cluster) start(t testing.TB, i int) {
	t.Helper()
	srv, err := server.NewServer(c.opts[i].Clone())
	if err != nil {
		t.Fatal(err)
	}
	srv.SetLoggerV2(serverLog{c.log.With("server", c.opts[i].ServerName)}, false, false, false)
	srv.Start()
	c.srv[i] = srv
}

func (c *cluster) stop(i int) {
	c.srv[i].Shutdown()
	c.srv[i].WaitForShutdown()
}

// cut cuts a server off from the others, who can still talk to each other; join ends that.
func (c *cluster) cut(i int) {
	for j := range c.srv {
		if j != i {
			c.lines[i][j].Refuse()
			c.lines[j][i].Refuse()
		}
	}
}

func (c *cluster) join(t testing.TB) {
	t.Helper()
	for i := range c.srv {
		for j := range c.srv {
			if j != i {
				c.lines[i][j].Restore(t)
			}
		}
	}
}

func (c *cluster) url() string {
	var urls []string
	for _, o := range c.opts {
		urls = append(urls, fmt.Sprintf("nats://%s:%d", o.Host, o.Port))
	}
	return strings.Join(urls, ",")
}

// leader returns which server leads the stream, -1 if none.
func (c *cluster) leader(stream string) int {
	return slices.IndexFunc(c.srv[:], func(s *server.Server) bool { return s.JetStreamIsStreamLeader("$G", stream) })
}

func TestAClusterLosesItsLeadersAndNoFrames(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := open(t, Config{URL: c.url(), AckWait: time.Second, Logger: c.log})
	if i, err := s.Info(t.Context()); err != nil || i.Replicas != 3 {
		t.Fatalf("copies: got %d (%v), want 3", i.Replicas, err)
	}
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)

	var mu sync.Mutex
	var got []int64
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	consumed := make(chan error, 1)
	go func() { // waited for below
		consumed <- s.Consume(ctx, 1, func(_ context.Context, b *cdc.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range b.Len() {
				got = append(got, idOf(b.Event(i)))
			}
			return nil
		})
	}()
	for range 3 {
		killed := make(chan int, 1)
		go func() { // waited for below
			time.Sleep(20 * time.Millisecond)
			i := c.leader(s.name)
			if i >= 0 {
				c.stop(i)
			}
			killed <- i
		}()
		i := -1
		for running := true; running; {
			select {
			case i = <-killed:
				running = false
			default:
			}
			publish(t, p, f.frame(t, 1, 0))
		}
		if i < 0 {
			t.Fatal("nobody leads the stream")
		}
		flush(t, p)
		c.start(t, i)
		// With one copy that is not current yet and the next leader gone, the two would rightly wait for the third.
		eventually(t, "the server is back and its copy current", func() bool {
			if !c.srv[i].JetStreamIsCurrent() || c.leader(s.name) < 0 {
				return false
			}
			info, err := s.info(t.Context())
			return err == nil && info.Cluster != nil && len(info.Cluster.Replicas) == 2 &&
				!slices.ContainsFunc(info.Cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
		})
		p.Close()
		p, f = begin(t, s) // a claim on the new leader
	}
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	eventually(t, "all is consumed", func() bool {
		select {
		case err := <-consumed:
			t.Fatalf("consume: %v", err)
		default:
		}
		mu.Lock()
		defer mu.Unlock()
		return len(got) > 0 && got[len(got)-1] == int64(f.next-1)
	})
	cancel()
	if err := <-consumed; !errors.Is(err, context.Canceled) {
		t.Fatalf("consume: %v", err)
	}
	if want := count(1, int64(f.next-1)); !slices.Equal(got, want) {
		t.Fatalf("changes: got %v, want %v", got, want)
	}
	t.Logf("%d frames", f.next-1)
}

// The network falls apart: the leader of the stream is alone, and then each server is. Whoever speaks to a server that nobody
// follows waits, and when the network is whole again everything is there once.
func TestAClusterThatIsCutApartLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	s := open(t, Config{URL: c.url(), AckWait: time.Second, Logger: c.log})
	p, f := begin(t, s)
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	var mu sync.Mutex
	var got []int64
	ctx, cancel := context.WithCancel(t.Context())
	consumed := make(chan error, 1)
	go func() { // waited for below
		consumed <- s.Consume(ctx, 1, func(_ context.Context, b *cdc.Batch) error {
			mu.Lock()
			defer mu.Unlock()
			for i := range b.Len() {
				got = append(got, idOf(b.Event(i)))
			}
			return nil
		})
	}()
	apart := map[string]func(){
		"the leader is alone": func() { c.cut(c.leader(s.name)) },
		"everybody is alone": func() {
			for i := range c.srv {
				c.cut(i)
			}
		},
	}
	for _, name := range slices.Sorted(maps.Keys(apart)) {
		t.Log(name)
		eventually(t, "somebody leads", func() bool { return c.leader(s.name) >= 0 })
		apart[name]()
		// Publishing begins on, and waits as soon as a window is full: without a majority nothing is stored.
		stuck, stop := context.WithTimeout(t.Context(), 5*time.Second)
		for err := error(nil); err == nil; {
			b := f.frame(t, 1, 0)
			if err = p.Handle(stuck, b); err != nil {
				f.next-- // it was not taken
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("publish: %v", err)
				}
			}
		}
		stop()
		c.join(t)
		publish(t, p, f.frame(t, 1, 0))
		flush(t, p)
	}
	eventually(t, "all is consumed", func() bool {
		select {
		case err := <-consumed:
			t.Fatalf("consume: %v", err)
		default:
		}
		mu.Lock()
		defer mu.Unlock()
		return len(got) > 0 && got[len(got)-1] == int64(f.next-1)
	})
	cancel()
	if err := <-consumed; !errors.Is(err, context.Canceled) {
		t.Fatalf("consume: %v", err)
	}
	if want := count(1, int64(f.next-1)); !slices.Equal(got, want) {
		t.Fatalf("changes: got %v, want %v", got, want)
	}
	t.Logf("%d frames", f.next-1)
}
