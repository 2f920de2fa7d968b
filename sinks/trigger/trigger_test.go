package trigger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// world is a chain, a log and a partner. What the log and the memory hold survives when a Teller dies.
type world struct {
	audited, noted uint64
	removed        uint64 // objects up to this ordinal are not in the store any more
	memory         Memory
	got            []uint64 // ordinals that the partner took
	notes          []Done
	answer         func(ordinal uint64) error // nil: takes it
	fail           func(what string) error    // of everything else; nil: nothing fails
}

type refusal struct {
	gone bool
	wait time.Duration
}

func (r refusal) Error() string       { return fmt.Sprintf("refused (gone %v)", r.gone) }
func (r refusal) Gone() bool          { return r.gone }
func (r refusal) Wait() time.Duration { return r.wait }

func object(ordinal uint64) cdc.Object {
	return cdc.Object{Chain: "shop/acme/00", Ordinal: ordinal, Key: fmt.Sprint("key", ordinal), SHA256: fmt.Sprintf("%064x", ordinal)}
}

func (w *world) config() Config {
	fails := func(what string) error {
		if w.fail != nil {
			return w.fail(what)
		}
		return nil
	}
	return Config{
		Chain: "shop/acme/00", By: "webhook", Place: "https://acme.example", Keep: "acme",
		Audited: func() uint64 { return w.audited }, Told: func() uint64 { return w.noted },
		Note: func(_ context.Context, d Done) error {
			if err := fails("note"); err != nil {
				return err
			}
			w.noted = max(w.noted, d.Object.Ordinal)
			w.notes = append(w.notes, d)
			return nil
		},
		Find: func(_ context.Context, ordinal uint64) (cdc.Object, string, bool, error) {
			ordinal = max(ordinal, w.removed+1)
			prev := ""
			if ordinal > w.removed+1 {
				prev = fmt.Sprint("key", ordinal-1)
			}
			return object(ordinal), prev, ordinal <= w.audited, fails("find")
		},
		Event: func(_ context.Context, o cdc.Object, prev string) ([]byte, error) {
			return fmt.Appendf(nil, "%d after %s", o.Ordinal, prev), fails("event")
		},
		Send: func(_ context.Context, id string, body []byte) error {
			var ordinal uint64
			fmt.Sscan(string(body), &ordinal)
			if want := ID(object(ordinal)); id != want {
				return fmt.Errorf("id %s, want %s", id, want)
			}
			if w.answer != nil {
				if err := w.answer(ordinal); err != nil {
					return err
				}
			}
			w.got = append(w.got, ordinal)
			return fails("sent")
		},
		Load: func() (Memory, error) { return w.memory, fails("load") },
		Save: func(m Memory) error {
			if err := fails("save"); err != nil {
				return err
			}
			w.memory = m
			return nil
		},
	}
}

// run runs a Teller until it has nothing to do, or for a while.
func run(t *testing.T, teller *Teller, while time.Duration) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- teller.Run(ctx) }()
	time.Sleep(while)
	synctest.Wait()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Run ended with %v", err)
	}
}

func TestEachObjectIsToldOfInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{audited: 3}
		teller := New(w.config())
		go func() {
			time.Sleep(time.Minute)
			synctest.Wait()
			w.audited = 5
			teller.Kick()
			teller.Kick()
		}()
		run(t, teller, 2*time.Minute)
		if !slices.Equal(w.got, []uint64{1, 2, 3, 4, 5}) || w.noted != 5 {
			t.Errorf("got %v, noted %d", w.got, w.noted)
		}
		if s := teller.Stats(); s.Told != 5 || s.Audited != 5 || s.Sent != 5 || s.Err != nil {
			t.Errorf("stats %+v", s)
		}
		run(t, New(w.config()), time.Minute) // a new process
		if len(w.got) != 5 {
			t.Errorf("told again: %v", w.got)
		}
	})
}

func TestWhatIsNotTakenIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{audited: 2}
		var at []time.Duration
		began := time.Now()
		w.answer = func(uint64) error {
			at = append(at, time.Since(began))
			switch len(at) {
			case 1:
				return refusal{}
			case 2:
				return refusal{wait: 10 * time.Minute}
			}
			return nil
		}
		teller := New(w.config())
		run(t, teller, time.Hour)
		if !slices.Equal(w.got, []uint64{1, 2}) || w.notes[0].Attempts != 3 || w.memory != (Memory{}) {
			t.Errorf("got %v, notes %+v, memory %+v", w.got, w.notes, w.memory)
		}
		if first, second := at[1]-at[0], at[2]-at[1]; first > time.Second || second < 10*time.Minute || second > 11*time.Minute {
			t.Errorf("attempts at %v", at)
		}
	})
}

func TestAPlaceThatIsGoneIsDisabledForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{audited: 2, answer: func(o uint64) error {
			if o == 2 {
				return refusal{gone: true}
			}
			return nil
		}}
		run(t, New(w.config()), time.Hour)
		if !slices.Equal(w.got, []uint64{1}) || w.memory.Disabled == "" {
			t.Fatalf("got %v, memory %+v", w.got, w.memory)
		}
		w.answer, w.audited = nil, 3

		teller := New(w.config())
		run(t, teller, time.Hour)
		if s := teller.Stats(); len(w.got) != 1 || !strings.Contains(s.Disabled, "gone") || s.DisabledAt.IsZero() {
			t.Fatalf("after a restart: got %v, stats %+v", w.got, s)
		}

		other := *w
		elsewhere := other.config()
		elsewhere.Keep = "acme's new address"
		run(t, New(elsewhere), time.Hour)
		if !slices.Equal(other.got, []uint64{1, 2, 3}) {
			t.Errorf("another place: got %v", other.got)
		}

		teller = New(w.config())
		teller.Enable()
		run(t, teller, time.Hour)
		if !slices.Equal(w.got, []uint64{1, 2, 3}) || w.memory != (Memory{}) {
			t.Errorf("enabled: got %v, memory %+v", w.got, w.memory)
		}
	})
}

func TestItGivesUpAfterDaysAndNotBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{audited: 1, answer: func(uint64) error { return errors.New("down") }}
		run(t, New(w.config()), 40*time.Hour)
		if w.memory.Disabled != "" {
			t.Fatalf("after 40 hours: %+v", w.memory)
		}
		run(t, New(w.config()), 31*time.Hour) // a restart does not begin anew
		if w.memory.Disabled != "" {
			t.Fatalf("after 71 hours: %+v", w.memory)
		}
		run(t, New(w.config()), 2*time.Hour)
		if !strings.Contains(w.memory.Disabled, "not taken for 72h") {
			t.Errorf("after 73 hours: %+v", w.memory)
		}
	})
}

func TestEnableEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{audited: 1, answer: func(uint64) error { return refusal{wait: 20 * time.Hour} }}
		teller := New(w.config())
		go func() {
			time.Sleep(time.Minute)
			synctest.Wait()
			w.answer = nil
			teller.Kick() // a new object does not
			time.Sleep(time.Minute)
			synctest.Wait()
			if len(w.got) != 0 {
				t.Error("a kick ended the pause")
			}
			teller.Enable()
		}()
		run(t, teller, 3*time.Minute)
		if len(w.got) != 1 {
			t.Errorf("got %v", w.got)
		}
	})
}

func TestObjectsThatWereRemovedAreLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{audited: 9, removed: 6}
		run(t, New(w.config()), time.Hour)
		if !slices.Equal(w.got, []uint64{7, 8, 9}) {
			t.Errorf("got %v", w.got)
		}
		w = &world{audited: 9, removed: 9}
		teller := New(w.config())
		run(t, teller, time.Hour)
		if s := teller.Stats(); w.got != nil || s.Err == nil {
			t.Errorf("none there: got %v, stats %+v", w.got, s)
		}
	})
}

// Whatever fails wherever, before or after it was done, and whoever is killed when: each object is told of, in order, and
// what is told again follows what was told before.
func TestWhateverFailsEachObjectIsToldOf(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			w := &world{}
			fails := func(string) error {
				if random.IntN(4) == 0 {
					return errors.New("it fails")
				}
				return nil
			}
			w.fail = fails
			w.answer = func(uint64) error { return fails("") }
			for w.audited < 20 {
				w.audited += random.Uint64N(5)
				run(t, New(w.config()), time.Duration(random.IntN(20))*time.Second)
			}
			w.fail, w.answer = nil, nil
			run(t, New(w.config()), time.Hour)
			var last uint64
			for _, o := range w.got {
				if o != last && o != last+1 {
					t.Fatalf("seed %d: got %v", seed, w.got)
				}
				last = o
			}
			if last != w.audited || w.noted != w.audited {
				t.Errorf("seed %d: told of %d, noted %d, audited %d", seed, last, w.noted, w.audited)
			}
		})
	}
}

func TestEvent(t *testing.T) {
	o := object(2)
	o.Store, o.Bytes, o.Records, o.RecordsRoot, o.FirstPartNo, o.LastPartNo, o.Prev = "s3://b/acme", 10, 3, "aa", 4, 9, "bb"
	o.LastCommit = time.Date(2026, 11, 21, 2, 0, 0, 1000, time.FixedZone("", 3600))
	got := string(ObjectEvent(o, "key1", "cdcd/shop\n2\n", "https://b/acme?X=1&Y").JSON())
	want := `{"specversion":"1.0","id":"shop/acme/00/2/000000000000","source":"cdcd/shop/acme","type":"cdcd.object.v1","subject":"key2",` +
		`"time":"2026-11-21T01:00:00.000001Z","datacontenttype":"application/json","data":{"chain":"shop/acme/00","ordinal":2,"store":"s3://b/acme",` +
		`"key":"key2","size":10,"sha256":"` + o.SHA256 + `","records":3,"records_root":"aa","first_part_no":4,"last_part_no":9,` +
		`"prev_key":"key1","prev_sha256":"bb","checkpoint":"cdcd/shop\n2\n","url":"https://b/acme?X=1&Y"}}`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	test := TryEvent("shop", "acme", "7", time.Unix(0, 0))
	if test.Data != nil || !reflect.DeepEqual(test.ID, "test/7") || test.Source != "cdcd/shop/acme" {
		t.Errorf("got %+v", test)
	}
}
