package dbserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/internal/child"
	"github.com/go-mysql-org/go-mysql/client"
)

// Options say which server to start, and where.
type Options struct {
	Program Program  // what to run; the zero value means whatever Find finds
	Dir     string   // holds data/, the socket and server.log; made when missing, and kept
	Port    int      // TCP port on 127.0.0.1; 0 picks a free one, which the server then keeps; -1 means socket only
	Args    []string // options of the server, e.g. "--binlog-row-image=MINIMAL"; they override the defaults
}

// Server is a private database server. Its methods may be called by several goroutines at once, but Start, Stop and
// Kill are for one at a time.
type Server struct {
	Program Program
	Dir     string // folder of everything below
	DataDir string // the server's data folder, where the binlog files are
	Socket  string // path of the unix socket; where Dir's is too long for one, Start picks another each time
	Addr    string // 127.0.0.1:port; "" when there is only the socket

	args []string
	port int

	mu      sync.Mutex
	process *child.Process // guarded by mu; nil before the first start
}

// Start starts a server and returns when it answers queries. If Dir holds no data yet, a fresh data folder is made
// there, with one account: root, without a password, over the socket only. ctx bounds the start, not the server's life.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Program.Command == nil {
		var err error
		if o.Program, err = Find(); err != nil {
			return nil, err
		}
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("server folder: %w", err)
	}
	// Not for others: who may open the socket is root in the database.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("server folder: %w", err)
	}
	s := &Server{Program: o.Program, Dir: dir, DataDir: filepath.Join(dir, "data"), args: o.Args, port: o.Port}
	if err := s.initialise(ctx); err != nil {
		return nil, err
	}
	for attempt := 1; ; attempt++ {
		if o.Port == 0 {
			s.port = FreePort()
		}
		s.Addr = ""
		if s.port > 0 {
			s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
		}
		err := s.Start(ctx)
		if err == nil {
			return s, nil
		}
		// Somebody else may have taken the port that was free a moment ago.
		if o.Port != 0 || attempt == 5 || !strings.Contains(err.Error(), "Address already in use") {
			return nil, err
		}
	}
}

// initialise makes the data folder unless there is one. It is made beside and then renamed, so that a crash cannot
// leave half of one.
func (s *Server) initialise(ctx context.Context) error {
	if _, err := os.Stat(s.DataDir); err == nil {
		return nil
	}
	making := s.DataDir + ".new"
	if err := os.RemoveAll(making); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := os.MkdirAll(s.tempDir(), 0o700); err != nil {
		return fmt.Errorf("folder for temporary files: %w", err)
	}
	if err := os.Mkdir(making, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := s.Program.initialise(ctx, making, s.tempDir()); err != nil {
		return err
	}
	if err := os.Rename(making, s.DataDir); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	return nil
}

// Start starts the server again after Stop or Kill: same data, same address. It returns when the server answers.
func (s *Server) Start(ctx context.Context) error {
	var err error
	if s.Socket, err = socketPath(s.Dir); err != nil {
		return err
	}
	for _, stale := range []string{s.Socket, s.Socket + ".lock"} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove stale socket: %w", err)
		}
	}
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("server log: %w", err)
	}
	defer log.Close() // the child has its own handle
	before, err := log.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("server log: %w", err)
	}

	args := append([]string{"--no-defaults"}, s.Program.Args...)
	args = append(args, "--datadir="+s.DataDir, "--socket="+s.Socket, "--pid-file="+filepath.Join(s.Dir, "pid"),
		fmt.Sprintf("--server-id=%d", 1+rand.Uint32N(1<<31)))
	if s.port > 0 {
		args = append(args, fmt.Sprintf("--port=%d", s.port))
	} else {
		args = append(args, "--skip-networking")
	}
	args = append(append(args, userOption()...), append(s.Program.settings(), s.args...)...)
	if err := os.MkdirAll(s.tempDir(), 0o700); err != nil {
		return fmt.Errorf("folder for temporary files: %w", err)
	}
	cmd := s.Program.command(context.Background(), args...)
	cmd.Env = tempEnv(s.tempDir())
	cmd.Stdout, cmd.Stderr = log, log
	process, err := child.Start(cmd)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.process = process
	s.mu.Unlock()

	if err := s.waitReady(ctx, process); err != nil {
		s.Kill()
		return fmt.Errorf("start %s server: %w\n%s", s.Program.Flavor, err, s.logSince(before))
	}
	return nil
}

func (s *Server) waitReady(ctx context.Context, process *child.Process) error {
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-process.Done():
			return fmt.Errorf("it ended: %v", process.Err())
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		if conn, err := s.connect(ctx, 10*time.Second); err == nil {
			conn.Close()
			return nil
		}
	}
}

// Connect opens a connection as root, over the socket. The caller closes it. A statement that takes longer than some
// minutes fails: whoever waits for it had better know.
func (s *Server) Connect(ctx context.Context) (*client.Conn, error) {
	return s.connect(ctx, 5*time.Minute)
}

func (s *Server) connect(ctx context.Context, answer time.Duration) (*client.Conn, error) {
	conn, err := client.ConnectWithContext(ctx, s.Socket, "root", "", "", 10*time.Second, func(c *client.Conn) error {
		c.ReadTimeout = answer
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("connect %s: %w", s.Socket, err)
	}
	return conn, nil
}

// Process returns the running server's process, or the last one's. Its Done tells when it has ended.
func (s *Server) Process() *child.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

// Stop shuts the server down in an orderly way and waits for it, at most half a minute.
func (s *Server) Stop() error {
	defer s.removeSocketFolder()
	return s.Process().Stop(30 * time.Second)
}

// Kill ends the server at once, as a power cut would end the program, and waits for it.
func (s *Server) Kill() {
	s.Process().Kill()
	s.removeSocketFolder()
}

// removeSocketFolder removes the socket's folder where it is a temporary one.
func (s *Server) removeSocketFolder() {
	if dir := filepath.Dir(s.Socket); dir != s.Dir {
		os.RemoveAll(dir)
	}
}

// tempDir is for the server alone: MariaDB removes at its start what looks like temporary tables in there, those of
// other running servers included.
func (s *Server) tempDir() string { return filepath.Join(s.Dir, "tmp") }

func tempEnv(dir string) []string { return append(os.Environ(), "TMPDIR="+dir) }

func (s *Server) logPath() string { return filepath.Join(s.Dir, "server.log") }

// logSince returns the end of what the server wrote to its log since the offset.
func (s *Server) logSince(offset int64) string {
	text, err := os.ReadFile(s.logPath())
	if err != nil {
		return err.Error()
	}
	if int64(len(text)) > offset {
		text = text[offset:]
	}
	const most = 4000
	if len(text) > most {
		text = text[len(text)-most:]
	}
	return string(bytes.TrimSpace(text))
}

// socketPath returns where the socket goes: into dir, or, as such paths must be shorter than 108 bytes, into a
// temporary folder of its own.
func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, "sock")
	if len(path) < 100 {
		return path, nil
	}
	short, err := os.MkdirTemp("", "cdcd-sock-")
	if err != nil {
		return "", fmt.Errorf("socket folder: %w", err)
	}
	return filepath.Join(short, "sock"), nil
}

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens. It lies below the ports that systems give to
// outgoing connections, so that a server which is stopped for a while usually finds its port free again.
func FreePort() int {
	for {
		port := 10000 + rand.IntN(20000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			l.Close()
			return port
		}
	}
}
