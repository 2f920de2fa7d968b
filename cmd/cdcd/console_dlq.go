package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// letterDesk implements console.DeadLetters. Jobs are remembered until cdcd ends: what they have settled is in the book of the feed.
type letterDesk struct {
	d *consoleDesk

	mu   sync.Mutex // guards all
	jobs []*letterJob
}

type letterJob struct {
	api.DLQJob
	stop  context.CancelFunc
	ended chan struct{}
}

const (
	keptLetterJobs    = 50
	runningLetterJobs = 8               // one works, the others wait for it
	letterJobPatience = 2 * time.Second // after which who has asked is told to come again
)

// Groups implements console.DeadLetters.
func (l *letterDesk) Groups(ctx context.Context, feeds []string, all bool) (api.DLQList, error) {
	return letterGroups(ctx, l.d.p.cfg, feeds, all)
}

// Letters implements console.DeadLetters.
func (l *letterDesk) Letters(ctx context.Context, names []string, state string, pass, limit int) (api.DeadLetters, error) {
	some, err := lettersNamed(ctx, l.d.p.cfg, names, state, pass, limit)
	for i := range some.Letters {
		one := &some.Letters[i]
		one.Line, one.Event = string(one.Event), nil
		for j := range one.Edits {
			e := &one.Edits[j]
			e.Text, e.Set = string(e.Set), nil
		}
	}
	return some, err
}

// Settle implements console.DeadLetters.
func (l *letterDesk) Settle(ctx context.Context, do, by string, ask api.DLQWish) (api.DLQJob, error) {
	wish := dlqWish{Do: do, Feeds: ask.Feeds, What: ask.What, Yes: ask.Yes, Why: ask.Why, By: by}
	if err := knownFeeds(l.d.p.cfg, wish.Feeds); err != nil {
		return api.DLQJob{}, err
	}
	if ask.Edit != "" {
		if wish.Edit = json.RawMessage(ask.Edit); !json.Valid(wish.Edit) {
			return api.DLQJob{}, cdc.Errorf("CDCD-4602", "the correction cannot be read: it is not JSON").WithFix(`write it like {"after": {"column": value}}`)
		}
	}
	for _, text := range ask.Texts {
		t := rules.ReadRuleText(text)
		if t.Rule == nil {
			return api.DLQJob{}, t.Found
		}
		wish.Rules = append(wish.Rules, ruleText{t.Rule.Name, t.AsFile()})
	}
	job, err := l.begin(wish)
	if err != nil {
		return api.DLQJob{}, err
	}
	patience := time.NewTimer(letterJobPatience)
	defer patience.Stop()
	select {
	case <-job.ended:
	case <-patience.C:
	case <-ctx.Done():
	}
	now := l.now(job)
	if now.Error != nil { // it is who has asked that is told
		return now, &cdc.Error{Code: now.Error.Code, What: now.Error.Message, Fix: now.Error.Fix}
	}
	return now, nil
}

// begin has a wish fulfilled, whether who wishes it stays or not.
func (l *letterDesk) begin(wish dlqWish) (*letterJob, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	running := 0
	for _, one := range l.jobs {
		if one.State == "running" {
			running++
		}
	}
	if running >= runningLetterJobs {
		return nil, cdc.Errorf(codeBusy, "%d jobs of dead letters are under way already", running).WithFix("wait for one to end, or stop one")
	}
	ctx, stop := context.WithCancel(l.d.ctx)
	job := &letterJob{stop: stop, ended: make(chan struct{}), DLQJob: api.DLQJob{ID: strings.ToLower(rand.Text()[:12]), Do: wish.Do, DryRun: !wish.Yes, Who: wish.By,
		Why: wish.Why, State: "running", Begun: time.Now().UTC()}}
	l.jobs = append(l.jobs, job)
	for len(l.jobs) > keptLetterJobs && l.jobs[0].State != "running" {
		l.jobs = l.jobs[1:]
	}
	l.d.work.Go(func() {
		defer stop()
		defer close(job.ended)
		l.run(ctx, job, wish)
	})
	return job, nil
}

// run does what is wished, and tells everybody how far it is.
func (l *letterDesk) run(ctx context.Context, job *letterJob, wish dlqWish) {
	note := func(what func(*api.DLQJob)) {
		l.mu.Lock()
		what(&job.DLQJob)
		now := job.DLQJob
		l.mu.Unlock()
		l.d.tellJob(api.Job{ID: now.ID, Kind: "dlq." + now.Do, Title: wish.title(), State: strings.Replace(now.State, "stopped", "cancelled", 1),
			Done: uint64(now.Progress.Letters), Started: now.Begun, Who: now.Who, Error: now.Error, Progress: now.Progress})
	}
	note(func(*api.DLQJob) {})
	result, err := l.d.p.deadLetters(ctx, wish, func(at api.DLQProgress) { note(func(j *api.DLQJob) { j.Progress = at }) })
	note(func(j *api.DLQJob) {
		j.State, j.Ended, j.Result = "done", time.Now().UTC(), &result
		switch {
		case err != nil && ctx.Err() != nil:
			j.State = "stopped"
		case err != nil:
			no := api.ErrorOf(err)
			j.State, j.Error = "failed", &no
		}
	})
}

// title says in a few words what is wished.
func (w *dlqWish) title() string {
	title := map[string]string{"retest": "Test dead letters again", "redrive": "Redrive dead letters", "discard": "Discard dead letters"}[w.Do]
	if w.Do != "retest" && !w.Yes {
		title += " (dry run)"
	}
	if len(w.What) > 0 {
		title += ": " + short(w.What)
	}
	return title
}

// Job implements console.DeadLetters.
func (l *letterDesk) Job(_ context.Context, id string) (api.DLQJob, error) {
	job, err := l.find(id)
	if err != nil {
		return api.DLQJob{}, err
	}
	return l.now(job), nil
}

// StopJob implements console.DeadLetters.
func (l *letterDesk) StopJob(ctx context.Context, id string) (api.DLQJob, error) {
	job, err := l.find(id)
	if err != nil {
		return api.DLQJob{}, err
	}
	job.stop()
	select {
	case <-job.ended:
		return l.now(job), nil
	case <-ctx.Done():
		return api.DLQJob{}, ctx.Err()
	}
}

func (l *letterDesk) find(id string) (*letterJob, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.IndexFunc(l.jobs, func(job *letterJob) bool { return job.ID == id })
	if i < 0 {
		return nil, cdc.Errorf(codeNothing, "there is no job '%s' of dead letters", id).
			WithFix("GET /api/v1/dlq/letters says what became of each letter; the last jobs are remembered until cdcd ends")
	}
	return l.jobs[i], nil
}

// now is how far a job is.
func (l *letterDesk) now(job *letterJob) api.DLQJob {
	l.mu.Lock()
	defer l.mu.Unlock()
	return job.DLQJob
}
