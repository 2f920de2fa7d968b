package bench

import (
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

// BenchmarkStartWithAPlugin measures the time from the start of cdcd run to where it is ready, and to where it has delivered a change that a
// plugin in Go judged, when the plugin was compiled before. It is to be ready within a second.
func BenchmarkStartWithAPlugin(b *testing.B) {
	db := testenv.MariaDB(b)
	db.Exec(b, "CREATE DATABASE bench", "CREATE DATABASE shop",
		"CREATE TABLE shop.orders (id INT PRIMARY KEY, status ENUM('new','paid'), total DECIMAL(12,2), note TEXT)", "INSERT INTO shop.orders VALUES (1, 'new', 5000, '')")
	d := deploy(b, db, nil, nil, "{every: 100ms}")
	d.write(b, "plugins/paid-orders.wasm", string(guest.Module(b, "go", "examples/paid-orders")))
	d.write(b, "rules/all.yaml", "version: 1\nrules:\n  - {name: paid, tables: [shop.orders], filter: {plugin: paid-orders}, to: [acme]}\n")
	d.env = append(d.env, "CDCD_SOURCE__MYSQL__TABLES=shop.*")
	delivered := func() time.Duration {
		return d.await(b, "record", 2*time.Millisecond, func() bool { s, ok := d.status(b); return ok && s.Feeds[0].Records > 0 })
	}
	pay := func() {
		db.Exec(b, "UPDATE shop.orders SET status = 'new'", "UPDATE shop.orders SET status = 'paid'")
	}
	d.start(b)
	d.capturing(b)
	pay()
	delivered()
	d.stop(b)
	var ready, judged time.Duration
	for b.Loop() {
		pay() // nothing runs: it is what is read first
		d.start(b)
		ready += d.ready(b)
		judged += delivered()
		d.stop(b)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(ready.Milliseconds())/float64(b.N), "ms-to-ready")
	b.ReportMetric(float64(judged.Milliseconds())/float64(b.N), "ms-to-delivered")
}
