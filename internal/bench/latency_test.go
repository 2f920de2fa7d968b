package bench

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

const (
	lightRate  = 50 // transactions a second
	lightTime  = 15 * time.Second
	lightEvery = time.Second // rotation
)

// light makes small transactions until the returned function is called, which waits for it and returns when each has
// been committed, by the total that it wrote. An update that changes nothing is not in the log: each call needs another
// number of cents.
func light(b *testing.B, db *testenv.Server, rate, cents int) (stop func() map[string]time.Time) {
	conn := db.Conn(b)
	committed := map[string]time.Time{}
	end := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { // stop waits for it
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-tick.C:
			case <-end:
				return
			}
			total := fmt.Sprintf("%d.%02d", n, cents)
			if _, failed = conn.Execute(fmt.Sprintf("UPDATE bench.orders SET total = %s, items = %d WHERE id = %d", total, n%1000, n)); failed != nil {
				return
			}
			committed[total] = time.Now()
		}
	})
	return func() map[string]time.Time {
		close(end)
		wg.Wait()
		if failed != nil {
			b.Fatal(failed)
		}
		return committed
	}
}

// watch notes when each object appeared, until the returned function is called.
func (d *deployment) watch(b *testing.B) (stop func() map[string]time.Time) {
	seen := map[string]time.Time{}
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { // stop waits for it
		for {
			for _, file := range d.objects(b) {
				if _, ok := seen[file]; !ok {
					seen[file] = time.Now()
				}
			}
			select {
			case <-end:
				return
			case <-time.After(3 * time.Millisecond):
			}
		}
	})
	return func() map[string]time.Time {
		close(end)
		wg.Wait()
		return seen
	}
}

// latency measures from the commit of small transactions to their object.
func (r *report) latency(db *testenv.Server, store *testenv.Store) {
	b := r.b
	r.section(fmt.Sprintf("latency at %d transactions a second, rotate every %v", lightRate, lightEvery))
	for i, to := range []struct {
		name  string
		store *testenv.Store
	}{{"files", nil}, {"S3 (versitygw)", store}} {
		done := r.step("latency to %s", to.name)
		d := deploy(b, db, to.store, nil, "{every: 1s}")
		d.start(b)
		d.capturing(b)
		seen := d.watch(b)
		load := light(b, db, lightRate, 2+i)
		time.Sleep(lightTime)
		committed := load()
		d.delivered(b, len(committed))
		var latencies []time.Duration
		for file, at := range seen() {
			records(b, file, func(r record) { latencies = append(latencies, at.Sub(committed[r.After.Total])) })
		}
		idle := d.memory("VmRSS")
		d.stop(b)
		if len(latencies) != len(committed) {
			b.Fatalf("%d records were seen to arrive, want %d", len(latencies), len(committed))
		}
		p50, p99 := percentiles(latencies)
		over := p99 - lightEvery
		r.judge(over <= 250*time.Millisecond, "commit → object, "+to.name, "p99 ≤ rotation + 250 ms", "p50 %d ms, p99 %d ms = rotation %+d ms",
			p50.Milliseconds(), p99.Milliseconds(), over.Milliseconds())
		r.add("  resident memory", "%d MiB", idle)
		done()
	}
}

// delivered waits until the deployment has delivered so many records.
func (d *deployment) delivered(b *testing.B, want int) {
	d.await(b, "full delivery", 20*time.Millisecond, func() bool {
		s, ok := d.status(b)
		return ok && s.Feeds[0].Records >= want
	})
}

// restarts measures how long it takes to start, and to go on after a kill. The data folder has a full stream.
func (r *report) restarts(db *testenv.Server, full *deployment) {
	b := r.b
	done := r.step("starts and kills")
	r.section("start and restart, with the stream of all updates in the data folder")
	stop := light(b, db, lightRate, 1)
	const times = 5
	var ready, capturing, recovery []time.Duration
	for range times {
		full.start(b)
		ready = append(ready, full.ready(b))
		capturing = append(capturing, full.capturing(b))
		before := len(full.objects(b))
		full.await(b, "object", time.Millisecond, func() bool { return len(full.objects(b)) > before })
		full.signal(b, syscall.SIGKILL)
		<-full.process.Done()
		before = len(full.objects(b))
		full.start(b)
		recovery = append(recovery, full.await(b, "object after a kill", time.Millisecond, func() bool { return len(full.objects(b)) > before }))
		full.stop(b)
	}
	stop()
	r.judge(slices.Max(ready) <= time.Second, "process start to ready", "≤ 1 s", "%s", spread(ready))
	r.add("process start to first frame captured", "%s", spread(capturing))
	r.judge(slices.Max(recovery) <= 5*time.Second, "kill -9 to first new object, restarted at once", "≤ 5 s", "%s", spread(recovery))
	done()
}

// spread shows the median and the longest.
func spread(list []time.Duration) string {
	slices.Sort(list)
	return fmt.Sprintf("median %d ms, longest of %d: %d ms", list[len(list)/2].Milliseconds(), len(list), slices.Max(list).Milliseconds())
}

// profileOf names the kinds of work and how to recognise them in a stack: the first line that fits any of its frames
// counts.
var profileOf = []struct {
	name  string
	marks []string
}{
	{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.(*sweepLocked)", "runtime.(*mheap).allocNeedsZero"}},
	{"capture: go-mysql reads and decodes", []string{"go-mysql/replication.", "go-mysql/packet."}},
	{"capture: frames are built", []string{"cdcd/sources/mysql."}},
	{"bus: the server stores and serves", []string{"nats-server/v2/server."}},
	{"rules", []string{"cdcd/rules."}},
	{"records are rendered (JSON)", []string{"cdc.AppendRecord"}},
	{"compression", []string{"compress/zstd."}},
	{"hashes of records and objects", []string{"chain.RecordsRoot", "crypto/"}},
	{"engine, chain and audit, the rest", []string{"cdcd/engine.", "cdcd/sinks/"}},
	{"bus: publisher, consumer, client", []string{"cdcd/bus.", "nats.go"}},
}

// split sorts the samples of a profile, as `go tool pprof -traces` prints them, by kind of work.
func split(traces string) (names []string, shares map[string]float64) {
	shares = map[string]float64{}
	var total float64
	for _, block := range strings.Split(traces, "-----------+")[1:] {
		lines := strings.Split(block, "\n")[1:]
		if len(lines) == 0 {
			continue
		}
		value, _, _ := strings.Cut(strings.TrimSpace(lines[0]), " ")
		took, err := time.ParseDuration(value)
		if err != nil {
			continue
		}
		name := "the Go runtime's scheduler, and all else"
	search:
		for _, kind := range profileOf {
			for _, mark := range kind.marks {
				if strings.Contains(block, mark) {
					name = kind.name
					break search
				}
			}
		}
		if shares[name] == 0 {
			names = append(names, name)
		}
		shares[name] += took.Seconds()
		total += took.Seconds()
	}
	for name := range shares {
		shares[name] /= total
	}
	slices.SortFunc(names, func(x, y string) int { return int(1e6 * (shares[y] - shares[x])) })
	return names, shares
}

// keepProfile copies the profile to where the environment says.
func keepProfile(b *testing.B, name string) {
	to := os.Getenv("CDCD_BENCH_PROFILE")
	if to == "" {
		return
	}
	body, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(to, body, 0o644)
	}
	if err != nil {
		b.Fatal(err)
	}
}
