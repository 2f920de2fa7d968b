package bench

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/cdcd-project/cdcd/engine/backtest"
)

// backtests measures how fast rules are tried on the stream of a deployment that has delivered all updates and ended,
// against how fast those were delivered live.
func (r *report) backtests(d *deployment, live run) {
	defer r.step("back-tests")()
	r.section("back-test of the stream's history, one rule against the one in force")
	for _, draft := range []struct{ what, when string }{
		{"a draft that matches nothing", "after.total > 1000000 && changed('status')"},
		{"a draft that matches every change", "after.total >= 0"},
	} {
		d.write(r.b, "draft.yaml", "version: 1\nrules:\n  - {name: everything, tables: [bench.*], on: [insert, update], to: [acme], when: \""+draft.when+"\"}\n")
		best := backtest.Report{}
		for range rounds {
			cmd := exec.Command(program, "rules", "backtest", filepath.Join(d.dir, "draft.yaml"), "-c", filepath.Join(d.dir, "cdcd.yaml"), "-o", "json")
			cmd.Env, cmd.Stderr = append(d.env, "GODEBUG="), os.Stderr
			out, err := cmd.Output()
			var answer struct{ Result backtest.Report }
			if err == nil {
				err = json.Unmarshal(bytes.TrimSpace(out), &answer)
			}
			if err != nil || answer.Result.Read < updates || answer.Result.Partial {
				r.b.Fatalf("back-test: %v, %s", err, out)
			}
			if best.Read == 0 || answer.Result.Seconds < best.Seconds {
				best = answer.Result
			}
		}
		rate := float64(best.Read) / best.Seconds
		r.judge(rate >= 5*live.rate(), draft.what, "≥ 5 × live, end to end", "%6.0f changes/s  %.2f ×", rate, rate/live.rate())
	}
}
