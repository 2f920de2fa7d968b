package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/sinks/audit"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/deadletter"
)

// jobDraft is a job while it grows.
type jobDraft struct {
	records, others []deadletter.Settled
	letters         map[uint64]*deadletter.Letter
	bytes           int
}

func (d *jobDraft) add(l *deadletter.Letter, s deadletter.Settled) {
	if s.Outcome == deadletter.Redriven {
		d.records = append(d.records, s)
		d.letters[s.No] = l
		d.bytes += len(s.Line) + len(l.Batch.Frame())
	} else {
		d.others = append(d.others, s)
	}
}

func (d *jobDraft) full() bool {
	return len(d.records)+len(d.others) >= dlqJob || d.bytes >= dlqJobBytes
}

// settle makes a job of the draft, behind those that there are, and carries it out.
func (w *dlqWork) settle(ctx context.Context, f *feed, book *deadletter.Book, jobs *[]deadletter.Job, d *jobDraft) error {
	if len(d.records)+len(d.others) == 0 {
		return nil
	}
	defer func() { *d = jobDraft{letters: map[uint64]*deadletter.Letter{}} }()
	job, err := book.AddJob(ctx, *jobs, deadletter.Job{Do: w.wish.Do, At: time.Now().UTC(), By: w.wish.By, Why: w.wish.Why, RuleSet: w.result.RuleSet,
		Settled: append(d.records, d.others...)})
	if errors.Is(err, deadletter.ErrTaken) {
		return cdc.Errorf("CDCD-4605", "somebody else has settled dead letters of this feed at the same time").WithFix("look at `cdcd dlq list`, and say it again")
	}
	if err != nil {
		return err
	}
	w.result.Jobs = append(w.result.Jobs, fmt.Sprintf("%s/%d", f.name, job.No))
	if into := redrivenURL(f.cfg); job.Records > 0 && !slices.Contains(w.result.Into, into) {
		w.result.Into = append(w.result.Into, into)
	}
	*jobs = append(*jobs, job)
	last := len(*jobs) - 1
	if err := w.p.finishJobs(ctx, f, book, *jobs, last, d.letters); err != nil {
		return err
	}
	for i := range job.Settled {
		(*jobs)[last].Settled[i].Line = nil // it is delivered
	}
	w.at.Delivered += int64(job.Records)
	if w.progress != nil {
		w.progress(w.at)
	}
	return nil
}

// settledLetters returns what became of letters, by their numbers.
func settledLetters(jobs []deadletter.Job) map[uint64]string {
	settled := map[uint64]string{}
	for _, j := range jobs {
		for _, s := range j.Settled {
			settled[s.No] = fmt.Sprintf("%s by job %s/%d", s.Outcome, j.Do, j.No)
		}
	}
	return settled
}

// finishAllJobs carries out what was decided before the program was killed.
func (p *pipeline) finishAllJobs(ctx context.Context) error {
	for _, f := range p.feeds {
		for attempt := 0; ; attempt++ {
			if err := p.dlq.take(ctx); err != nil {
				return err
			}
			book := deadletter.NewBook(f.name, f.dead)
			jobs, err := book.Jobs(ctx)
			if err == nil {
				err = p.finishJobs(ctx, f, book, jobs, 0, nil)
			}
			p.dlq.give()
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if final(err) {
				p.log.Error("redriven dead letters cannot be delivered", "event", "dlq.stopped", "feed", f.name, "err", err)
				break
			}
			p.log.Warn("redriven dead letters are not delivered yet", "event", "dlq.retry", "feed", f.name, "err", err)
			if err := pause(ctx, attempt); err != nil {
				return err
			}
		}
	}
	return nil
}

// finishJobs delivers the records of jobs that are not delivered yet, and logs the jobs from one on. It may be called again at any
// time: the chain says how far it has come. letters are those of the last job, if they are at hand.
func (p *pipeline) finishJobs(ctx context.Context, f *feed, book *deadletter.Book, jobs []deadletter.Job, from int, letters map[uint64]*deadletter.Letter) error {
	if records := slices.ContainsFunc(jobs[from:], func(j deadletter.Job) bool { return j.Records > 0 }); records {
		if err := p.deliverJobs(ctx, f, book, jobs, letters); err != nil {
			return err
		}
	}
	for _, j := range jobs[from:] {
		n := audit.Note{Kind: audit.TypeRedriven, ID: fmt.Sprintf("%s/%d", f.name, j.No), Feed: f.name, By: j.By, Why: j.Why, At: &j.At, Outcome: j.Do,
			Digest: j.RuleSet, Job: fmt.Sprint(j.No), Counts: map[string]int64{}}
		if j.Do == deadletter.Discard {
			n.Kind = audit.TypeDiscarded
		}
		for _, s := range j.Settled {
			n.Counts[s.Outcome]++
			n.Items = append(n.Items, s.SHA256)
		}
		if err := p.audit.Note(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// redrivenURL is where redriven records of a feed go: beside its objects, where nobody who reads the feed in order stumbles over
// them. Records of a NATS feed have a subject of their own.
func redrivenURL(f *feedConfig) string {
	if f.toNATS() {
		return f.To + "-" + redrivenName
	}
	return strings.TrimSuffix(f.To, "/") + "/" + redrivenName
}

// redriven is a feed as its redriven records get it: the same in all but the place.
func redriven(f *feedConfig) *feedConfig {
	own := *f
	own.To = redrivenURL(f)
	if f.Nats != nil && f.Nats.Stream != "" {
		nats := *f.Nats
		nats.Stream += "-" + strings.ToUpper(redrivenName)
		own.Nats = &nats
	}
	return &own
}

// deliverJobs delivers what the chain of redriven records does not have yet.
func (p *pipeline) deliverJobs(ctx context.Context, f *feed, book *deadletter.Book, jobs []deadletter.Job, letters map[uint64]*deadletter.Letter) error {
	store, err := openPlace(ctx, p.env, p.cfg.Name, f.name, redriven(f.cfg))
	if err != nil {
		return err
	}
	defer closeStore(store)
	var line []byte
	cfg := p.chainConfig(f)
	cfg.Feed, cfg.Store, cfg.Partitions, cfg.PartitionBy = f.name+"."+redrivenName, store, 1, nil
	cfg.Audited, cfg.KeepTransactions = p.audited(store), false
	cfg.Append = func(dst []byte, _ *cdc.Decision) []byte { return append(dst, line...) }
	c, err := chain.Open(ctx, cfg)
	if err != nil {
		return err
	}
	next, _ := c.Next()
	if next >= deadletter.NextRecord(jobs) {
		return nil
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(running) }()
	defer func() { stop(); <-ended }()
	for _, j := range jobs {
		if j.Records == 0 || j.First+uint64(j.Records) <= next {
			continue
		}
		if letters, err = lettersOf(ctx, book, &j, letters); err != nil {
			return err
		}
		for i, s := range j.Settled[:j.Records] {
			b, err := letters[s.No].Renumber(j.First+uint64(i), redrivenEpoch)
			if err != nil {
				return err
			}
			line = s.Line
			if err := c.Write(ctx, b, []cdc.Decision{{Event: b.Event(0), RuleSet: j.RuleSet}}); err != nil {
				return err
			}
		}
	}
	return c.Flush(ctx)
}

// lettersOf returns the letters of a job, which may be at hand.
func lettersOf(ctx context.Context, book *deadletter.Book, j *deadletter.Job, have map[uint64]*deadletter.Letter) (map[uint64]*deadletter.Letter, error) {
	wanted, missing := map[uint64]bool{}, false
	for _, s := range j.Settled[:j.Records] {
		wanted[s.No] = true
		missing = missing || have[s.No] == nil
	}
	if !missing {
		return have, nil
	}
	have = map[uint64]*deadletter.Letter{}
	err := book.Letters(ctx, func(l *deadletter.Letter) error {
		if wanted[l.No()] { // a folder may hold more than the memory
			have[l.No()] = l
		}
		return nil
	})
	for no := range wanted {
		if err == nil && have[no] == nil {
			err = cdc.Errorf("CDCD-4603", "dead letter %d of job %d is gone", no, j.No).WithFix("restore the folder of the dead letters from a backup")
		}
	}
	return have, err
}
