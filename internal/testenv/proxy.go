package testenv

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// Proxy is a TCP connection to a server that can break in the ways networks break. Its methods may be called by
// several goroutines at once.
type Proxy struct {
	Addr string // where to connect instead of the target: 127.0.0.1:port

	wg sync.WaitGroup // the accept loops and both directions of every connection

	mu       sync.Mutex
	target   string
	changed  *sync.Cond // on mu: stalled or closed changed
	listener net.Listener
	conns    map[*net.TCPConn]bool
	delay    time.Duration
	stalled  bool
	closed   bool
}

// NewProxy starts a proxy to the target (host:port). It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p := &Proxy{target: target, conns: map[*net.TCPConn]bool{}}
	p.changed = sync.NewCond(&p.mu)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("testenv: proxy: %v", err)
	}
	p.Addr = l.Addr().String()
	p.mu.Lock()
	p.serve(l)
	p.mu.Unlock()
	t.Cleanup(p.close)
	return p
}

// Cut breaks all connections (both ends see a reset). New ones are let through.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut()
}

// Switch leads new connections to another server, as a moved address does. Those that there are stay where they are.
func (p *Proxy) Switch(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Refuse breaks all connections and refuses new ones, until Restore.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
	p.cut()
}

// Stall lets nothing through any more, without breaking anything, until Restore: what a firewall does that forgot a
// connection. Connections can still be made, but nobody answers on them.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled = true
}

// Delay makes everything take that much longer, in both directions; 0 ends it.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Restore ends Refuse, Stall and Delay.
func (p *Proxy) Restore(t testing.TB) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stalled, p.delay = false, 0
	p.changed.Broadcast()
	if p.listener != nil {
		return
	}
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		t.Fatalf("testenv: proxy: %v", err)
	}
	p.serve(l)
}

// cut needs mu.
func (p *Proxy) cut() {
	for conn := range p.conns {
		conn.SetLinger(0) // so that closing resets the connection
		conn.Close()
	}
	clear(p.conns)
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed, p.stalled = true, false
	if p.listener != nil {
		p.listener.Close()
	}
	p.cut()
	p.changed.Broadcast()
	p.mu.Unlock()
	p.wg.Wait()
}

// serve needs mu.
func (p *Proxy) serve(l net.Listener) {
	p.listener = l
	p.wg.Go(func() { // close waits for it
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.connect(conn.(*net.TCPConn)) })
		}
	})
}

func (p *Proxy) connect(client *net.TCPConn) {
	defer client.Close()
	if !p.track(client) {
		return
	}
	defer p.forget(client)
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	dialed, err := net.DialTimeout("tcp", target, 10*time.Second)
	if err != nil {
		client.SetLinger(0)
		return
	}
	server := dialed.(*net.TCPConn)
	defer server.Close()
	if !p.track(server) {
		return
	}
	defer p.forget(server)
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		p.pump(server, client)
	}()
	p.pump(client, server)
	<-done
}

func (p *Proxy) track(conn *net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil || p.closed {
		return false
	}
	p.conns[conn] = true
	return true
}

func (p *Proxy) forget(conn *net.TCPConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, conn)
}

// pump copies one direction until it ends, then says so to the receiver. An error ends both directions.
func (p *Proxy) pump(to, from *net.TCPConn) {
	type chunk struct {
		bytes []byte
		due   time.Time
	}
	chunks := make(chan chunk, 1024) // what is under way: a delay must not narrow the line
	written := make(chan struct{})
	go func() { // waited for below
		defer close(written)
		broken := false
		for c := range chunks {
			if broken {
				continue
			}
			time.Sleep(time.Until(c.due))
			p.waitUnstalled()
			if _, err := to.Write(c.bytes); err != nil {
				broken = true
				from.Close()
			}
		}
		if !broken {
			to.CloseWrite()
		}
	}()
	for {
		buffer := make([]byte, 32<<10)
		n, err := from.Read(buffer)
		if n > 0 {
			p.mu.Lock()
			due := time.Now().Add(p.delay)
			p.mu.Unlock()
			chunks <- chunk{buffer[:n], due}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			to.SetLinger(0)
			to.Close()
			break
		}
	}
	close(chunks)
	<-written
}

func (p *Proxy) waitUnstalled() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.stalled && !p.closed {
		p.changed.Wait()
	}
}
