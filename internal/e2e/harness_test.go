package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/cdcd-project/cdcd/internal/child"
	"github.com/cdcd-project/cdcd/internal/ledger"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// program is the binary under test, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "cdcd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	program = filepath.Join(dir, "cdcd")
	build := exec.Command("go", "build", "-o", program, "github.com/cdcd-project/cdcd/cmd/cdcd")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build cdcd:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// seed returns the seed of this run and prints it.
func seed(t *testing.T) (uint64, *rand.Rand) {
	n := uint64(time.Now().UnixNano())
	if text := os.Getenv("CDCD_E2E_SEED"); text != "" {
		var err error
		if n, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CDCD_E2E_SEED: %v", err)
		}
	}
	t.Logf("CDCD_E2E_SEED=%d", n)
	return n, rand.New(rand.NewPCG(n, 0))
}

// kills is how often cdcd is killed in a test.
func kills(t *testing.T) int {
	n := 30
	if text := os.Getenv("CDCD_E2E_KILLS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("CDCD_E2E_KILLS: %v", err)
		}
	}
	return n
}

// deployment is one configured cdcd.
type deployment struct {
	dir     string // of cdcd.yaml
	bucket  string // folder that holds the objects
	log     string
	env     []string
	process *child.Process
}

// options of a deployment
type options struct {
	source string         // address of the database; default db.Addr
	store  *testenv.Store // nil: files
	s3     string         // address of the store; default store.Endpoint
	nats   string         // URL of an external server; default embedded
	bucket string         // folder of the file store; default in dir
	rules  string         // rule file; default: everything to acme
	more   string         // further settings
	mysql  string         // further settings of source.mysql
	rotate string
	feed   string // what the feed is, in place of a bucket: to: …
	feeds  string // further feeds
	env    []string
}

const everything = `version: 1
rules:
  - name: everything
    tables: [ledger.*]
    to: [acme]
`

// deploy writes a configuration.
func deploy(t *testing.T, db *testenv.Server, o options) *deployment {
	t.Helper()
	d := &deployment{dir: t.TempDir(), env: o.env}
	d.log = filepath.Join(d.dir, "log")
	d.bucket = o.bucket
	if d.bucket == "" {
		d.bucket = filepath.Join(d.dir, "objects")
	}
	if o.source == "" {
		o.source = db.Addr
	}
	if o.rules == "" {
		o.rules = everything
	}
	if o.rotate == "" {
		o.rotate = "{every: 100ms, rows: 500}"
	}
	feed := fmt.Sprintf("to: file://%s\n", d.bucket)
	if o.store != nil {
		d.bucket = filepath.Join(o.store.Dir, "partner", "changes")
		if o.s3 == "" {
			o.s3 = o.store.Endpoint
		}
		feed = fmt.Sprintf("to: s3://partner/changes\n    s3: {endpoint: %q, region: us-east-1, path_style: true, access_key_env: S3_KEY, secret_key_env: S3_SECRET}\n", o.s3)
		d.env = append(d.env, "S3_KEY="+o.store.AccessKey, "S3_SECRET="+o.store.SecretKey)
	}
	if o.feed != "" {
		feed = o.feed
	}
	bus := ""
	if o.nats != "" {
		bus = fmt.Sprintf("bus: {nats: {url: %q, replicas: 1}}\n", o.nats)
	}
	config := fmt.Sprintf(`version: 1
name: ledger
source:
  mysql:
    url: %s://%s@%s
    password_env: DB_PASSWORD
    tables: [ledger.*]
%s%sfeeds:
  acme:
    %s    rotate: %s
%sconsole: {listen: "127.0.0.1:%d"}
%s`, db.Flavor, testenv.User, o.source, o.mysql, bus, feed, o.rotate, o.feeds, freePort(t), o.more)
	d.env = append(d.env, "DB_PASSWORD="+testenv.Password)
	write(t, filepath.Join(d.dir, "cdcd.yaml"), config)
	write(t, filepath.Join(d.dir, "rules", "all.yaml"), o.rules)
	return d
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start starts cdcd run; it ends with the test.
func (d *deployment) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "run", "-c", filepath.Join(d.dir, "cdcd.yaml"), "--log-level", "debug")
	cmd.Env = append(os.Environ(), d.env...)
	cmd.Stdout, cmd.Stderr = log, log
	p, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	d.process = p
	t.Cleanup(p.Kill)
}

func (d *deployment) kill() { d.process.Kill() }

// alive fails the test when cdcd has ended by itself.
func (d *deployment) alive(t *testing.T) {
	t.Helper()
	select {
	case <-d.process.Done():
		t.Fatalf("cdcd has ended: %v\n%s", d.process.Err(), d.tail())
	default:
	}
}

// stop asks cdcd to end and waits for it.
func (d *deployment) stop(t *testing.T) {
	t.Helper()
	d.alive(t)
	if err := d.process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.process.Done():
		if err := d.process.Err(); err != nil {
			t.Fatalf("cdcd, stopped: %v\n%s", err, d.tail())
		}
	case <-time.After(20 * time.Second):
		d.process.Signal(syscall.SIGQUIT)
		time.Sleep(time.Second)
		t.Fatalf("cdcd does not stop\n%s", d.tail())
	}
}

// tail returns the end of the log.
func (d *deployment) tail() string {
	b, _ := os.ReadFile(d.log)
	return string(b[max(0, len(b)-6000):])
}

// cdcd runs another verb of the program and returns its output and exit code.
func (d *deployment) cdcd(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(program, append(args, "-c", filepath.Join(d.dir, "cdcd.yaml"))...)
	cmd.Env = append(os.Environ(), d.env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// status is what cdcd says of itself, as far as tests look at it.
type status struct {
	Ready   bool
	Why     string
	Capture struct {
		Held, Error string
		Standby     bool
		Rows        uint64
	}
	Feeds []struct {
		Feed, Error string
		Ordinal     uint64
	}
}

// status asks the running cdcd; there is no answer while it starts.
func (d *deployment) status(t *testing.T) (s status, answers bool) {
	t.Helper()
	stdout, stderr, _ := d.cdcd(t, "status", "-o", "json")
	if strings.Contains(stdout, "CDCD-1033") { // nobody answers
		return s, false
	}
	var answer struct{ Result status }
	if err := json.Unmarshal([]byte(stdout), &answer); err != nil || len(answer.Result.Feeds) == 0 {
		t.Fatalf("status: %v\n%s%s\n%s", err, stdout, stderr, d.tail())
	}
	return answer.Result, true
}

var objectName = regexp.MustCompile(`^(\d{20})\.jsonl(\.zst|\.gz)?$`)

// objects returns the object files in chain order.
func objects(bucket string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(filepath.Join(bucket, "p=00"), func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if objectName.MatchString(d.Name()) {
			files = append(files, path)
		}
		return nil
	})
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return files, err
}

// delivered returns all lines of the bucket.
func delivered(bucket string) ([]byte, error) {
	files, err := objects(bucket)
	if err != nil {
		return nil, err
	}
	var all bytes.Buffer
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		var r io.Reader = f
		switch filepath.Ext(name) {
		case ".zst":
			z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1))
			if err != nil {
				return nil, err
			}
			defer z.Close()
			r = z
		case ".gz":
			if r, err = gzip.NewReader(f); err != nil {
				return nil, err
			}
		}
		_, err = io.Copy(&all, r)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return all.Bytes(), nil
}

// settle waits until the bucket holds what was committed, and a little longer, lest something comes twice.
func settle(t *testing.T, w *ledger.Workload, want ledger.Want, ds ...*deployment) {
	t.Helper()
	ctx := context.Background()
	check := func() error {
		lines, err := delivered(ds[0].bucket)
		if err != nil {
			return err
		}
		return w.Check(ctx, want, ledger.Lines(bytes.NewReader(lines)))
	}
	_, changes := w.Committed()
	deadline := time.Now().Add(90 * time.Second)
	err := check()
	for ; err != nil && time.Now().Before(deadline); err = check() {
		time.Sleep(500 * time.Millisecond)
	}
	if err == nil {
		time.Sleep(time.Second)
		err = check()
	}
	if err != nil {
		var logs strings.Builder
		for _, d := range ds {
			fmt.Fprintf(&logs, "\n--- log of %s\n%s", d.dir, d.tail())
		}
		text := err.Error()
		t.Fatalf("%d changes committed: %s%s", changes, text[:min(len(text), 3000)], logs.String())
	}
	files, _ := objects(ds[0].bucket)
	t.Logf("%d changes in %d objects: each exactly once, in order", changes, len(files))
}

// verify runs audit verify --objects and demands its assent.
func (d *deployment) verify(t *testing.T) {
	t.Helper()
	stdout, stderr, code := d.cdcd(t, "audit", "verify", "--objects")
	if code != 0 {
		t.Fatalf("audit verify: exit code %d\n%s%s", code, stdout, stderr)
	}
}

// workload makes the ledger's tables; go runs it until the returned function is called, which waits for it.
func workload(t *testing.T, db *testenv.Server, c ledger.Config) (w *ledger.Workload, run func() (stop func())) {
	t.Helper()
	c.User = "root"
	if c.Addr == "" {
		c.Addr = db.Addr
	}
	w = ledger.New(c)
	if err := w.Create(context.Background()); err != nil {
		t.Fatal(err)
	}
	return w, func() func() {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }() // stop waits for it
		return func() {
			t.Helper()
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Fatalf("workload: %v", err)
			}
		}
	}
}

// natsServer is an external NATS server with a store of its own that can be restarted at the same address.
type natsServer struct {
	URL  string
	port int
	dir  string
	srv  *server.Server
}

func startNATS(t *testing.T) *natsServer {
	t.Helper()
	n := &natsServer{port: freePort(t), dir: t.TempDir()}
	n.URL = fmt.Sprintf("nats://127.0.0.1:%d", n.port)
	n.Start(t)
	t.Cleanup(n.Stop)
	return n
}

func (n *natsServer) Start(t *testing.T) {
	t.Helper()
	var err error
	n.srv, err = server.NewServer(&server.Options{Host: "127.0.0.1", Port: n.port, JetStream: true, StoreDir: n.dir, JetStreamMaxStore: 1 << 34,
		NoSigs: true, NoLog: true, MaxPayload: 8 << 20, SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	n.srv.Start()
	if !n.srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("NATS server does not start")
	}
}

func (n *natsServer) Stop() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

// tamper changes one byte of a file.
func tamper(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
