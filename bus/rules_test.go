package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

func ruleStore(t *testing.T, s *Stream) *Rules {
	t.Helper()
	r, err := s.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func rule(name, text string) StoredRule {
	return StoredRule{Name: name, Text: text, Version: "v:" + text, Mode: "active"}
}

func mustPublish(t *testing.T, r *Rules, p Publication) cdc.Revision {
	t.Helper()
	now, err := r.Newest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	made, err := r.Publish(t.Context(), now.Revision, p)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// texts returns what a state holds as name=text@revision.
func texts(st *RuleState) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(st.Rules)) {
		list = append(list, fmt.Sprintf("%s=%s@%d", name, st.Rules[name].Text, st.Rules[name].Revision.No))
	}
	return strings.Join(list, " ")
}

func TestARevisionIsTheFoldOfAllPublicationsUpToIt(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	r := ruleStore(t, s)
	if st, err := r.Newest(t.Context()); err != nil || st.Revision != (cdc.Revision{}) || len(st.Rules) != 0 {
		t.Fatalf("new store: got %+v, %v", st, err)
	}
	mustPublish(t, r, Publication{Kind: "files", Files: "f1", Changed: []StoredRule{rule("a", "1"), rule("b", "1")}, Layout: map[string]Layout{"x.yaml": {"head", []string{"a", "b"}}}})
	mustPublish(t, r, Publication{Kind: "push", Who: "ana", Why: "because", Changed: []StoredRule{rule("b", "2"), rule("c", "2")}})
	mustPublish(t, r, Publication{Kind: "push", Removed: []string{"a"}, Layout: map[string]Layout{"x.yaml": {}}})
	want := []string{"", "a=1@1 b=1@1", "a=1@1 b=2@2 c=2@2", "b=2@2 c=2@2"}
	check := func(r *Rules, order []int) {
		t.Helper()
		for _, no := range order {
			st, err := r.At(t.Context(), uint64(no))
			if err != nil || texts(st) != want[no] {
				t.Fatalf("revision %d: got %s, %v; want %s", no, texts(st), err, want[no])
			}
			if no > 0 && st.Files.Files != "f1" {
				t.Fatalf("revision %d: got files %q, want f1", no, st.Files.Files)
			}
			if layouts := len(st.Layout); layouts != map[int]int{1: 1, 2: 1}[no] {
				t.Fatalf("revision %d: got %d layouts", no, layouts)
			}
		}
	}
	check(r, []int{3, 1, 2, 0, 3})
	before, err := r.Newest(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	r = ruleStore(t, open(t, Config{Dir: dir}))
	check(r, []int{2, 3, 0, 1})
	if now, err := r.Newest(t.Context()); err != nil || now.Revision != before.Revision {
		t.Fatalf("after a restart: got %v (%v), want %v", now.Revision, err, before.Revision)
	}
	var who []string
	if err := r.History(t.Context(), 2, func(p Publication) error { who = append(who, p.Who+":"+p.Why); return nil }); err != nil || strings.Join(who, " ") != "ana:because :" {
		t.Fatalf("history: got %q, %v", who, err)
	}
}

func TestOfTwoPublishersOnOneBaseTheSecondIsTold(t *testing.T) {
	srv := newServer(t)
	a, b := ruleStore(t, open(t, Config{URL: srv.url()})), ruleStore(t, open(t, Config{URL: srv.url()}))
	base := mustPublish(t, a, Publication{Changed: []StoredRule{rule("a", "1")}})
	if _, err := a.Publish(t.Context(), base, Publication{Changed: []StoredRule{rule("a", "ana's")}}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Publish(t.Context(), base, Publication{Changed: []StoredRule{rule("a", "bob's")}}); !errors.Is(err, ErrRulesMoved) {
		t.Fatalf("got %v, want ErrRulesMoved", err)
	}
	if st, err := b.Newest(t.Context()); err != nil || texts(st) != "a=ana's@2" {
		t.Fatalf("got %s, %v", texts(st), err)
	}
}

func TestALargePublicationIsCompressedAndOneTooLargeRefused(t *testing.T) {
	r := ruleStore(t, open(t, Config{Dir: t.TempDir()}))
	var many []StoredRule
	for i := range 10_000 {
		many = append(many, rule(fmt.Sprintf("rule-%05d", i), fmt.Sprintf("- name: rule-%05d\n  tables: [shop.orders]\n  when: after.total > %d && after.status == 'paid'\n  to: [acme]\n", i, i)))
	}
	made := mustPublish(t, r, Publication{Changed: many})
	st, err := r.At(t.Context(), made.No)
	if err != nil || len(st.Rules) != len(many) || st.Rules["rule-09999"].Text != many[9999].Text {
		t.Fatalf("got %d rules, %v", len(st.Rules), err)
	}
	info, err := r.stream.Info(t.Context())
	if err != nil || info.State.Bytes > 1_000_000 { // the payload that a NATS server takes by default
		t.Fatalf("10,000 rules take %d bytes (%v), want less than a million", info.State.Bytes, err)
	}
	t.Logf("10,000 rules take %d bytes", info.State.Bytes)
	if _, err := r.Publish(t.Context(), made, Publication{Changed: []StoredRule{rule("a", strings.Repeat("#", maxRulesText))}}); code(err) != codeRulesFull {
		t.Fatalf("got %v, want %s", err, codeRulesFull)
	}
}

func TestALostStoreIsNoticedAndAPersonSaysWhatHoldsInstead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	r := ruleStore(t, s)
	first := mustPublish(t, r, Publication{Changed: []StoredRule{rule("a", "1")}})
	second := mustPublish(t, r, Publication{Changed: []StoredRule{rule("a", "2")}})
	third := mustPublish(t, r, Publication{Changed: []StoredRule{rule("a", "3")}})
	s.Close()
	if err := os.RemoveAll(filepath.Join(dir, "jetstream", "jetstream", "$G", "streams", r.name)); err != nil {
		t.Fatal(err)
	}
	r = ruleStore(t, open(t, Config{Dir: dir}))
	again := mustPublish(t, r, Publication{Changed: []StoredRule{rule("a", "1")}})
	mustPublish(t, r, Publication{Changed: []StoredRule{rule("a", "other")}})
	for _, lost := range []cdc.Revision{first, second, third} {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		if st, err := r.Resolve(ctx, lost, 10); code(err) != codeRevision {
			t.Fatalf("%v: got %v, %v; want %s", lost, st, err, codeRevision)
		}
		cancel()
	}
	if st, err := r.Resolve(t.Context(), again, 10); err != nil || st.Revision != again {
		t.Fatalf("the new store's own: %v", err)
	}
	mustPublish(t, r, Publication{Kind: "adopt", StandsFor: &Stand{Revision: first.String()}})
	mustPublish(t, r, Publication{Kind: "adopt", StandsFor: &Stand{Revision: third.String(), From: 10}})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	for lost, want := range map[cdc.Revision]string{first: "", second: codeRevision, third: ""} {
		if st, err := r.Resolve(ctx, lost, 10); (err != nil) != (want != "") || err != nil && code(err) != want || err == nil && texts(st) != "a=other@2" {
			t.Fatalf("%v: got %v, %v", lost, st, err)
		}
	}
}

// A rule that halts the line is mended for the frames that are not delivered yet, and those before keep theirs.
func TestARevisionStandsForAnotherFromASequenceOn(t *testing.T) {
	r := ruleStore(t, open(t, Config{Dir: t.TempDir()}))
	first := mustPublish(t, r, Publication{Changed: []StoredRule{rule("a", "1")}})
	mustPublish(t, r, Publication{Changed: []StoredRule{rule("a", "2")}})
	mustPublish(t, r, Publication{StandsFor: &Stand{Revision: first.String(), From: 10}})
	mustPublish(t, r, Publication{StandsFor: &Stand{Revision: NoRevision, From: 20}, Changed: []StoredRule{rule("a", "4")}})
	for _, test := range []struct {
		named cdc.Revision
		seq   uint64
		want  string
	}{
		{first, 9, "a=1@1"}, {first, 10, "a=2@2"}, {first, 30, "a=2@2"},
		{cdc.Revision{}, 19, "a=1@1"}, {cdc.Revision{}, 20, "a=4@4"},
	} {
		if st, err := r.Resolve(t.Context(), test.named, test.seq); err != nil || texts(st) != test.want {
			t.Errorf("frame %d of revision %q: got %v, %v; want %s", test.seq, test.named, st, err, test.want)
		}
	}
}

func TestARevisionThatTheStoreDoesNotHaveYetIsWaitedFor(t *testing.T) {
	srv := newServer(t)
	a, b := ruleStore(t, open(t, Config{URL: srv.url()})), ruleStore(t, open(t, Config{URL: srv.url()}))
	first := mustPublish(t, a, Publication{Changed: []StoredRule{rule("a", "1")}})
	// What the second revision will be called is known only when it is there: so ask for it under a wrong name, and for
	// the first without one.
	if st, err := b.Resolve(t.Context(), cdc.Revision{}, 10); err != nil || st.Revision != first {
		t.Fatalf("frames without a revision: got %v, %v; want the first", st, err)
	}
	done := make(chan error, 1)
	go func() { // waited for below
		_, err := b.Resolve(t.Context(), cdc.Revision{No: 2, ID: "0000000000000000"}, 10)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("did not wait: %v", err)
	case <-time.After(200 * time.Millisecond):
	}
	mustPublish(t, a, Publication{Changed: []StoredRule{rule("a", "2")}})
	if err := <-done; code(err) != codeRevision {
		t.Fatalf("got %v, want %s: it is another one", err, codeRevision)
	}
}

func TestWatchTellsOfTheNewestSoon(t *testing.T) {
	srv := newServer(t)
	a, b := ruleStore(t, open(t, Config{URL: srv.url()})), ruleStore(t, open(t, Config{URL: srv.url()}))
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan uint64, 100)
	done := make(chan error, 1)
	go func() { // waited for below
		done <- b.Watch(ctx, func(st *RuleState) error { seen <- st.Revision.No; return nil })
	}()
	if no := <-seen; no != 0 {
		t.Fatalf("an empty store: got revision %d", no)
	}
	for want := range uint64(5) {
		began := time.Now()
		mustPublish(t, a, Publication{Changed: []StoredRule{rule("a", fmt.Sprint(want))}})
		if no := <-seen; no != want+1 {
			t.Fatalf("got revision %d, want %d", no, want+1)
		}
		t.Logf("seen after %v", time.Since(began))
		time.Sleep(20 * time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestUnsafeRuleStoresAreRefused(t *testing.T) {
	srv := newServer(t)
	s := open(t, Config{URL: srv.url()})
	r := ruleStore(t, s)
	have := r.stream.CachedInfo().Config
	have.MaxAge = time.Hour
	if _, err := s.js.UpdateStream(t.Context(), have); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, Config{URL: srv.url()}).Rules(t.Context()); code(err) != codeRuleStore || !strings.Contains(err.(*cdc.Error).Fix, "--max-age 0") {
		t.Fatalf("got %v, want %s", err, codeRuleStore)
	}
}

// Publishers everywhere, leaders that go: no revision is lost, doubled or comes in two versions.
func TestAClusterLosesItsLeadersAndNoRevisions(t *testing.T) {
	c := newCluster(t)
	const writers, each = 3, 8
	var mu sync.Mutex
	stored := map[string]cdc.Revision{} // by what was published
	var wg sync.WaitGroup
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for w := range writers {
		r := ruleStore(t, open(t, Config{URL: c.url(), AckWait: time.Second, Logger: c.log}))
		wg.Go(func() {
			for i := 0; i < each && ctx.Err() == nil; {
				text := fmt.Sprintf("%d-%d", w, i)
				now, err := r.Newest(ctx)
				if err != nil {
					continue
				}
				switch made, err := r.Publish(ctx, now.Revision, Publication{Who: text, Changed: []StoredRule{rule(text, text)}}); {
				case err == nil:
					mu.Lock()
					stored[text] = made
					mu.Unlock()
					i++
				case !errors.Is(err, ErrRulesMoved):
					t.Errorf("publish: %v", err)
					return
				}
			}
		})
	}
	for range 2 {
		time.Sleep(100 * time.Millisecond)
		if i := c.leader("RULES_shop"); i >= 0 {
			c.stop(i)
			time.Sleep(100 * time.Millisecond)
			c.start(t, i)
			eventually(t, "the server is current again", func() bool { return c.srv[i].JetStreamIsCurrent() && c.leader("RULES_shop") >= 0 })
		}
	}
	wg.Wait()
	r := ruleStore(t, open(t, Config{URL: c.url(), AckWait: time.Second, Logger: c.log}))
	got := map[string]cdc.Revision{}
	eventually(t, "the history can be read", func() bool {
		clear(got)
		return r.History(ctx, 1, func(p Publication) error {
			if before, ok := got[p.Who]; ok {
				return cdc.Errorf("twice", "%s is revision %v and %v", p.Who, before, p.Revision)
			}
			got[p.Who] = p.Revision
			return nil
		}) == nil
	})
	if len(got) != writers*each || !maps.Equal(got, stored) {
		t.Fatalf("got %d revisions %v, want %d %v", len(got), got, writers*each, stored)
	}
	st, err := r.Newest(ctx)
	if err != nil || len(st.Rules) != writers*each {
		t.Fatalf("got %d rules, %v", len(st.Rules), err)
	}
}
