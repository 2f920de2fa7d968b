package bench

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
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

	"github.com/cdcd-project/cdcd/internal/child"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// deployment is one configured cdcd that delivers everything to one feed.
type deployment struct {
	dir     string
	bucket  string // folder that holds the objects
	console string // host:port
	rows    int    // how many updates are to be delivered
	env     []string
	process *child.Process
	began   time.Time
}

const ruleFile = `version: 1
rules:
  - name: everything
    tables: [bench.*]
    on: [insert, update]
    when: after.total >= 0 && after.items >= 0
    to: [acme]
`

// setup is what is to be deployed.
type setup struct {
	store  *testenv.Store // nil delivers to files
	to     string         // a place that is neither
	prime  *deployment    // whose data folder it begins with, and which must not run
	rotate string
	rules  string   // default ruleFile
	feed   []string // more lines of the feed
	more   []string // more lines of the configuration
	env    []string
	rows   int // default updates
}

// deploy writes a configuration. store nil delivers to files; prime may be nil.
func deploy(b *testing.B, db *testenv.Server, store *testenv.Store, prime *deployment, rotate string) *deployment {
	b.Helper()
	return deployAs(b, db, setup{store: store, prime: prime, rotate: rotate})
}

func deployAs(b *testing.B, db *testenv.Server, s setup) *deployment {
	b.Helper()
	d := &deployment{dir: b.TempDir(), console: "127.0.0.1:" + freePort(b), env: append(os.Environ(), "DB_PASSWORD="+testenv.Password), rows: cmp.Or(s.rows, updates)}
	d.env = append(d.env, s.env...)
	d.bucket = filepath.Join(d.dir, "objects")
	feed := "to: " + cmp.Or(s.to, "file://"+d.bucket)
	if s.store != nil {
		prefix := filepath.Base(d.dir) + strconv.FormatInt(time.Now().UnixNano(), 36)
		d.bucket = filepath.Join(s.store.Dir, "partner", prefix)
		feed = fmt.Sprintf("to: s3://partner/%s\n    s3: {endpoint: %q, region: us-east-1, path_style: true, access_key_env: S3_KEY, secret_key_env: S3_SECRET}", prefix, s.store.Endpoint)
		d.env = append(d.env, "S3_KEY="+s.store.AccessKey, "S3_SECRET="+s.store.SecretKey)
	}
	feed = strings.Join(append([]string{feed, "rotate: " + s.rotate}, s.feed...), "\n    ")
	d.write(b, "cdcd.yaml", fmt.Sprintf(`version: 1
name: bench
source:
  mysql: {url: "%s://%s@%s", password_env: DB_PASSWORD, tables: [bench.*]}
feeds:
  acme:
    %s
console: {listen: %q}
%s
`, db.Flavor, testenv.User, db.Addr, feed, d.console, strings.Join(s.more, "\n")))
	d.write(b, "rules/all.yaml", cmp.Or(s.rules, ruleFile))
	if s.prime != nil {
		if out, err := exec.Command("cp", "-a", filepath.Join(s.prime.dir, "cdcd-data"), d.dir).CombinedOutput(); err != nil {
			b.Fatalf("copy the data folder: %v: %s", err, out)
		}
	}
	return d
}

func (d *deployment) write(b *testing.B, name, text string) {
	name = filepath.Join(d.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
		b.Fatal(err)
	}
}

func freePort(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// start starts cdcd run.
func (d *deployment) start(b *testing.B) {
	b.Helper()
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(program, "run", "-c", filepath.Join(d.dir, "cdcd.yaml"))
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, log, log
	d.began = time.Now()
	if d.process, err = child.Start(cmd); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(d.process.Kill)
}

func (d *deployment) stop(b *testing.B) {
	b.Helper()
	if err := d.process.Stop(20 * time.Second); err != nil {
		d.fail(b, "stop cdcd: %v", err)
	}
}

func (d *deployment) fail(b *testing.B, format string, args ...any) {
	b.Helper()
	log := content(filepath.Join(d.dir, "log"))
	b.Fatalf("%s\n%s", fmt.Sprintf(format, args...), log[max(0, len(log)-4000):])
}

// status is what is of interest of cdcd's own.
type status struct {
	Stream struct {
		Last  uint64 `json:"last_seq"`
		Bytes int64  `json:"bytes"`
	} `json:"stream"`
	Capture struct {
		LastFrame string `json:"last_frame"`
	} `json:"capture"`
	Feeds []struct {
		Objects uint64 `json:"objects"`
		Records int    `json:"records"`
		Bytes   int64  `json:"bytes"`
	} `json:"feeds"`
}

var client = &http.Client{Timeout: 30 * time.Second}

// get asks the console; ok=false while it does not answer with 200.
func (d *deployment) get(b *testing.B, path string) (body []byte, ok bool) {
	select {
	case <-d.process.Done():
		d.fail(b, "cdcd has ended: %v", d.process.Err())
	default:
	}
	resp, err := client.Get("http://" + d.console + path)
	if err != nil {
		return nil, false
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return body, err == nil && resp.StatusCode == http.StatusOK
}

func (d *deployment) status(b *testing.B) (s status, ok bool) {
	body, ok := d.get(b, "/status")
	return s, ok && json.Unmarshal(body, &s) == nil && len(s.Feeds) == 1
}

// await polls until done says so and returns the time since the process was started.
func (d *deployment) await(b *testing.B, what string, every time.Duration, done func() bool) time.Duration {
	b.Helper()
	for deadline := time.Now().Add(3 * time.Minute); ; time.Sleep(every) {
		if done() {
			return time.Since(d.began)
		}
		if time.Now().After(deadline) {
			d.fail(b, "after three minutes there is no %s", what)
		}
	}
}

// ready waits until /readyz says so.
func (d *deployment) ready(b *testing.B) time.Duration {
	return d.await(b, "readiness", 2*time.Millisecond, func() bool { _, ok := d.get(b, "/readyz"); return ok })
}

// capturing waits until something of this process is in the stream: a heartbeat marks where a new one begins.
func (d *deployment) capturing(b *testing.B) time.Duration {
	return d.await(b, "frame", 2*time.Millisecond, func() bool { s, ok := d.status(b); return ok && s.Capture.LastFrame != "" })
}

// run is a delivery of all updates, from the start of the process on.
type run struct {
	measured
	objects       uint64
	bytes, stream int64
	steady, peak  int // resident memory in MiB: median while it ran, and the most
	profile       string
}

// deliver starts a primed deployment, waits until all updates are in the bucket, and checks what is there.
func (d *deployment) deliver(b *testing.B, profile bool) run {
	b.Helper()
	r := d.all(b, profile)
	d.check(b)
	return r
}

// all starts a primed deployment, and stops it when it says that all updates are delivered.
func (d *deployment) all(b *testing.B, profile bool) (r run) {
	b.Helper()
	d.start(b)
	var profiled chan []byte
	if profile {
		d.ready(b)
		profiled = make(chan []byte, 1)
		go func() { // awaited below
			body, _ := d.get(b, "/debug/pprof/profile?seconds=5")
			profiled <- body
		}()
	}
	var s status
	var resident []int
	r.rows = d.rows
	r.wall = d.await(b, "full delivery", 20*time.Millisecond, func() (ok bool) {
		resident = append(resident, d.memory("VmRSS"))
		s, ok = d.status(b)
		return ok && s.Feeds[0].Records >= d.rows
	})
	r.cpu = d.processorTime(b)
	r.objects, r.bytes, r.stream = s.Feeds[0].Objects, s.Feeds[0].Bytes, s.Stream.Bytes
	slices.Sort(resident)
	r.steady, r.peak = resident[len(resident)/2], d.memory("VmHWM")
	if profile {
		r.profile = filepath.Join(b.TempDir(), "profile")
		if err := os.WriteFile(r.profile, <-profiled, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	d.stop(b)
	return r
}

// memory returns a line of the process's status in MiB.
func (d *deployment) memory(key string) int {
	kB, _ := strconv.Atoi(strings.TrimSuffix(first(grep(fmt.Sprintf("/proc/%d/status", d.process.PID()), key), "0"), " kB"))
	return (kB + 1023) / 1024
}

// processorTime returns what the process has used.
func (d *deployment) processorTime(b *testing.B) time.Duration {
	text := content(fmt.Sprintf("/proc/%d/stat", d.process.PID()))
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		b.Fatalf("/proc/%d/stat: %q", d.process.PID(), text)
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / 100 // USER_HZ
}

// objects returns the object files, those of a partition in chain order.
func (d *deployment) objects(b *testing.B) (files []string) {
	err := filepath.WalkDir(d.bucket, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err == nil && e.IsDir() && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case objectName.MatchString(path):
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	slices.Sort(files) // chain order is the order of the keys
	return files
}

var objectName = regexp.MustCompile(`/p=\d\d/dt=[-\d]{10}/\d{20}\.(jsonl\.zst|csv\.zst|parquet)$`)

// record is what is read of a delivered one.
type record struct {
	After struct {
		ID    uint64 `json:"id"`
		Total string `json:"total"`
	} `json:"after"`
	Source struct {
		PartNo uint64 `json:"part_no"`
	} `json:"source"`
}

// records calls yield with each line of an object.
func records(b *testing.B, file string, yield func(record)) {
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := zstd.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	defer z.Close()
	for lines := json.NewDecoder(z); ; {
		var r record
		if err := lines.Decode(&r); err == io.EOF {
			return
		} else if err != nil {
			b.Fatalf("%s: %v", file, err)
		}
		yield(r)
	}
}

// check fails unless the bucket has each update once, in order.
func (d *deployment) check(b *testing.B) {
	b.Helper()
	n, next := 0, uint64(0)
	for _, file := range d.objects(b) {
		records(b, file, func(r record) {
			if next != 0 && r.Source.PartNo != next {
				b.Fatalf("%s: event %d, want %d", file, r.Source.PartNo, next)
			}
			if want := uint64(n%tableRows + 1); r.After.ID != want {
				b.Fatalf("%s: record %d is of row %d, want %d", file, n, r.After.ID, want)
			}
			n, next = n+1, r.Source.PartNo+1
		})
	}
	if n != d.rows {
		b.Fatalf("%d records were delivered, want %d", n, d.rows)
	}
}

// signal sends a signal to cdcd.
func (d *deployment) signal(b *testing.B, sig syscall.Signal) {
	if err := d.process.Signal(sig); err != nil {
		b.Fatal(err)
	}
}
