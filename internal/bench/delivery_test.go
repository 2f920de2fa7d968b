package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sinks/form"
	"github.com/cdcd-project/cdcd/sinks/trigger"
)

// variants are what a feed can be asked for, beside the plain one: each is the plain feed and that one thing.
var variants = []struct {
	name       string
	feed, more []string
	rule       string   // lines of a rule, or rules
	has, lacks []string // texts that every record has, that none has
	tenth      string   // a text that each tenth record has
}{
	{name: "masked: hmac on one column, last4 on another", feed: []string{`mask: {hmac: [bench.orders.email], last4: [bench.orders.address]}`}, has: []string{`"***ntry"`}, lacks: []string{"@mail", "Street"}},
	{name: "`select` of 4 of 12 columns", feed: []string{"select: [bench.orders.id, bench.orders.status, bench.orders.total, bench.orders.changed]"}, has: []string{`"changed"`}, lacks: []string{"@mail", `"weight"`}},
	{name: "envelope debezium", feed: []string{"envelope: debezium"}, has: []string{`"ts_ms":`}},
	{name: "envelope cloudevents", feed: []string{"envelope: cloudevents"}, has: []string{`"specversion":"1.0"`}},
	{name: "CSV", feed: []string{"format: csv"}, has: []string{"@mail"}},
	{name: "Parquet", feed: []string{"format: parquet"}, has: []string{"@mail"}},
	{name: "3 partitions", feed: []string{"partitions: 3"}},
	{name: "whole transactions (`keep_transactions`)", feed: []string{keepTransactions}},
	{name: "look-ups on 10 % of the changes", tenth: `"lookup":{"customer":{"name":"Customer `, rule: `
  - name: looked
    tables: [bench.orders]
    on: [insert, update]
    when: after.id % 10 == 0
    lookup: {customer: {table: shop.customers, by: {id: after.customer_id}, columns: [name, tier]}}
    to: [acme]
`},
	{name: "one column sealed for persons, whose key is there", more: []string{"persons: {customer: {subject: {bench.orders: currency}, columns: [bench.orders.email]}}"}, lacks: []string{"@mail"}},
	{name: "the same for 9,000 new persons", more: []string{"persons: {customer: {subject: {bench.orders: address}, columns: [bench.orders.email]}}"}, lacks: []string{"@mail"}},
}

// keepTransactions goes into the feed's rotate.
const keepTransactions = "keep_transactions"

const deliveryRule = `version: 1
rules:
  - name: everything
    tables: [bench.orders]
    on: [insert, update]
    when: after.total >= 0 && after.items >= 0
    to: [acme]
`

// BenchmarkDelivery measures what each thing that a feed can be asked for costs, and how long it takes until a partner can know of
// a change, and prints tables for docs/performance.md. Run it with -benchtime 1x.
func BenchmarkDelivery(b *testing.B) {
	for range b.N {
		began := time.Now()
		r := &report{b: b}
		s := r.prepareDelivery()
		throughput, full := r.variants(s)
		latencies := r.notices(s)
		bars := &report{b: b}
		bars.judge(full.run.rate() >= 40_000, "plain, all "+grouped(updates)+" changes, to S3", "≥ 40,000 rows/s, stretch 100,000", "%s rows/s", grouped(full.run.rate()))
		bars.judge(full.run.peak <= 200, "resident memory at that rate", "≤ 200 MiB", "%d MiB at most, %d median", full.run.peak, full.run.steady)
		bars.lines = append(bars.lines, r.lines...)
		bars.restarts(s.db, full.deployment)
		m := &report{b: b}
		m.machine()
		fmt.Println()
		m.markdown(os.Stdout)
		fmt.Println()
		throughput.print(os.Stdout)
		fmt.Println()
		latencies.print(os.Stdout)
		fmt.Println()
		bars.markdown(os.Stdout)
		fmt.Fprintf(os.Stderr, "\nall of it took %.0f s\n", time.Since(began).Seconds())
	}
}

// deliverySource is a source whose log holds changes, and streams that begin before all of them, and in their midst.
type deliverySource struct {
	db        *testenv.Server
	store     *testenv.Store
	all, half *deployment
}

const variantRows = updates / 2

func (r *report) prepareDelivery() deliverySource {
	b := r.b
	defer r.step("%d updates", updates)()
	s := deliverySource{db: testenv.MariaDB(b, serverOptions...), store: testenv.S3(b)}
	s.store.CreateBucket(b, "partner")
	createTable(b, s.db)
	s.db.Exec(b, "CREATE DATABASE shop", "CREATE TABLE shop.customers (id INT PRIMARY KEY, name VARCHAR(40) NOT NULL, tier ENUM('basic','vip') NOT NULL)",
		"INSERT INTO shop.customers SELECT DISTINCT customer_id, CONCAT('Customer ', customer_id), 1 + customer_id%2 FROM bench.orders")
	prime := func() *deployment {
		d := deploy(b, s.db, nil, nil, rotate)
		for _, keys := range []string{"hmac", "persons"} {
			cmd := exec.Command(program, "mask", "new-key", keys, "-c", filepath.Join(d.dir, "cdcd.yaml"))
			cmd.Env = d.env
			if out, err := cmd.CombinedOutput(); err != nil {
				b.Fatalf("cdcd mask new-key %s: %v\n%s", keys, err, out)
			}
		}
		d.start(b)
		d.capturing(b)
		d.stop(b)
		return d
	}
	s.all = prime()
	updateSome(b, s.db, updates-variantRows)
	s.half = prime()
	updateSome(b, s.db, variantRows)
	return s
}

// fullDelivery is the delivery of all changes and what it left.
type fullDelivery struct {
	*deployment
	run run
}

// variants measures the plain feed and each of the others, to files and to S3. The plain one is measured first, in the middle and at the
// end; its best counts.
func (r *report) variants(s deliverySource) (*table, fullDelivery) {
	b := r.b
	done := r.step("plain, all changes")
	full := deployAs(b, s.db, setup{store: s.store, prime: s.all, rotate: rotate, rules: deliveryRule})
	whole := full.deliver(b, false)
	done()

	stores := []*testenv.Store{nil, s.store}
	plain := [2]measured{}
	measurePlain := func() {
		defer r.step("plain")()
		for i, store := range stores {
			d := deployAs(b, s.db, setup{store: store, prime: s.half, rotate: rotate, rules: deliveryRule, rows: variantRows})
			plain[i] = faster(plain[i], d.deliver(b, false).measured)
		}
	}
	results := make([][2]run, len(variants))
	measurePlain()
	for n, v := range variants {
		if n == len(variants)/2 {
			measurePlain()
		}
		done := r.step("%s", v.name)
		what := setup{prime: s.half, rotate: rotate, rows: variantRows, rules: deliveryRule + v.rule, feed: v.feed, more: v.more}
		if i := slices.Index(v.feed, keepTransactions); i >= 0 {
			what.feed, what.rotate = nil, strings.TrimSuffix(rotate, "}")+", keep_transactions: true}"
		}
		for i, store := range stores {
			what.store = store
			d := deployAs(b, s.db, what)
			results[n][i] = d.all(b, false)
			d.checkForm(b, v.has, v.lacks, v.tenth)
		}
		done()
	}
	done = r.step("messages")
	messages := r.messages(s)
	done()
	measurePlain()

	t := &table{head: []string{"feed", "files, rows/s", "", "µs of processor", "S3, rows/s", "", "µs of processor"}}
	row := func(name string, got [2]measured) {
		cells := []string{name}
		for i, m := range got {
			cells = append(cells, grouped(m.rate()), fmt.Sprintf("%.2f ×", m.rate()/plain[i].rate()), fmt.Sprintf("%.2f", m.perRow()))
		}
		t.rows = append(t.rows, cells)
	}
	row("plain", plain)
	for n, v := range variants {
		row(v.name, [2]measured{results[n][0].measured, results[n][1].measured})
	}
	t.rows = append(t.rows, []string{"messages (`to: nats://`): " + grouped(messages.rate()) + " rows/s", fmt.Sprintf("%.2f × files", messages.rate()/plain[0].rate()),
		"", fmt.Sprintf("%.2f", messages.perRow()), "", "", ""})
	return t, fullDelivery{full, whole}
}

// checkForm fails unless the bucket has each update once, in the form that was asked for.
func (d *deployment) checkForm(b *testing.B, has, lacks []string, tenth string) {
	b.Helper()
	var c counted
	tenths := 0
	for _, file := range d.objects(b) {
		body, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		f, err := form.Of(file)
		if err != nil {
			b.Fatal(err)
		}
		lines, err := f.Unseal(body)
		if err != nil {
			b.Fatalf("%s: %v", file, err)
		}
		first := true
		for record := range f.Records(lines) {
			if !c.record(record) { // the header of CSV is none, and is gone by here
				b.Fatalf("%s: a record of no row: %s", file, record)
			}
			for _, text := range has {
				if first && !bytes.Contains(record, []byte(text)) {
					b.Fatalf("%s: a record without %q: %s", file, text, record)
				}
			}
			for _, text := range lacks {
				if first && bytes.Contains(record, []byte(text)) {
					b.Fatalf("%s: a record with %q: %s", file, text, record)
				}
			}
			first = false
			if tenth != "" && bytes.Contains(record, []byte(tenth)) {
				tenths++
			}
		}
	}
	c.check(b, d.rows)
	if tenth != "" && tenths != d.rows/10 {
		b.Fatalf("%d records have %q, want %d", tenths, tenth, d.rows/10)
	}
}

// counted counts the changes of each row.
type counted struct {
	of [tableRows + 1]int
	n  int
}

// record counts a record, in whatever form; ok=false if it is of no row.
func (c *counted) record(line []byte) (ok bool) {
	for _, before := range []string{`"after":{"id":`, `{""id"":`} {
		if at := bytes.Index(line, []byte(before)); at >= 0 {
			line = line[at+len(before):]
			id, err := strconv.Atoi(string(line[:bytes.IndexAny(line, ",}")]))
			if err != nil || id < 1 || id > tableRows {
				return false
			}
			c.of[id], c.n = c.of[id]+1, c.n+1
			return true
		}
	}
	return false
}

// check fails unless each row was changed as often as it was.
func (c *counted) check(b *testing.B, rows int) {
	b.Helper()
	if c.n != rows {
		b.Fatalf("%d records were delivered, want %d", c.n, rows)
	}
	for id, n := range c.of[1:] {
		if n != rows/tableRows {
			b.Fatalf("%d records of row %d were delivered, want %d", n, id+1, rows/tableRows)
		}
	}
}

// messages measures a feed to a NATS server, which syncs what it stores as the stream does.
func (r *report) messages(s deliverySource) measured {
	b := r.b
	server, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, JetStream: true, StoreDir: b.TempDir(),
		NoSigs: true, NoLog: true, MaxPayload: 8 << 20, SyncAlways: true})
	if err != nil {
		b.Fatal(err)
	}
	server.Start()
	defer func() {
		server.Shutdown()
		server.WaitForShutdown()
	}()
	if !server.ReadyForConnections(20 * time.Second) {
		b.Fatal("NATS server does not start")
	}
	d := deployAs(b, s.db, setup{to: server.ClientURL() + "/acme", prime: s.half, rotate: "{every: 2s, bytes: 16MiB}", rules: deliveryRule, rows: variantRows})
	got := d.all(b, false)

	nc, err := nats.Connect(server.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		b.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(b.Context(), "ACME", jetstream.OrderedConsumerConfig{FilterSubjects: []string{"acme.>"}})
	if err != nil {
		b.Fatal(err)
	}
	var c counted
	for left := uint64(1); left > 0; {
		batch, err := consumer.FetchNoWait(5000)
		if err != nil {
			b.Fatal(err)
		}
		left = 0
		for m := range batch.Messages() {
			if !c.record(m.Data()) {
				b.Fatalf("a message of no row: %s", m.Data())
			}
			if meta, err := m.Metadata(); err != nil {
				b.Fatal(err)
			} else {
				left = meta.NumPending
			}
		}
		if err := batch.Error(); err != nil {
			b.Fatal(err)
		}
	}
	c.check(b, d.rows)
	return got.measured
}

const (
	noticeRate = 200 // transactions a second
	noticeTime = 6 * time.Second
)

// notices measures from the commit of small transactions to their object, and to where the partner knows of it, by webhook and by NATS,
// all in one run.
func (r *report) notices(s deliverySource) *table {
	b := r.b
	t := &table{head: []string{"commit → …, at " + strconv.Itoa(noticeRate) + " transactions a second", "object, p50", "p99", "webhook, p50", "p99", "NATS, p50", "p99"}}
	var heard hearing
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err == nil {
			heard.event("webhook", body)
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer hook.Close()
	cents := 1
	for _, every := range []time.Duration{100 * time.Millisecond, 2 * time.Second} {
		for i, store := range []*testenv.Store{nil, s.store} {
			name := []string{"files", "S3"}[i]
			done := r.step("latency to %s, rotate every %v", name, every)
			heard.reset()
			listen := "127.0.0.1:" + freePort(b)
			d := deployAs(b, s.db, setup{store: store, rotate: fmt.Sprintf("{every: %v}", every), rules: deliveryRule,
				env: []string{"HOOK_SECRET=whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="},
				feed: []string{fmt.Sprintf("trigger: {webhook: {url: %q, secret_env: HOOK_SECRET, allow_insecure: true, allow_private: true}, nats: {subject: acme.objects}}",
					hook.URL)},
				more: []string{fmt.Sprintf("bus: {embedded: {listen: %q}}", listen)}})
			d.start(b)
			d.capturing(b)
			nc, err := nats.Connect("nats://" + listen)
			if err != nil {
				b.Fatal(err)
			}
			if _, err = nc.Subscribe("acme.objects", func(m *nats.Msg) { heard.event("nats", m.Data) }); err == nil {
				err = nc.Flush()
			}
			if err != nil {
				b.Fatal(err)
			}
			seen := d.watch(b)
			cents++
			load := light(b, s.db, noticeRate, cents)
			time.Sleep(noticeTime)
			committed := load()
			d.delivered(b, len(committed))
			d.await(b, "notices of all objects", 5*time.Millisecond, func() bool { return heard.all(len(d.objects(b))) })
			objects := seen()
			nc.Close()
			d.stop(b)

			took := map[string][]time.Duration{}
			for file, at := range objects {
				key := strings.TrimPrefix(file, d.bucket+"/")
				records(b, file, func(rec record) {
					began := committed[rec.After.Total]
					took["object"] = append(took["object"], at.Sub(began))
					for _, by := range []string{"webhook", "nats"} {
						told, ok := heard.of(by, key)
						if !ok {
							b.Fatalf("nobody was told of %s by %s", key, by)
						}
						took[by] = append(took[by], told.Sub(began))
					}
				})
			}
			if got := len(took["object"]); got != len(committed) {
				b.Fatalf("%d records were seen to arrive, want %d", got, len(committed))
			}
			cells := []string{fmt.Sprintf("%s, rotation %v", name, every)}
			for _, by := range []string{"object", "webhook", "nats"} {
				p50, p99 := percentiles(took[by])
				cells = append(cells, fmt.Sprintf("%d ms", p50.Milliseconds()), fmt.Sprintf("%d ms", p99.Milliseconds()))
				if by == "object" {
					over := p99 - every
					r.judge(over <= 250*time.Millisecond, fmt.Sprintf("commit → object, %s, rotation %v", name, every), "p99 ≤ rotation + 250 ms, stretch + 100 ms", "rotation %+d ms", over.Milliseconds())
				}
			}
			t.rows = append(t.rows, cells)
			done()
		}
	}
	return t
}

// hearing is when somebody was told of which object.
type hearing struct {
	mu sync.Mutex
	at map[string]map[string]time.Time // by who told, and the object's key
}

func (h *hearing) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.at = map[string]map[string]time.Time{"webhook": {}, "nats": {}}
}

// event notes what was told. A second time is none.
func (h *hearing) event(by string, body []byte) {
	now := time.Now()
	var e trigger.Event
	if json.Unmarshal(body, &e) != nil || e.Data == nil {
		return // it is missed in the end
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.at[by][e.Data.Key]; !ok {
		h.at[by][e.Data.Key] = now
	}
}

func (h *hearing) all(objects int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.at["webhook"]) >= objects && len(h.at["nats"]) >= objects
}

func (h *hearing) of(by, key string) (time.Time, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.at[by][key]
	return at, ok
}

// percentiles sorts a list and returns its median and the 99th percentile.
func percentiles(list []time.Duration) (p50, p99 time.Duration) {
	slices.Sort(list)
	return list[len(list)/2], list[len(list)*99/100]
}

// table is a table of a document.
type table struct {
	head []string
	rows [][]string
}

func (t *table) print(to io.Writer) {
	line := func(cells []string) { fmt.Fprintf(to, "| %s |\n", strings.Join(cells, " | ")) }
	line(t.head)
	fmt.Fprintln(to, strings.Repeat("|---", len(t.head))+"|")
	for _, cells := range t.rows {
		line(cells)
	}
}

// markdown prints the report for a document, as one table.
func (r *report) markdown(to io.Writer) {
	t := &table{head: []string{"what", "figure", "bar", ""}}
	for _, l := range r.lines {
		if l.section == "" {
			t.rows = append(t.rows, []string{l.what, strings.TrimSpace(l.figure), l.bar, map[string]string{"ok": "reached", "MISSED": "**missed**"}[l.verdict]})
		}
	}
	t.print(to)
}

// grouped shows a number with commas between the thousands.
func grouped[N int | float64](n N) string {
	digits := strconv.FormatInt(int64(n), 10)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
