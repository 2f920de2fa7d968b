package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

// program is the cdcd binary, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "cdcd-bench-")
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

// rounds is how often what is compared is measured, in turns; the fastest of each counts, since whatever else the
// machine does can only make it slower.
const rounds = 2

// BenchmarkFigures measures everything once and prints one table. Run it with -benchtime 1x.
func BenchmarkFigures(b *testing.B) {
	for range b.N {
		r := &report{b: b}
		r.machine()
		source := r.throughput(testenv.MariaDB(b, serverOptions...))
		full := r.whereTimeGoes(source)
		r.backtests(full, source.live)
		r.restarts(source.db, full)
		r.latency(source.db, source.store)
		r.smallFigures(source)
		r.bigTransaction(source.db)
		r.snapshots(source.db)
		other := testenv.MySQL(b, mysqlOptions...)
		r.captured(other)
		insertBig(b, other)
		r.snapshots(other)
		r.print(os.Stdout)
	}
}

// serverOptions keep the source from being what is measured.
var serverOptions = []string{"--innodb-buffer-pool-size=512M", "--max-binlog-size=1G"}

var mysqlOptions = []string{"--innodb-buffer-pool-size=512M", "--max-binlog-size=1G", "--innodb-redo-log-capacity=512M"}

// report is the table as it grows.
type report struct {
	b     *testing.B
	lines []line
}

// line is one figure, with the bar that it has to reach.
type line struct {
	section, what, figure, bar, verdict string
}

func (r *report) section(name string) { r.lines = append(r.lines, line{section: name}) }

// add adds a figure without a bar.
func (r *report) add(what, format string, args ...any) {
	r.lines = append(r.lines, line{what: what, figure: fmt.Sprintf(format, args...)})
}

// judge adds a figure with its bar.
func (r *report) judge(ok bool, what, bar, format string, args ...any) {
	verdict := "ok"
	if !ok {
		verdict = "MISSED"
	}
	r.lines = append(r.lines, line{what: what, figure: fmt.Sprintf(format, args...), bar: bar, verdict: verdict})
}

// step says on stderr what is being done, and how long it has taken when the returned function is called.
func (r *report) step(format string, args ...any) func() {
	began := time.Now()
	fmt.Fprintf(os.Stderr, "%s … ", fmt.Sprintf(format, args...))
	return func() { fmt.Fprintf(os.Stderr, "%.1f s\n", time.Since(began).Seconds()) }
}

func (r *report) machine() {
	r.section("machine")
	r.add("processors", "%d × %s", runtime.NumCPU(), first(grep("/proc/cpuinfo", "model name"), "unknown"))
	r.add("memory", "%s", first(grep("/proc/meminfo", "MemTotal"), "unknown"))
	r.add("kernel, Go", "%s, %s", strings.TrimSpace(content("/proc/sys/kernel/osrelease")), runtime.Version())
	r.add("load before", "%s", strings.TrimSpace(content("/proc/loadavg")))
}

func (r *report) print(to *os.File) {
	const format = "  %-58s %-34s %-22s %s\n"
	fmt.Fprintln(to)
	for _, l := range r.lines {
		if l.section != "" {
			fmt.Fprintf(to, "\n%s\n", l.section)
			continue
		}
		fmt.Fprintln(to, strings.TrimRight(fmt.Sprintf(format, l.what, l.figure, l.bar, l.verdict), " \n"))
	}
}

func content(name string) string {
	b, _ := os.ReadFile(name) // what the kernel does not tell stays empty
	return string(b)
}

// grep returns what follows "key:" in a file of /proc, for each such line.
func grep(name, key string) (values []string) {
	for _, text := range strings.Split(content(name), "\n") {
		if k, v, ok := strings.Cut(text, ":"); ok && strings.TrimSpace(k) == key {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return values
}

func first(list []string, otherwise string) string {
	if len(list) == 0 {
		return otherwise
	}
	return list[0]
}
