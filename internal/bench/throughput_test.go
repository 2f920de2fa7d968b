package bench

import (
	"fmt"
	"os/exec"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
)

const rotate = "{every: 2s, rows: 50000, bytes: 16MiB}" // the default

// throughput measures how fast the same updates are decoded, captured and delivered.
func (r *report) throughput(db *testenv.Server) *sourced {
	b := r.b
	done := r.step("%s: %d updates", db.Flavor, updates)
	createTable(b, db)
	store := testenv.S3(b)
	store.CreateBucket(b, "partner")
	prime := deploy(b, db, nil, nil, rotate)
	prime.start(b)
	prime.capturing(b)
	prime.stop(b)
	from, checkpoint := end(b, db), present(b, db)
	update(b, db)
	done()

	var alone, framed, captured measured
	var toFiles, toS3 run
	for round := range rounds {
		done := r.step("%s: round %d", db.Flavor, round+1)
		alone = faster(alone, decode(b, db, from))
		framed = faster(framed, frames(b, db, checkpoint))
		captured = faster(captured, capture(b, db, checkpoint))
		if got := deploy(b, db, nil, prime, rotate).deliver(b, false); toFiles.wall == 0 || got.wall < toFiles.wall {
			toFiles = got
		}
		if got := deploy(b, db, store, prime, rotate).deliver(b, false); toS3.wall == 0 || got.wall < toS3.wall {
			toS3 = got
		}
		done()
	}
	r.captureFigures(db, from, alone, framed, captured)
	for _, to := range []struct {
		name string
		run
	}{{"files", toFiles}, {"S3 (versitygw)", toS3}} {
		r.judge(to.rate() >= 40_000, "process start to all delivered, "+to.name, "≥ 40000 rows/s", "%6.0f rows/s  %5.2f µs CPU  %.2f ×", to.rate(), to.perRow(), to.rate()/alone.rate())
		r.judge(to.peak <= 200, "  resident memory, peak", "≤ 200 MiB", "%d MiB (median %d)", to.peak, to.steady)
		r.add("  objects, bytes in the store, in the stream", "%d, %d MB, %d MB", to.objects, to.bytes/1e6, to.stream/1e6)
	}
	return &sourced{db, store, checkpoint, prime, toFiles}
}

// sourced is a source whose log holds the updates.
type sourced struct {
	db    *testenv.Server
	store *testenv.Store
	from  cdc.Checkpoint // before the updates
	prime *deployment    // a stream that begins there
	live  run            // their delivery to files
}

// captured measures how fast the same updates are decoded and captured; what comes after that does not depend on the
// server.
func (r *report) captured(db *testenv.Server) {
	b := r.b
	done := r.step("%s: %d updates", db.Flavor, updates)
	createTable(b, db)
	from, checkpoint := end(b, db), present(b, db)
	update(b, db)
	done()
	var alone, framed, captured measured
	for round := range rounds {
		done := r.step("%s: round %d", db.Flavor, round+1)
		alone = faster(alone, decode(b, db, from))
		framed = faster(framed, frames(b, db, checkpoint))
		captured = faster(captured, capture(b, db, checkpoint))
		done()
	}
	r.captureFigures(db, from, alone, framed, captured)
}

// captureFigures adds the section that both servers have.
func (r *report) captureFigures(db *testenv.Server, from place, alone, framed, captured measured) {
	theirs, ours, rows := decoders(r.b, db, from)
	r.section(db.Flavor + ": updates of 12 columns")
	r.add("row images in memory, go-mysql to values", "%6.0f rows/s", theirs.rateOf(rows))
	faster := ours.rateOf(rows) / theirs.rateOf(rows)
	r.judge(faster >= 4, "row images in memory, to sealed frames", "≥ 4 × go-mysql", "%6.0f rows/s  %.2f ×", ours.rateOf(rows), faster)
	r.add("go-mysql decoding alone", "%6.0f rows/s  %5.2f µs CPU", alone.rate(), alone.perRow())
	r.add("capture to frames, which go nowhere", "%6.0f rows/s  %5.2f µs CPU  %.2f ×", framed.rate(), framed.perRow(), framed.rate()/alone.rate())
	ratio := captured.rate() / alone.rate()
	r.judge(ratio >= 0.9, "capture to durable stream (sync always)", "≥ 0.9 × go-mysql", "%6.0f rows/s  %5.2f µs CPU  %.2f ×", captured.rate(), captured.perRow(), ratio)
}

// bigTransaction measures what a transaction of a million rows costs in memory.
func (r *report) bigTransaction(db *testenv.Server) {
	defer r.step("%s: a transaction of %d rows", db.Flavor, bigRows)()
	b := r.b
	d := deploy(b, db, nil, nil, rotate)
	d.start(b)
	d.capturing(b)
	before := d.memory("VmHWM")
	insertBig(b, db)
	d.await(b, "delivery of the big transaction", 20*time.Millisecond, func() bool {
		s, ok := d.status(b)
		return ok && s.Feeds[0].Records >= bigRows
	})
	peak := d.memory("VmHWM")
	d.stop(b)
	r.section(fmt.Sprintf("%s: one transaction of %d rows", db.Flavor, bigRows))
	r.judge(peak <= 200, "resident memory until all is delivered, peak", "≤ 200 MiB", "%d MiB (%d before)", peak, before)
}

// whereTimeGoes profiles a delivery to files and leaves its deployment behind.
func (r *report) whereTimeGoes(s *sourced) *deployment {
	defer r.step("where the time goes")()
	d := deploy(r.b, s.db, nil, s.prime, rotate)
	run := d.deliver(r.b, true)
	out, err := exec.Command("go", "tool", "pprof", "-traces", program, run.profile).Output()
	if err != nil {
		r.b.Fatalf("go tool pprof: %v", err)
	}
	keepProfile(r.b, run.profile)
	r.section("where processor time goes, delivering to files (profile of 5 s)")
	names, shares := split(string(out))
	for _, name := range names {
		r.add(name, "%4.1f %%", 100*shares[name])
	}
	return d
}
