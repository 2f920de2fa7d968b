package bus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/child"
)

func TestADataFolderIsUsedByOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	_, err := Open(t.Context(), Config{Source: "shop", Dir: dir})
	var e *cdc.Error
	if !errors.As(err, &e) || !InUse(err) || !strings.Contains(e.What, strconv.Itoa(os.Getpid())) {
		t.Fatalf("a folder in use: got %v, want %s with process %d", err, codeInUse, os.Getpid())
	}
	s.Close()
	open(t, Config{Dir: dir})
}

func TestADataFolderIsOfOneSource(t *testing.T) {
	dir := t.TempDir()
	open(t, Config{Dir: dir}).Close()
	_, err := Open(t.Context(), Config{Dir: dir, Source: "store"})
	if want := `is that of source "shop", and the configuration's name is "store"`; cdc.CodeOf(err) != codeForeign || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s: … %s", err, codeForeign, want)
	}
	open(t, Config{Dir: dir}).Close()
}

func TestUnsafeStreamsAreRefused(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*jetstream.StreamConfig)
		config Config
		want   string
		fix    string // part of it
	}{
		{"old frames are forgotten", func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, Config{}, codeSettings, "--discard new"},
		{"in memory", func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, Config{}, codeSettings, "new stream"},
		{"an age limit", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, Config{}, codeSettings, "--max-age 0"},
		{"a limit on messages", func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }, Config{}, codeSettings, "--max-msgs"},
		{"a work queue", func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, Config{}, codeSettings, "new stream"},
		{"followers answer", func(c *jetstream.StreamConfig) { c.AllowDirect = true }, Config{}, codeSettings, "allow-direct"},
		{"no atomic batches", func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }, Config{}, codeSettings, "allow-batch"},
		{"more subjects", func(c *jetstream.StreamConfig) { c.Subjects = []string{"cdc.shop.*", "more"} }, Config{}, codeSettings, "--subjects"},
		{"fewer copies than wanted", func(*jetstream.StreamConfig) {}, Config{Replicas: 3}, codeSettings, "--replicas 3"},
		{"somebody else's", func(c *jetstream.StreamConfig) { c.Metadata = nil }, Config{}, codeForeign, "another name"},
		{"another format", func(c *jetstream.StreamConfig) { c.Metadata[metaFormat] = "3" }, Config{}, codeForeign, "knows the format"},
		{"smaller than what it holds", func(*jetstream.StreamConfig) {}, Config{MaxBytes: 100}, codeSettings, "leave max_bytes"},
	} {
		t.Run(test.name, func(t *testing.T) {
			srv := newServer(t)
			nc, err := nats.Connect(srv.url())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			js, err := jetstream.New(nc)
			if err != nil {
				t.Fatal(err)
			}
			maker := &Stream{cfg: Config{Source: "shop", MaxBytes: 1 << 20}, name: "CDC_shop"}
			cfg := maker.wanted(1)
			test.change(&cfg)
			if _, err := js.CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(t.Context(), "cdc.shop.0", make([]byte, 200)); err != nil {
				t.Fatal(err)
			}
			test.config.Source, test.config.URL = "shop", srv.url()
			s, err := Open(t.Context(), test.config)
			var e *cdc.Error
			if !errors.As(err, &e) || e.Code != test.want || !strings.Contains(e.Fix, test.fix) {
				if s != nil {
					s.Close()
				}
				t.Fatalf("got %#v, want %s with a fix that names %q", err, test.want, test.fix)
			}
		})
	}
}

func TestInfoSaysWhatCannotBeSeen(t *testing.T) {
	srv := newServer(t)
	for _, test := range []struct {
		name     string
		cfg      Config
		synced   bool
		findings []string
	}{
		{"embedded", Config{Dir: t.TempDir()}, true, nil},
		{"embedded without sync", Config{Dir: t.TempDir(), AllowUnsynced: true}, false, []string{codeUnsynced}},
		{"external", Config{URL: srv.url()}, false, []string{codeUnsynced}},
		{"external, accepted", Config{URL: srv.url(), AllowUnsynced: true}, false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := open(t, test.cfg)
			i, err := s.Info(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var findings []string
			for _, f := range i.Findings {
				findings = append(findings, f.Code)
			}
			if i.Synced != test.synced || !slices.Equal(findings, test.findings) || i.ID == "" || i.Replicas != 1 {
				t.Fatalf("got %+v with %v, want synced %v with %v", i, findings, test.synced, test.findings)
			}
			if err := s.Healthy(); err != nil {
				t.Fatalf("healthy: %v", err)
			}
		})
	}
}

func TestTheSizeFollowsTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int64{64 << 20, 128 << 20, 32 << 20} {
		s := open(t, Config{Dir: dir, MaxBytes: size})
		if i, err := s.Info(t.Context()); err != nil || i.MaxBytes != size {
			t.Fatalf("got %d, %v, want %d", i.MaxBytes, err, size)
		}
		s.Close()
	}
}

func TestTheEmbeddedServerListensOnLoopbackOnly(t *testing.T) {
	for _, listen := range []string{":4222", "0.0.0.0:4222", "192.0.2.1:4222", "127.0.0.1", "example.com:4222", "127.0.0.1:x"} {
		if s, err := Open(t.Context(), Config{Source: "shop", Dir: t.TempDir(), Listen: listen}); code(err) != codeListen {
			if s != nil {
				s.Close()
			}
			t.Errorf("listen %s: got %v, want %s", listen, err, codeListen)
		}
	}
	s := open(t, Config{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	nc, err := nats.Connect(s.server.srv.ClientURL())
	if err != nil {
		t.Fatalf("look in: %v", err)
	}
	nc.Close()
}

func TestAServerThatCannotBeReachedIsSaidWithoutSecrets(t *testing.T) {
	_, err := Open(t.Context(), Config{Source: "shop", URL: "nats://me:secret@127.0.0.1:1"})
	if code(err) != codeConnect || strings.Contains(err.Error(), "secret") {
		t.Fatalf("got %v, want %s without the password", err, codeConnect)
	}
}

func TestALowDiskHoldsTheCaptureBack(t *testing.T) {
	states := make(chan State, 10)
	s := open(t, Config{Dir: t.TempDir(), Observe: func(st State) { states <- st }})
	p, f := begin(t, s)
	s.cfg.MinFree = 1 << 62
	publish(t, p, f.frame(t, 1, 0))
	if st := <-states; st != DiskLow {
		t.Fatalf("state: got %s, want %s", st, DiskLow)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("flush: got %v, want the context's error", err)
	}
	p.Close()
	if i, err := s.Info(t.Context()); err != nil || i.Last != claimSize {
		t.Fatalf("the stream ends at %d (%v), want %d", i.Last, err, claimSize)
	}
}

// A claim or a hint that the disk cannot hold is as bad as a frame: the server then refuses to write until it is restarted.
func TestNothingIsWrittenToALowDisk(t *testing.T) {
	states := make(chan State, 10)
	s := open(t, Config{Dir: t.TempDir(), MinFree: 1 << 62, Observe: func(st State) { states <- st }})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if p, err := s.Publisher(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("publisher: got %v, %v, want the context's error", p, err)
	}
	if st := <-states; st != DiskLow {
		t.Fatalf("state: got %s, want %s", st, DiskLow)
	}
	if err := s.SetProgress(t.Context(), "acme", []byte("{}")); err == nil {
		t.Fatal("progress was written")
	}
	if i, err := s.Info(t.Context()); err != nil || i.Last != 0 {
		t.Fatalf("the stream ends at %d (%v), want 0", i.Last, err)
	}
	if text, err := s.Progress(t.Context(), "acme"); text != nil || err != nil {
		t.Fatalf("progress: got %q, %v, want none", text, err)
	}
}

func TestADataFolderThatCannotBeWrittenSaysWhatToDo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(t.Context(), Config{Source: "shop", Dir: filepath.Join(file, "data")})
	if code(err) != codeServer {
		t.Fatalf("got %v, want %s", err, codeServer)
	}
}

// TestMain lets the test binary be the capture that is killed.
func TestMain(m *testing.M) {
	if limit := os.Getenv("CDCD_BUS_TEST_FILE_LIMIT"); limit != "" { // writes fail beyond it, as on a full disk
		n, _ := strconv.ParseUint(limit, 10, 64)
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			panic(err)
		}
	}
	if dir := os.Getenv("CDCD_BUS_TEST_CAPTURE"); dir != "" {
		if err := captureForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// captureForEver publishes from where the stream ends and says on stdout what has been acknowledged.
func captureForEver(dir string) error {
	ctx := context.Background()
	s, err := Open(ctx, Config{Source: "shop", Dir: dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), Observe: func(st State) { fmt.Fprintln(os.Stderr, st) }})
	if err != nil {
		return err
	}
	c, _, last, err := s.Last(ctx)
	if err != nil {
		return err
	}
	p, err := s.Publisher(ctx, last)
	if err != nil {
		return err
	}
	f := &frames{writer: s.cfg.Writer, next: 1}
	if len(c.PartNos) > 0 {
		f.next = c.PartNos[0]
	}
	for n := 0; ; n++ {
		b, err := f.make(1+n%5, 100)
		if err != nil {
			return err
		}
		if err := p.Handle(ctx, b); err != nil {
			return fmt.Errorf("%w; healthy: %v", err, s.Healthy())
		}
		if n%3 == 0 {
			if err := p.Flush(ctx); err != nil {
				return fmt.Errorf("%w; healthy: %v", err, s.Healthy())
			}
			fmt.Println(f.next - 1)
		}
	}
}

func TestWhatWasAcknowledgedOutlivesKill9(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	acked := uint64(0)
	for round := range 6 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CDCD_BUS_TEST_CAPTURE="+dir)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		c, err := child.Start(cmd)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		before, kill := acked, 20+round*17
		for n := 0; lines.Scan(); n++ {
			if acked, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatal(err)
			}
			if n == kill {
				syscall.Kill(c.PID(), syscall.SIGKILL) // what it still writes until it dies is read, too
			}
		}
		<-c.Done()
		if acked <= before {
			t.Fatalf("round %d: acknowledged up to %d, before it was %d", round, acked, before)
		}
	}
	s := open(t, Config{Dir: dir})
	last, _, _, err := s.Last(t.Context())
	if err != nil || last.PartNos[0]-1 < acked {
		t.Fatalf("the stream ends at change %d, acknowledged was %d (%v)", last.PartNos[0]-1, acked, err)
	}
	if got, want := changes(t, s, 1, last.PartNos[0]-1), count(1, int64(last.PartNos[0]-1)); !slices.Equal(got, want) {
		t.Fatalf("%d changes, want %d, dense and in order", len(got), len(want))
	}
}

func TestAFailedWriteIsSaidAndARestartContinues(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	acked := func(limit string) (string, string) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CDCD_BUS_TEST_CAPTURE="+dir, "CDCD_BUS_TEST_FILE_LIMIT="+limit)
		var stdout, stderr strings.Builder
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		timer := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		defer timer.Stop()
		cmd.Run()
		lines := strings.Fields(stdout.String())
		if len(lines) == 0 {
			t.Fatalf("nothing was acknowledged: %s", stderr.String())
		}
		return lines[len(lines)-1], stderr.String()
	}
	last, says := acked("200000")
	if !strings.Contains(says, codeWrite) || strings.Contains(says, "healthy: <nil>") {
		t.Fatalf("after %s the capture ended with %q, want %s and a server that is not healthy", last, says, codeWrite)
	}
	s := open(t, Config{Dir: dir})
	p, f := begin(t, s)
	if n, _ := strconv.ParseUint(last, 10, 64); f.next <= n {
		t.Fatalf("the stream ends before change %d, acknowledged was %d", f.next, n)
	}
	publish(t, p, f.frame(t, 1, 0))
	flush(t, p)
	if got, want := changes(t, s, 1, f.next-1), count(1, int64(f.next-1)); !slices.Equal(got, want) {
		t.Fatalf("changes: got %v, want %d", got, len(want))
	}
}
