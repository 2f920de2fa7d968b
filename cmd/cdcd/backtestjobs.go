package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/engine/backtest"
	"github.com/cdcd-project/cdcd/rules"
)

// backtestJobs are the back-tests that people have asked for and gone on to something else. They are remembered until cdcd ends.
type backtestJobs struct {
	mu   sync.Mutex // guards all
	all  []*backtestJob
	kick chan struct{} // there may be one that waits

	tell func(api.Job) // nil: nobody follows
}

type backtestJob struct {
	api.Backtest
	wish backtestWish
	stop context.CancelFunc // of one that runs
}

const (
	keptBacktests    = 50
	waitingBacktests = 8
	keptJobs         = "the last 50, until this cdcd ends"
)

// start has a back-test run when those before it have ended.
func (j *backtestJobs) start(wish backtestWish, who, schema string, now time.Time) (api.Backtest, error) {
	draft, err := wish.draft()
	if err != nil {
		return api.Backtest{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	waiting := 0
	for _, one := range j.all {
		if one.State == "waiting" {
			waiting++
		}
	}
	if waiting >= waitingBacktests {
		return api.Backtest{}, cdc.Errorf(codeJobsFull, "%d back-tests wait already", waiting).WithFix("wait for one to end, or stop one")
	}
	job := &backtestJob{wish: wish, Backtest: api.Backtest{ID: strings.ToLower(rand.Text()[:12]), Who: who, State: "waiting", Asked: now.UTC(), From: wish.From, To: wish.To,
		Rules: []string{}, Asks: []string{}, Schema: schema}}
	for _, r := range draft.Rules() {
		job.Rules, job.Asks = append(job.Rules, r.Name), append(job.Asks, r.Asks())
	}
	j.all = append(j.all, job)
	j.told(job)
	for len(j.all) > keptBacktests && !j.all[0].Ended.IsZero() {
		j.all = j.all[1:]
	}
	select {
	case j.kick <- struct{}{}:
	default: // it will be looked for
	}
	return job.Backtest, nil
}

// list returns all, the newest first, without their results.
func (j *backtestJobs) list() api.Backtests {
	j.mu.Lock()
	defer j.mu.Unlock()
	out := api.Backtests{Backtests: []api.Backtest{}, Kept: keptJobs}
	for _, job := range slices.Backward(j.all) {
		one := job.Backtest
		one.Result = nil
		out.Backtests = append(out.Backtests, one)
	}
	return out
}

func (j *backtestJobs) get(id string) (backtestJob, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	i := slices.IndexFunc(j.all, func(job *backtestJob) bool { return job.ID == id })
	if i < 0 {
		return backtestJob{}, cdc.Errorf(codeNoBacktest, "there is no back-test '%s'", id).WithFix("start it again: those that ended long ago, and those of a cdcd that has ended, are not remembered")
	}
	return *j.all[i], nil
}

// end stops a back-test that waits or runs.
func (j *backtestJobs) end(id string) (api.Backtest, error) {
	if _, err := j.get(id); err != nil {
		return api.Backtest{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	job := j.all[slices.IndexFunc(j.all, func(job *backtestJob) bool { return job.ID == id })]
	switch job.State {
	case "waiting":
		job.State, job.Ended = "stopped", time.Now().UTC()
		j.told(job)
	case "running":
		job.stop()
	}
	return job.Backtest, nil
}

// next returns one that waits, and notes that it runs.
func (j *backtestJobs) next(stop context.CancelFunc) *backtestJob {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, job := range j.all {
		if job.State == "waiting" {
			job.State, job.Begun, job.stop = "running", time.Now().UTC(), stop
			j.told(job)
			return job
		}
	}
	return nil
}

// note changes what is known of one.
func (j *backtestJobs) note(job *backtestJob, what func(*api.Backtest)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	what(&job.Backtest)
	j.told(job)
}

// follow has it told how far each is.
func (j *backtestJobs) follow(tell func(api.Job)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tell = tell
}

// told tells those who follow jobs how far one is. The mutex is held.
func (j *backtestJobs) told(job *backtestJob) {
	if j.tell == nil {
		return
	}
	b := job.Backtest
	out := api.Job{ID: b.ID, Kind: "backtest", Title: strings.Join(b.Rules, ", "), State: b.State, Started: b.Asked, Who: b.Who, Done: b.Seq, Of: b.LastSeq, Error: b.Error}
	switch b.State {
	case "waiting":
		out.State = "running"
	case "stopped":
		out.State = "cancelled"
	}
	b.Result, b.Asks = nil, nil
	out.Progress = b
	j.tell(out)
}

// runBacktests runs them one after the other, until ctx ends.
func (p *pipeline) runBacktests(ctx context.Context) error {
	for {
		one, stop := context.WithCancel(ctx)
		job := p.jobs.next(stop)
		if job == nil {
			stop()
			select {
			case <-p.jobs.kick:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		p.runBacktest(one, job)
		stop()
	}
}

func (p *pipeline) runBacktest(ctx context.Context, job *backtestJob) {
	for !p.backtests.CompareAndSwap(0, 1) { // the command line's are not on the list
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			p.jobs.note(job, func(b *api.Backtest) { b.State, b.Ended = "stopped", time.Now().UTC() })
			return
		}
	}
	defer p.backtests.Add(-1)
	report, err := job.wish.tryStream(ctx, p.app, p.cfg, p.stream, p.desk.book, func(now backtestProgress) {
		p.jobs.note(job, func(b *api.Backtest) {
			b.Read, b.Matched, b.Errors, b.Seq, b.LastSeq, b.At = now.Read, now.Matched, now.Errors, now.Seq, now.LastSeq, now.At
		})
	})
	result, wrong := reportOf(report)
	p.jobs.note(job, func(b *api.Backtest) {
		b.State, b.Ended = "done", time.Now().UTC()
		b.Result, b.Read, b.Matched, b.Errors = result, report.Read, report.Matched, report.Errors
		switch err = errors.Join(err, wrong); {
		case ctx.Err() != nil:
			b.State = "stopped"
		case err != nil:
			no := api.ErrorOf(err)
			b.State, b.Error = "failed", &no
		}
	})
}

// reportOf writes a report in the words of the API, in which changes are text.
func reportOf(r backtest.Report) (*api.BacktestReport, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var out api.BacktestReport
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, err
	}
	for i := range r.Rules {
		for j := range r.Rules[i].Examples {
			out.Rules[i].Examples[j].Line = string(r.Rules[i].Examples[j].Event)
		}
	}
	return &out, nil
}

// tried says what a back-test has shown, if it is one of these conditions on tables as they are.
func (job *backtestJob) tried(asks []string, schema string, now time.Time) (*api.Tried, error) {
	no := func(format string, args ...any) error {
		return cdc.Errorf(codeUntried, "back-test '%s' %s", job.ID, fmt.Sprintf(format, args...)).WithFix("run it again with what is to be published, or say why there is none")
	}
	switch {
	case job.State != "done":
		return nil, no("has not come to its end: it is %s", job.State)
	case now.Sub(job.Ended) > triedFor:
		return nil, no("ended at %s, more than a day ago", stamp(job.Ended))
	case schema != "" && job.Schema != "" && schema != job.Schema:
		return nil, no("is of tables that have changed since")
	}
	for _, one := range asks {
		if !slices.Contains(job.Asks, one) {
			return nil, no("has tried another condition")
		}
	}
	t := &api.Tried{Backtest: job.ID, Ended: job.Ended, From: job.Result.First, To: job.Result.Last, Read: job.Result.Read, Matched: job.Result.Matched, Errors: job.Result.Errors}
	for _, r := range job.Result.Rules {
		t.Added, t.Lost = t.Added+r.Added, t.Lost+r.Lost
	}
	return t, nil
}

// schemaDigest names the tables that rules are about by their columns.
func schemaDigest(tables []*cdc.Table, all []*rules.Rule) string {
	var lines []string
	for _, t := range tables {
		if !slices.ContainsFunc(all, func(r *rules.Rule) bool { return r.IsAbout(t) }) {
			continue
		}
		line := t.String()
		for _, c := range t.Columns {
			line += fmt.Sprintf(" %q %v %v %v %q", c.Name, c.Kind, c.Nullable, c.Key, c.Members)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	return "sha256:" + hex.EncodeToString(sum[:])
}
