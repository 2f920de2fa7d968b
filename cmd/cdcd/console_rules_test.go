package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/rules"
)

// sent asks a console with a body, and reads the result; code is that of the error that is expected instead.
func sent[T any](t *testing.T, h http.Handler, method, path string, body any, code string) (result T) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "http://127.0.0.1:8480"+path, bytes.NewReader(text))
	r.Header.Set("Content-Type", "application/json")
	h.ServeHTTP(w, r)
	var answer api.Answer[T]
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatalf("%s %s: %d %v\n%s", method, path, w.Code, err, w.Body)
	}
	got := ""
	if answer.Error != nil {
		got = answer.Error.Code
	}
	if got != code || (code == "") != (w.Code == http.StatusOK) {
		t.Fatalf("%s %s: %d, code %q, want %q\n%.3000s", method, path, w.Code, got, code, w.Body)
	}
	return answer.Result
}

type body = map[string]any

func TestAnAnalystWritesTriesAndPublishesARule(t *testing.T) {
	p := deliveredDemo(t)
	h := p.handler()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.runBacktests(ctx) }()
	defer func() { stop(); <-done }()

	tables := asked[api.TableList](t, h, "/api/v1/tables")
	table := "shop.orders"
	if len(tables.Tables) == 0 {
		t.Fatal("no tables are known")
	}
	recent := asked[api.EventList](t, h, "/api/v1/events?table="+table+"&op=update&limit=1")
	if len(recent.Events) == 0 {
		t.Fatalf("no update of %s is in the stream", table)
	}
	event := "no:" + jsonNumber(recent.Events[0].No)

	// From an event to a rule that matches it.
	begun := sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/new", body{"event": event}, "")
	if !begun.Readable || begun.Errors > 0 || begun.Name == "" || len(begun.Tables) != 1 || !strings.Contains(begun.Text, "tests:") {
		t.Fatalf("a rule from an event: %+v", begun)
	}
	name := begun.Name
	text := begun.Text

	// What is wrong is said where it is, and mended.
	wrong := sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/check", body{"text": text, "set": body{"when": "after.id > 0 /* */ && '😀' != '' && after.statu == 'x'"}}, "")
	if wrong.Errors == 0 {
		t.Fatalf("nothing is wrong with %s", wrong.Text)
	}
	wrong = sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/check", body{"text": text, "set": body{"when": "'😀' != '' && after.statu == 'paid'"}}, "")
	f := wrong.Findings[0]
	for _, one := range wrong.Findings {
		if one.Code == "CDCD-2104" {
			f = one
		}
	}
	if f.Code != "CDCD-2104" || f.Condition == nil || f.Condition.From != len("'xx' != '' && after.") || f.Condition.To != f.Condition.From+len("statu") ||
		f.Edit == nil || f.Edit.From > f.Condition.To || f.Field != "when" {
		t.Errorf("the finding is %+v, in the condition %+v, edit %+v", f, f.Condition, f.Edit)
	}
	items := sent[api.Completion](t, h, "POST", "/api/v1/rules/complete", body{"text": text, "set": body{"when": "'😀' != '' && after.stat"}, "key": "when", "at": len("'xx' != '' && after.stat")}, "")
	if len(items.Items) == 0 || items.Items[0].Label != "status" || items.From != len("'xx' != '' && after.") {
		t.Errorf("completion is %+v", items)
	}

	// Recent changes are judged; a question that was asked is answered fast.
	seen := sent[api.Evaluated](t, h, "POST", "/api/v1/rules/evaluate", body{"text": text, "limit": 20}, "")
	if len(seen.Events) < 20 || !seen.Readable || seen.Events[0].Line == "" {
		t.Errorf("evaluated %d changes, %d match", len(seen.Events), seen.Matched)
	}
	one := sent[api.Evaluated](t, h, "POST", "/api/v1/rules/evaluate", body{"text": text, "events": []string{event}}, "")
	if len(one.Events) != 1 || one.Events[0].Outcome != rules.Matched {
		t.Errorf("its event: %+v", one)
	}
	x := sent[rules.Explanation](t, h, "POST", "/api/v1/rules/explain", body{"text": text, "event": event}, "")
	if x.Outcome != rules.Matched || len(x.Conditions) != 1 || !strings.Contains(x.Summary, "matches") {
		t.Errorf("explained: %+v", x)
	}
	named := sent[rules.Explanation](t, h, "POST", "/api/v1/rules/explain", body{"rule": "paid-big-order", "event": event}, "")
	if named.Rule != "paid-big-order" || len(named.Conditions) != 1 {
		t.Errorf("a rule that is published, explained: %+v", named)
	}
	tests := sent[api.RuleTests](t, h, "POST", "/api/v1/rules/test", body{"text": text}, "")
	if tests.Tests != 1 || tests.Passed != 1 || len(tests.Coverage) == 0 {
		t.Errorf("tests: %+v", tests)
	}
	more := sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/record", body{"text": text, "event": event, "name": "again"}, "")
	if !strings.Contains(more.Text, "name: again") {
		t.Errorf("recorded:\n%s", more.Text)
	}
	if less := sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/form", body{"text": more.Text, "drop_tests": []string{"again"}}, ""); less.Text != text {
		t.Errorf("without the test it is\n%s\nit was\n%s", less.Text, text)
	}

	// A draft is kept; two tabs do not overwrite each other.
	base := asked[api.RuleList](t, h, "/api/v1/rules").Revision
	ready := sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/form", body{"text": text, "set": body{"to": []string{"acme"}, "mode": "active"}}, "")
	saved := sent[api.RuleDraft](t, h, "PUT", "/api/v1/drafts/"+name, body{"text": ready.Text, "base": base, "version": 0}, "")
	sent[api.RuleDraft](t, h, "PUT", "/api/v1/drafts/"+name, body{"text": "other", "base": base, "version": 0}, "CDCD-2351")
	if drafts := asked[api.RuleDrafts](t, h, "/api/v1/drafts"); len(drafts.Drafts) != 1 || !drafts.Drafts[0].New || drafts.Drafts[0].Version != saved.Version {
		t.Errorf("drafts: %+v", drafts)
	}

	// Publishing wants a back-test, or a reason.
	sent[api.Published](t, h, "POST", "/api/v1/rules/publish", body{"draft": name, "why": "sales asked"}, "CDCD-2354")
	sent[api.Published](t, h, "POST", "/api/v1/rules/publish", body{"draft": name, "why": "sales asked", "backtest": "nothing"}, "CDCD-2355")
	var told []api.Job
	p.jobs.follow(func(j api.Job) { told = append(told, j) }) // called one at a time
	job := sent[api.Backtest](t, h, "POST", "/api/v1/backtests", body{"texts": []string{ready.Text}}, "")
	waitFor(t, "the back-test", func() bool {
		job = asked[api.Backtest](t, h, "/api/v1/backtests/"+job.ID)
		return !job.Ended.IsZero()
	})
	if job.State != "done" || job.Result == nil || job.Result.Matched == 0 || job.Result.Rules[0].Added == 0 || job.Result.Rules[0].Examples[0].Line == "" {
		t.Fatalf("the back-test: %+v", job)
	}
	p.jobs.follow(nil)
	if len(told) < 3 || told[0].State != "running" || told[len(told)-1].State != "done" || told[0].ID != job.ID || told[0].Kind != "backtest" || told[0].Title != name {
		t.Errorf("those who follow were told %+v", told)
	}
	stopped := sent[api.Backtest](t, h, "POST", "/api/v1/backtests", body{"texts": []string{ready.Text}}, "")
	sent[api.Backtest](t, h, "DELETE", "/api/v1/backtests/"+stopped.ID, body{}, "")
	waitFor(t, "the end of a back-test that is stopped", func() bool {
		stopped = asked[api.Backtest](t, h, "/api/v1/backtests/"+stopped.ID)
		return !stopped.Ended.IsZero()
	})
	if stopped.State != "stopped" && stopped.State != "done" { // it may have been at its end
		t.Errorf("a back-test that was stopped is %s", stopped.State)
	}
	other := sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/form", body{"text": ready.Text, "set": body{"when": "after.id > 5"}}, "")
	sent[api.Published](t, h, "POST", "/api/v1/rules/publish", body{"texts": []string{other.Text}, "base": base, "why": "x", "backtest": job.ID}, "CDCD-2354")
	out := sent[api.Published](t, h, "POST", "/api/v1/rules/publish", body{"draft": name, "why": "sales asked", "backtest": job.ID}, "")
	if out.Revision != base+1 || len(out.Changed) != 1 || out.Tried == nil || out.Tried.Added != job.Result.Rules[0].Added {
		t.Errorf("published: %+v", out)
	}
	if drafts := asked[api.RuleDrafts](t, h, "/api/v1/drafts"); len(drafts.Drafts) != 0 {
		t.Errorf("a draft that was published is still there: %+v", drafts)
	}
	rule := asked[api.Rule](t, h, "/api/v1/rules/"+name)
	if rule.Text != ready.Text || rule.Fields == nil || string((*rule.Fields)["mode"]) != `"active"` {
		t.Errorf("the rule is %+v", rule)
	}
	history := asked[api.History](t, h, "/api/v1/rules/"+name+"/history").Publications
	if len(history) != 1 || history[0].Why != "sales asked" || history[0].Kind != "publish" || history[0].Tried == nil || history[0].Tried.Backtest != job.ID {
		t.Errorf("the history is %+v", history)
	}

	// Somebody else was faster.
	described := func(text, d string) string {
		return sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/form", body{"text": text, "set": body{"description": d}}, "").Text
	}
	sent[api.RuleDraft](t, h, "PUT", "/api/v1/drafts/"+name, body{"text": described(ready.Text, "mine"), "base": out.Revision}, "")
	sent[api.Published](t, h, "POST", "/api/v1/rules/publish", body{"texts": []string{described(ready.Text, "theirs")}, "base": out.Revision, "why": "theirs"}, "")
	sent[api.Published](t, h, "POST", "/api/v1/rules/publish", body{"draft": name, "why": "mine"}, "CDCD-2356")
	mine := asked[api.RuleDraft](t, h, "/api/v1/drafts/"+name)
	if mine.Moved == nil || mine.Moved.Why != "theirs" || mine.Moved.Revision != out.Revision+1 || mine.Moved.Diff.Fields[0].Field != "description" {
		t.Errorf("what others did: %+v", mine.Moved)
	}
	draft := sent[api.CheckedRule](t, h, "POST", "/api/v1/rules/form", body{"text": ready.Text, "set": body{"when": "false"}}, "").Text
	judged := sent[api.Evaluated](t, h, "POST", "/api/v1/rules/evaluate", body{"text": draft, "events": []string{event}}, "").Events[0]
	if judged.Outcome != rules.NotMatched || judged.Was == nil || judged.Was.Outcome != rules.Matched {
		t.Errorf("a draft that matches nothing, on what the rule in force matches: %+v, it was %+v", judged.Verdict, judged.Was)
	}
	over := sent[api.Published](t, h, "POST", "/api/v1/rules/publish", body{"draft": name, "base": out.Revision + 1, "why": "mine"}, "")
	diff := asked[api.RulesDiff](t, h, "/api/v1/revisions/diff?name="+name+"&from="+jsonNumber(out.Revision)+"&to="+jsonNumber(over.Revision))
	if len(diff.Rules) != 1 || diff.Rules[0].Decides || diff.Rules[0].Fields[0].To != "mine" {
		t.Errorf("the difference is %+v", diff)
	}

	// Back, aside, and gone.
	sent[api.Published](t, h, "POST", "/api/v1/rules/"+name+"/mode", body{"mode": "shadow", "why": "watch it"}, "")
	sent[api.Published](t, h, "POST", "/api/v1/rules/"+name+"/rollback", body{"revision": out.Revision, "why": "as it was"}, "")
	if rule := asked[api.Rule](t, h, "/api/v1/rules/"+name); rule.Mode != "active" || rule.Text != ready.Text {
		t.Errorf("rolled back: %+v", rule)
	}
	sent[api.Published](t, h, "POST", "/api/v1/rules/"+name+"/remove", body{"why": ""}, "CDCD-1050")
	sent[api.Published](t, h, "POST", "/api/v1/rules/"+name+"/remove", body{"why": "nobody needs it"}, "")
	sent[api.Published](t, h, "POST", "/api/v1/rules/"+name+"/remove", body{"why": "again"}, "CDCD-2315")
	if all := asked[api.History](t, h, "/api/v1/rules/"+name+"/history").Publications; len(all) != 6 {
		t.Errorf("%d publications", len(all))
	}
}

// Who publishes at the same time gets one revision each, or hears of the others.
func TestOfTenWhoPublishAtOnceNoneOverwritesAnother(t *testing.T) {
	p := deliveredDemo(t)
	h := p.handler()
	base := asked[api.RuleList](t, h, "/api/v1/rules").Revision
	codes := make([]string, 10)
	var work sync.WaitGroup
	for i := range codes {
		work.Go(func() {
			text := fmt.Sprintf("  - name: one\n    description: by %d\n    tables: [shop.orders]\n    mode: shadow\n", i)
			out, _ := json.Marshal(body{"texts": []string{text}, "base": base, "why": fmt.Sprint(i)}) // it can be
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", "http://127.0.0.1:8480/api/v1/rules/publish", bytes.NewReader(out))
			r.Header.Set("Content-Type", "application/json")
			h.ServeHTTP(w, r)
			var answer api.Answer[api.Published]
			_ = json.Unmarshal(w.Body.Bytes(), &answer) // nothing is no success
			switch {
			case answer.OK:
				codes[i] = "ok"
			case answer.Error != nil:
				codes[i] = answer.Error.Code
			}
		})
	}
	work.Wait()
	won := -1
	for i, code := range codes {
		switch {
		case code == "ok" && won < 0:
			won = i
		case code != codeOvertaken:
			t.Errorf("%d got %q", i, code)
		}
	}
	history := asked[api.History](t, h, "/api/v1/rules/one/history").Publications
	if won < 0 || len(history) != 1 || history[0].Why != fmt.Sprint(won) || history[0].Revision != base+1 {
		t.Errorf("%d won, the history is %+v", won, history)
	}
}

func jsonNumber(n uint64) string {
	text, _ := json.Marshal(n) // a number can be
	return string(text)
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}
