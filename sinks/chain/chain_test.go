package chain_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sinks/chain"
	"github.com/cdcd-project/cdcd/sinks/file"
	"github.com/cdcd-project/cdcd/sinks/s3"
	"github.com/cdcd-project/cdcd/sinks/sinktest"
)

// spans says which events and how many records each object has.
func spans(t *testing.T, s *stream, store chain.Store) string {
	t.Helper()
	objects, err := check(s, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, o := range objects {
		fmt.Fprintf(&b, "%d-%d:%d ", o.FirstPartNo, o.LastPartNo, o.Records)
	}
	return strings.TrimSpace(b.String())
}

func write(t *testing.T, c *running, s *stream, seqs ...int) {
	t.Helper()
	for _, seq := range seqs {
		if err := c.Write(t.Context(), s.frames[seq-1], s.decide(s.frames[seq-1], "sha256:rules")); err != nil {
			t.Fatalf("write frame %d: %v", seq, err)
		}
	}
}

func TestObjectsAreCutByRowsAndBytesAndRuleSet(t *testing.T) {
	two := 0 // bytes of two records; later ones are about as long
	for _, d := range newStream(t, 2).decide(newStream(t, 2).frames[0], "") {
		two += len(cdc.AppendRecord(nil, "acme", &d)) + 1
	}
	for _, tt := range []struct {
		name  string
		cfg   func(*chain.Config)
		rules func(seq int) string
		want  string
	}{
		{"by rows", func(c *chain.Config) { c.Rows = 4 }, nil, "1-4:4 5-8:4 9-10:2"},
		{"one record each", func(c *chain.Config) { c.Rows = 1 }, nil, "1-1:1 2-2:1 3-3:1 4-4:1 5-5:1 6-6:1 7-7:1 8-8:1 9-9:1 10-10:1"},
		{"by bytes, the record that fills it included", func(c *chain.Config) { c.Bytes = two + 1 }, nil, "1-3:3 4-6:3 7-9:3 10-10:1"},
		{"by rule set, so that an object names the one that judged it", func(*chain.Config) {}, func(seq int) string { return fmt.Sprint("sha256:", seq/2) }, "1-3:3 4-9:6 10-10:1"},
		{"by nothing but the end", func(*chain.Config) {}, nil, "1-10:10"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStream(t, 3, 4, 2, 1)
			store := newMemory()
			cfg := config(store, 0)
			tt.cfg(&cfg)
			c := open(t, cfg)
			for i, b := range s.frames {
				rules := "sha256:rules"
				if tt.rules != nil {
					rules = tt.rules(i + 1)
				}
				if err := c.Write(t.Context(), b, s.decide(b, rules)); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := spans(t, s, store); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAnObjectNeverHoldsRecordsOfTwoEpochs(t *testing.T) {
	s := newStream(t, 2, 1)
	s.append(t, testEpoch+1, 2, 3)
	s.append(t, testEpoch+2, 1)
	s.append(t, testEpoch+3, 1, 1)
	s.match = func(no uint64) bool { return no != 9 } // of epoch 2 nothing matches
	store := newMemory()
	c := open(t, config(store, 0))
	for _, b := range s.frames {
		for range 2 { // batches may come twice
			if err := c.Write(t.Context(), b, s.decide(b, "sha256:rules")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := spans(t, s, store), "1-3:3 4-8:5 9-11:2"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var epochs []string
	for _, o := range store.objects {
		epochs = append(epochs, o.meta["cdcd-epoch"])
	}
	slices.Sort(epochs)
	if got, want := epochs[2:], []string{"abcd00000001", "abcd00000002", "abcd00000004"}; !slices.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAnObjectIsCommittedWhenItsOldestRecordHasWaitedForEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, 1, 1, 1, 0, 1)
		store := newMemory()
		cfg := config(store, 0)
		cfg.Every = 2 * time.Second
		c := open(t, cfg)
		at := func(d time.Duration, want string) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			if got := spans(t, s, store); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		write(t, c, s, 1)
		at(1500*time.Millisecond, "")
		if got, want := c.Stats(), (chain.Stats{Waiting: 1, WaitingSince: time.Now().Add(-1500 * time.Millisecond)}); !reflect.DeepEqual(got, want) {
			t.Errorf("stats: got %+v, want %+v", got, want)
		}
		write(t, c, s, 2)
		at(499*time.Millisecond, "")
		at(time.Millisecond, "1-2:2")
		at(time.Hour, "1-2:2")
		write(t, c, s, 3, 4)
		at(2*time.Second, "1-2:2 3-3:1")
		write(t, c, s, 5)
		at(1999*time.Millisecond, "1-2:2 3-3:1")
		at(time.Millisecond, "1-2:2 3-3:1 4-4:1")
		got := c.Stats()
		got.Head = cdc.Object{}
		got.Bytes = 0
		if want := (chain.Stats{Objects: 3, Records: 4}); !reflect.DeepEqual(got, want) {
			t.Errorf("stats: got %+v, want %+v", got, want)
		}
	})
}

func TestNothingThatMatchedMeansNoObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, 5, 0, 5, 0, 3)
		s.match = func(no uint64) bool { return no == 12 }
		store := newMemory()
		c := open(t, config(store, 1))
		write(t, c, s, 1, 2, 3, 4)
		time.Sleep(time.Hour)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(maps.Keys(store.objects)); !slices.Equal(got, []string{"p=00/chain.json"}) {
			t.Errorf("got %v, want nothing but chain.json", got)
		}
		// What did not match is answered for by the next object.
		write(t, c, s, 5)
		synctest.Wait()
		if got, want := spans(t, s, store), "1-12:1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestKeysAreDatedByTheStreamAndNeverGoBack(t *testing.T) {
	day := func(d, h int) time.Time { return time.Date(2026, 11, d, h, 0, 0, 0, time.UTC) }
	commits := []time.Time{1: day(20, 23), day(20, 23), day(21, 1), day(20, 23), day(21, 2), day(19, 4), day(22, 0)}
	for _, tt := range []struct {
		name  string
		match string
		rows  int
		want  []string
	}{
		{"each record an object", "1234567", 1, []string{"20/1", "20/2", "21/3", "21/4", "21/5", "21/6", "22/7"}},
		{"two records an object", "1234567", 2, []string{"20/1", "21/3", "21/5", "22/7"}},
		{"by the event that an object begins with, though it did not match", "247", 1, []string{"20/1", "21/3", "21/5"}},
	} {
		for _, reopened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reopened %v", tt.name, reopened), func(t *testing.T) {
				s := &stream{commit: func(no uint64) time.Time { return commits[no] }}
				s.match = func(no uint64) bool { return strings.Contains(tt.match, fmt.Sprint(no)) }
				s.append(t, testEpoch, 2, 3, 2)
				store := newMemory()
				cfg := config(store, tt.rows)
				for upTo := range s.frames {
					part := *s
					part.frames = s.frames[:upTo+1]
					if !reopened {
						part.frames = s.frames
					}
					c := open(t, cfg)
					for seq := c.Resume(); seq <= uint64(len(part.frames)); seq++ {
						write(t, c, s, int(seq))
					}
					if upTo == len(s.frames)-1 || !reopened {
						if err := c.Flush(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					settle(t, c)
					cfg.Progress = c.Progress()
					c.stop()
				}
				objects, err := checkAll(s, store, nil)
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, o := range objects {
					got = append(got, fmt.Sprintf("%s/%d", o.Key[len("p=00/dt=2026-11-"):][:2], o.FirstPartNo))
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		}
	}
}

// settle waits until everything that was cut is committed; what is open stays open.
func settle(t *testing.T, c *running) {
	t.Helper()
	for c.Stats().Waiting > 0 {
		before := c.Stats().Objects
		time.Sleep(time.Millisecond)
		if c.Stats().Objects == before && c.Stats().Err == nil {
			return
		}
	}
}

func TestABatchThatWasInterruptedIsNeitherLostNorDoubled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, 9, 2)
		store := newMemory()
		gate := make(chan struct{})
		store.before = func(ctx context.Context, call, key string) outcome {
			if call == "put" && strings.Contains(key, "dt=") {
				<-gate
			}
			return fine
		}
		c := open(t, config(store, 2))
		for _, want := range []string{"", "", ""} { // the same batch, over and over, while the store stands still
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			err := c.Write(ctx, s.frames[0], s.decide(s.frames[0], "sha256:rules"))
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("got %v, want that it is interrupted", err)
			}
			// Bounded memory: one object at the store, one cut behind it, and nothing more is taken.
			if got := c.Stats().Waiting; got != 4 {
				t.Errorf("%d records wait, want 4", got)
			}
			if got := spans(t, s, &memory{shelf: store.shelf}); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		close(gate)
		write(t, c, s, 1, 2)
		if err := c.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := spans(t, s, store), "1-2:2 3-4:2 5-6:2 7-8:2 9-10:2 11-11:1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestWhoeverStopsTheChainGetsTheObjectThatIsThereLogged(t *testing.T) {
	s := newStream(t, 2)
	store, log := newMemory(), &audit{}
	cfg := config(store, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cfg.Committed = func(ctx context.Context, o cdc.Object) error {
		cancel() // the object is in the store, and now the program is asked to end
		if err := ctx.Err(); err != nil {
			return err
		}
		return log.committed(ctx, o)
	}
	c, err := chain.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := start(ctx, c)
	_ = deliver(ctx, c, s)
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was stopped", err)
	}
	if got := spans(t, s, store); got != "1-1:1" || len(log.objects) != 1 {
		t.Errorf("objects %q, of which %d are logged", got, len(log.objects))
	}
}

func TestSyncMeansCommitted(t *testing.T) {
	s := newStream(t, 3, 0, 2, 4)
	s.match = func(no uint64) bool { return no != 5 && no != 4 }
	store := newMemory()
	cfg := config(store, 0)
	cfg.Sync = true
	c := open(t, cfg)
	for i, want := range []string{"1-3:3", "1-3:3", "1-3:3", "1-3:3 4-9:4"} {
		write(t, c, s, i+1)
		if got := spans(t, s, store); got != want {
			t.Errorf("after frame %d: got %q, want %q", i+1, got, want)
		}
	}
}

func TestWhenRunHasEndedNobodyWaits(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(c *running)
		want error
	}{
		{"cancelled", func(c *running) { c.cancel() }, context.Canceled},
		{"Committed failed", nil, errBroken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStream(t, 20)
				store := newMemory()
				gate := make(chan struct{})
				store.before = func(ctx context.Context, call, key string) outcome {
					if call == "put" && strings.Contains(key, "dt=") {
						select {
						case <-gate:
						case <-ctx.Done():
						}
					}
					return fine
				}
				cfg := config(store, 1)
				cfg.Committed = func(context.Context, cdc.Object) error { return errBroken }
				c := open(t, cfg)
				var errs [3]error
				done := make(chan struct{})
				for i, call := range []func() error{
					func() error { return c.Write(context.Background(), s.frames[0], s.decide(s.frames[0], "")) },
					func() error { return c.Flush(context.Background()) },
					func() error { return c.Flush(context.Background()) },
				} {
					go func() { errs[i] = call(); done <- struct{}{} }() // waited for below
					synctest.Wait()
				}
				if tt.end != nil {
					tt.end(c)
				} else {
					close(gate)
				}
				for range errs {
					<-done
				}
				errs[2] = c.Write(context.Background(), s.frames[0], nil)
				for i, err := range errs {
					if !errors.Is(err, tt.want) {
						t.Errorf("call %d: got %v, want %v", i, err, tt.want)
					}
				}
			})
		})
	}
}

func TestFlushCanBeCancelledWhileAWriteWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, 20)
		store := newMemory()
		store.before = func(ctx context.Context, call, key string) outcome {
			if call == "put" && strings.Contains(key, "dt=") {
				<-ctx.Done()
			}
			return fine
		}
		c := open(t, config(store, 1))
		done := make(chan error)
		go func() { done <- c.Write(t.Context(), s.frames[0], s.decide(s.frames[0], "")) }() // waited for below
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("flush: got %v", err)
		}
		c.cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("write: got %v", err)
		}
	})
}

func TestAStreamThatDoesNotContinueTheChainIsRefused(t *testing.T) {
	s := newStream(t, 3, 3, 3)
	for _, tt := range []struct {
		name string
		then func() *cdc.Batch
		want string
	}{
		{"a gap", func() *cdc.Batch { return s.frames[2] }, "CDCD-4104: chain shop/acme/00 in mem://acme has answered for the events up to 3 of epoch abcd00000001; the stream goes on with event 7 of epoch abcd00000001"},
		{"another lineage", func() *cdc.Batch { return s.frame(t, 0xffff<<32, 4, 1) }, "CDCD-4104: chain shop/acme/00 in mem://acme has answered for the events up to 3 of epoch abcd00000001; the stream goes on with event 4 of epoch ffff00000000"},
		{"another lineage with low numbers", func() *cdc.Batch { return s.frame(t, 0xffff<<32, 1, 1) }, "CDCD-4104: chain shop/acme/00 in mem://acme has answered for the events up to 3 of epoch abcd00000001; the stream goes on with event 1 of epoch ffff00000000"},
		{"another selection of tables", func() *cdc.Batch { return s.frame(t, testEpoch+7, 4, 1) }, "<nil>"},
		{"the same again", func() *cdc.Batch { return s.frames[0] }, "<nil>"},
		{"an overlap", func() *cdc.Batch { return s.frame(t, testEpoch, 2, 5) }, "<nil>"},
		{"a heartbeat", func() *cdc.Batch { return s.frame(t, testEpoch, 9, 0) }, "<nil>"},
	} {
		for _, reopened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, reopened %v", tt.name, reopened), func(t *testing.T) {
				store := newMemory()
				c := open(t, config(store, 3))
				write(t, c, s, 1)
				if err := c.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if reopened {
					c = open(t, config(store, 3))
				}
				b := tt.then()
				b.Seq = 2
				if got := fmt.Sprint(c.Write(t.Context(), b, s.decide(b, ""))); got != tt.want {
					t.Errorf("got  %s\nwant %s", got, tt.want)
				}
			})
		}
	}
}

func TestABatchOfAnotherPartitionIsRefused(t *testing.T) {
	s := newStream(t, 1)
	cfg := config(newMemory(), 1)
	cfg.Partition = 3
	c := open(t, cfg)
	if err := c.Write(t.Context(), s.frames[0], nil); err == nil || err.Error() != "chain shop/acme/03: a batch of partition 0" {
		t.Errorf("got %v", err)
	}
}

func TestWhoeverWritesFirstDecidesAndTheOtherIsFenced(t *testing.T) {
	for _, tt := range []struct {
		name  string
		other func(*stream) // what the second writer makes of the stream
		begin uint64
	}{
		{"another record", func(s *stream) { s.match = func(no uint64) bool { return no != 1 } }, 0},
		{"the same range with another record", func(s *stream) { s.match = func(no uint64) bool { return no != 2 } }, 0},
		{"begun elsewhere", func(*stream) {}, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStream(t, 4)
			store := newMemory()
			first, second := open(t, config(store, 0)), open(t, config(store, 0))
			write(t, first, s, 1)
			if err := first.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			other := *s
			tt.other(&other)
			second.Advance(tt.begin, 1, testEpoch)
			write(t, second, &other, 1)
			if err := second.Flush(t.Context()); !errors.Is(err, chain.ErrFenced) {
				t.Errorf("flush: got %v, want ErrFenced", err)
			}
			if err := second.Write(t.Context(), s.frames[0], nil); !errors.Is(err, chain.ErrFenced) {
				t.Errorf("write: got %v, want ErrFenced", err)
			}
			if _, err := checkAll(s, store, nil); err != nil {
				t.Error(err)
			}
			next, epoch := open(t, config(store, 0)).Next()
			if next != 5 || epoch != testEpoch {
				t.Errorf("opened again: next is event %d of epoch %x", next, epoch)
			}
		})
	}
}

func TestOpenRefusesWhatWouldBreakThePromise(t *testing.T) {
	s := newStream(t, 2, 2, 2)
	for _, tt := range []struct {
		name  string
		upset func(store *memory, cfg *chain.Config)
		want  string
	}{
		{"a store that ignores conditions", func(m *memory, _ *chain.Config) { m.overwrites = true },
			"chain shop/acme/00: CDCD-4101: mem://acme ignores If-None-Match: it let an object be created twice"},
		{"another compression", func(_ *memory, c *chain.Config) { c.Compress = "gzip" },
			"CDCD-4102: the chain in mem://acme/p=00/ is shop/acme/00 with envelope cdcd and compression none; the configuration says shop/acme/00, cdcd, gzip"},
		{"another envelope", func(_ *memory, c *chain.Config) { c.Envelope = "debezium" },
			"CDCD-4102: the chain in mem://acme/p=00/ is shop/acme/00 with envelope cdcd and compression none; the configuration says shop/acme/00, debezium, none"},
		{"another feed", func(_ *memory, c *chain.Config) { c.Feed = "emca" },
			"CDCD-4102: the chain in mem://acme/p=00/ is shop/acme/00 with envelope cdcd and compression none; the configuration says shop/emca/00, cdcd, none"},
		{"another source", func(_ *memory, c *chain.Config) { c.Source = "store" },
			"CDCD-4102: the chain in mem://acme/p=00/ is shop/acme/00 with envelope cdcd and compression none; the configuration says store/acme/00, cdcd, none"},
		{"a later format", func(m *memory, _ *chain.Config) { m.objects["p=00/chain.json"] = object{body: []byte(`{"version":2}`)} },
			"CDCD-4102: the chain in mem://acme/p=00/ has format 2, this program writes 1"},
		{"the same pin in other words", func(m *memory, _ *chain.Config) {
			m.objects["p=00/chain.json"] = object{body: []byte(`{"chain":"shop/acme/00","compress":"none","envelope":"cdcd","feed":"acme","partition":0,"source":"shop","version":1}`)}
		}, "<nil>"},
		{"somebody's object at the end", func(m *memory, _ *chain.Config) {
			m.objects["p=00/dt=2026-11-22/00000000000000000099.jsonl"] = object{}
		},
			`CDCD-4102: p=00/dt=2026-11-22/00000000000000000099.jsonl in mem://acme stands where chain shop/acme/00 has its objects: object mem://acme/p=00/dt=2026-11-22/00000000000000000099.jsonl: metadata cdcd-ordinal is ""`},
		{"a copied object at the end", func(m *memory, _ *chain.Config) {
			m.objects["p=00/dt=2026-11-22/00000000000000000099.jsonl"] = m.objects["p=00/dt=2026-11-21/00000000000000000003.jsonl"]
		}, `CDCD-4102: p=00/dt=2026-11-22/00000000000000000099.jsonl in mem://acme stands where chain shop/acme/00 has its objects: it says that it is object 2 of "shop/acme/00" with the events 3 to 4`},
		{"other files", func(m *memory, _ *chain.Config) {
			m.objects["p=00/dt=2026-11-22/_SUCCESS"] = object{}
			m.objects["p=00/dt=2026-11-22/00000000000000000099.jsonl.gz"] = object{}
			m.objects["p=00/dt=someday/00000000000000000099.jsonl"] = object{}
		}, "<nil>"},
		{"the audit log knows more", func(_ *memory, c *chain.Config) { c.Audited = func(string) uint64 { return 4 } },
			"CDCD-4103: objects of chain shop/acme/00 are missing in mem://acme: 4 are known to the audit log, the last one there is number 3"},
		{"an object in the middle is gone", func(m *memory, c *chain.Config) {
			delete(m.objects, "p=00/dt=2026-11-21/00000000000000000003.jsonl")
		}, "CDCD-4103: objects of chain shop/acme/00 are missing in mem://acme: the last one is number 3, and there are 2"},
		{"an object in the middle is gone and one was audited", func(m *memory, c *chain.Config) {
			delete(m.objects, "p=00/dt=2026-11-21/00000000000000000003.jsonl")
			c.Audited = func(string) uint64 { return 1 }
		}, "CDCD-4103: objects of chain shop/acme/00 are missing in mem://acme: p=00/dt=2026-11-21/00000000000000000001.jsonl is number 1 and should be number 2"},
		{"old objects are gone, and were audited", func(m *memory, c *chain.Config) {
			delete(m.objects, "p=00/dt=2026-11-21/00000000000000000001.jsonl")
			c.Audited = func(string) uint64 { return 1 }
		}, "<nil>"},
		{"the last object is gone, says the hint", func(m *memory, c *chain.Config) {
			c.Progress = chain.Progress{Store: "mem://acme", HeadKey: "p=00/dt=2026-11-21/00000000000000000005.jsonl", HeadLast: 6, Next: 7}
			c.Audited = nil
			delete(m.objects, "p=00/dt=2026-11-21/00000000000000000005.jsonl")
		}, "CDCD-4103: objects of chain shop/acme/00 are missing in mem://acme: p=00/dt=2026-11-21/00000000000000000005.jsonl answered for the events up to 6, and the last one there only up to 4"},
		{"a hint about another store", func(m *memory, c *chain.Config) {
			c.Progress = chain.Progress{Store: "mem://elsewhere", HeadKey: "p=00/dt=2026-11-21/00000000000000000009.jsonl", HeadLast: 10, Next: 11}
		}, "<nil>"},
		{"begin.json of another format", func(m *memory, c *chain.Config) {
			maps.DeleteFunc(m.objects, func(key string, _ object) bool { return strings.Contains(key, "dt=") })
			m.objects["p=00/begin.json"] = object{body: []byte(`{"version":2,"epoch":"1"}`)}
		}, "CDCD-4102: p=00/begin.json in mem://acme does not say where a chain begins: it has format 2, this program reads 1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := newMemory()
			c := open(t, config(store, 2))
			write(t, c, s, 1, 2, 3)
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.stop()
			cfg := config(store, 2)
			cfg.Committed = func(context.Context, cdc.Object) error { return nil }
			cfg.Audited = func(string) uint64 { return 0 }
			tt.upset(store, &cfg)
			_, err := chain.Open(t.Context(), cfg)
			if fmt.Sprint(err) != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			var e *cdc.Error
			if err != nil && (!errors.As(err, &e) || e.Fix == "") {
				t.Errorf("%v does not say how to mend it", err)
			}
		})
	}
}

func TestSomebodysObjectInTheWayStopsTheChain(t *testing.T) {
	s := newStream(t, 2)
	store := newMemory()
	c := open(t, config(store, 2))
	store.objects["p=00/dt=2026-11-21/00000000000000000001.jsonl"] = object{body: []byte("mine")}
	write(t, c, s, 1)
	if err := c.Flush(t.Context()); code(err) != "CDCD-4102" {
		t.Errorf("got %v, want CDCD-4102", err)
	}
}

func TestAStoreThatIsDownIsTriedAgainAndSaidSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream(t, 2)
		store := newMemory()
		var down atomic.Bool
		down.Store(true)
		store.before = func(ctx context.Context, call, key string) outcome {
			if down.Load() && strings.Contains(key, "dt=2") {
				return failed
			}
			return fine
		}
		cfg := config(store, 2)
		cfg.Pause = nil // the real one, on the bubble's clock
		c := open(t, cfg)
		write(t, c, s, 1)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := c.Stats(); !errors.Is(got.Err, errBroken) || got.Waiting != 2 || got.Objects != 0 {
			t.Errorf("down: got %+v", got)
		}
		down.Store(false)
		time.Sleep(34 * time.Second)
		synctest.Wait()
		if got := c.Stats(); got.Err != nil || got.Waiting != 0 || got.Objects != 1 {
			t.Errorf("up again: got %+v", got)
		}
	})
}

func TestProgressIsHowFarTheStreamNeedNotBeReadAgain(t *testing.T) {
	s := newStream(t, 3, 3, 3, 3)
	s.match = func(no uint64) bool { return no == 2 || no == 11 }
	store := newMemory()
	c := open(t, config(store, 0))
	if got, want := c.Progress(), (chain.Progress{Store: "mem://acme"}); got != want {
		t.Errorf("new: got %+v, want %+v", got, want)
	}
	if next, epoch := c.Next(); next != 0 || epoch != 0 || c.Resume() != 1 {
		t.Errorf("new: next %d of epoch %x, resume %d", next, epoch, c.Resume())
	}
	write(t, c, s, 1)
	if got, want := c.Progress(), (chain.Progress{Store: "mem://acme"}); got != want {
		t.Errorf("a record waits: got %+v, want %+v", got, want)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, c, s, 2, 3)
	hint := c.Progress()
	want := chain.Progress{Store: "mem://acme", HeadKey: "p=00/dt=2026-11-21/00000000000000000001.jsonl", HeadLast: 3,
		First: 4, FirstCommit: s.commit(4), Next: 10, Seq: 3, Epoch: testEpoch}
	if hint != want {
		t.Errorf("two frames that did not match: got %+v, want %+v", hint, want)
	}
	write(t, c, s, 4)
	behind := want
	behind.FirstCommit, behind.Next, behind.Seq = time.Time{}, 4, 1
	if got := c.Progress(); got != behind {
		t.Errorf("a record waits: got %+v, want %+v", got, behind)
	}
	c.stop()

	undated, earlier := hint, hint
	undated.FirstCommit = time.Time{}
	earlier.HeadLast = 2
	for _, tt := range []struct {
		name         string
		hint         chain.Progress
		next, resume uint64
	}{
		{"no hint", chain.Progress{}, 4, 1},
		{"the hint", hint, 10, 3},
		{"the hint when nothing was known", behind, 4, 1},
		{"a hint that can not date the next key", undated, 4, 1},
		{"a hint from before the last object", earlier, 4, 1},
	} {
		cfg := config(store, 0)
		cfg.Progress = tt.hint
		c := open(t, cfg)
		if next, _ := c.Next(); next != tt.next || c.Resume() != tt.resume {
			t.Errorf("%s: got next %d, resume %d, want %d, %d", tt.name, next, c.Resume(), tt.next, tt.resume)
		}
		c.stop()
	}
	cfg := config(store, 0)
	cfg.Progress = hint
	if err := deliver(t.Context(), open(t, cfg).Chain, s); err != nil {
		t.Fatal(err)
	}
	if got, want := spans(t, s, store), "1-3:1 4-12:1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAdvanceMovesNewChainsAndDeadLetters(t *testing.T) {
	s := newStream(t, 4, 4, 4, 4)
	for _, tt := range []struct {
		name   string
		sync   bool
		begun  bool
		then   int // the frame that is written after it
		want   string
		result string
	}{
		{"a new chain begins there", false, false, 3, "<nil>", "9-12:4"},
		{"new dead letters begin there", true, false, 3, "<nil>", "9-12:4"},
		{"dead letters go on there", true, true, 3, "<nil>", "1-4:4 5-12:4"},
		{"a chain that has begun has to see every event", false, true, 3, "CDCD-4104", "1-4:4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := newMemory()
			cfg := config(store, 0)
			cfg.Sync = tt.sync
			c := open(t, cfg)
			if tt.begun {
				write(t, c, s, 1)
				if err := c.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				c.stop()
				c = open(t, cfg)
			}
			c.Advance(9, 2, testEpoch)
			b := s.frames[tt.then-1]
			err := c.Write(t.Context(), b, s.decide(b, "sha256:rules"))
			if err == nil {
				err = c.Flush(t.Context())
			}
			if got := code(err); got != strings.TrimPrefix(tt.want, "<nil>") {
				t.Errorf("got %v, want %s", err, tt.want)
			}
			other := *s
			other.match = func(no uint64) bool { return no < 5 || no > 8 }
			if got := spans(t, &other, store); got != tt.result {
				t.Errorf("got %q, want %q", got, tt.result)
			}
		})
	}
}

// Two writers of dead letters have seen different parts of the stream, and come to the same key all the same.
func TestDeadLettersAreDatedByTheLastOne(t *testing.T) {
	s := newStream(t, 2, 2, 2)
	s.commit = func(no uint64) time.Time { return noon.AddDate(0, 0, int(no)) }
	s = func() *stream {
		n := &stream{commit: s.commit, match: s.match}
		n.append(t, testEpoch, 2, 2, 2)
		return n
	}()
	store := newMemory()
	cfg := config(store, 0)
	cfg.Sync = true
	write(t, open(t, cfg), s, 1)
	all, advanced := open(t, cfg), open(t, cfg)
	if err := all.Write(t.Context(), s.frames[1], nil); err != nil {
		t.Fatal(err)
	}
	advanced.Advance(5, 2, testEpoch)
	write(t, all, s, 3)
	if err := advanced.Write(t.Context(), s.frames[2], s.decide(s.frames[2], "")[:1]); !errors.Is(err, chain.ErrFenced) {
		t.Errorf("got %v, want ErrFenced", err)
	}
	var keys []string
	_ = store.List(t.Context(), "p=00/dt=", "", func(key string, _ int64) bool { keys = append(keys, key); return true })
	if want := []string{"p=00/dt=2026-11-22/00000000000000000001.jsonl", "p=00/dt=2026-11-23/00000000000000000003.jsonl"}; !slices.Equal(keys, want) {
		t.Errorf("got %q, want %q", keys, want)
	}
}

func TestObjectsAreReadableInEveryCompressionAndRealStore(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "acme")
	for _, kind := range []string{"file", "s3"} {
		for _, compress := range []string{"none", "gzip", "zstd"} {
			t.Run(kind+" "+compress, func(t *testing.T) {
				var store chain.Store
				if kind == "file" {
					f, err := file.Open(file.Config{URL: "file://" + filepath.Join(t.TempDir(), "acme")})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { f.Close() })
					store = f
				} else {
					store = openS3(t, server, server.Endpoint, compress)
				}
				s := newStream(t, 30, 0, 50, 20)
				s.match = func(no uint64) bool { return no%3 != 0 }
				log := &audit{}
				cfg := config(store, 17)
				cfg.Compress, cfg.Committed, cfg.Audited = compress, log.committed, log.audited
				if err := deliver(t.Context(), open(t, cfg).Chain, s); err != nil {
					t.Fatal(err)
				}
				objects, err := checkAll(s, store, log)
				if err != nil || len(objects) != 4 {
					t.Fatalf("%d objects: %v", len(objects), err)
				}
				log.objects = nil // as if the audit log had been lost
				c := open(t, cfg)
				if _, err := checkAll(s, store, log); err != nil {
					t.Error(err)
				}
				if next, epoch := c.Next(); next != objects[3].LastPartNo+1 || epoch != testEpoch || c.Resume() != 4 {
					t.Errorf("reopened: next %d of %x, resume %d", next, epoch, c.Resume())
				}
			})
		}
	}
}

func openS3(t *testing.T, server *testenv.Store, endpoint, prefix string) *s3.Store {
	t.Helper()
	store, err := s3.Open(t.Context(), s3.Config{URL: "s3://acme/" + prefix, Endpoint: endpoint, Region: server.Region, PathStyle: true,
		AccessKey: server.AccessKey, SecretKey: server.SecretKey})
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func TestRealStoresThatMisbehave(t *testing.T) {
	server := testenv.S3(t)
	server.CreateBucket(t, "acme")
	t.Run("ignores conditions", func(t *testing.T) {
		store := openS3(t, server, sinktest.IgnoringConditions(t, server), "ignoring")
		if _, err := chain.Open(t.Context(), config(store, 1)); code(err) != "CDCD-4101" {
			t.Errorf("open: got %v, want CDCD-4101", err)
		}
		if err := chain.Probe(t.Context(), store); code(err) != "CDCD-4101" {
			t.Errorf("probe: got %v, want CDCD-4101", err)
		}
	})
	t.Run("loses replies", func(t *testing.T) {
		losing := sinktest.LosingReplies(t, server)
		store := openS3(t, server, losing.Endpoint, "losing")
		s := newStream(t, 5, 5, 5)
		log := &audit{}
		cfg := config(store, 3)
		cfg.Committed, cfg.Audited = log.committed, log.audited
		c := open(t, cfg)
		for seq := range s.frames {
			losing.Lose(2)
			write(t, c, s, seq+1)
			if err := c.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := checkAll(s, store, log); err != nil {
			t.Error(err)
		}
	})
	t.Run("is killed and comes back", func(t *testing.T) {
		store := openS3(t, server, server.Endpoint, "killed")
		s := newStream(t, 5, 5)
		cfg := config(store, 3)
		cfg.Pause = func(ctx context.Context, _ int) error { time.Sleep(20 * time.Millisecond); return ctx.Err() }
		c := open(t, cfg)
		write(t, c, s, 1)
		server.Kill()
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := c.Write(ctx, s.frames[1], s.decide(s.frames[1], "sha256:rules")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("write while the store is down: got %v, want that it waits", err)
		}
		for began := time.Now(); c.Stats().Err == nil; time.Sleep(10 * time.Millisecond) {
			if time.Since(began) > 20*time.Second {
				t.Fatal("nothing says that the store is down")
			}
		}
		server.Start(t)
		if err := deliver(t.Context(), c.Chain, s); err != nil {
			t.Fatal(err)
		}
		if _, err := checkAll(s, store, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestRecordsRootIsTheTreeHashOfRFC6962(t *testing.T) {
	var lines []byte
	var leaves []string
	for n := range 130 {
		root := chain.RecordsRoot(lines)
		if got, want := hex.EncodeToString(root[:]), treeHash(leaves); got != want {
			t.Fatalf("%d lines: got %s, want %s", n, got, want)
		}
		if n > 0 { // the last newline does not matter
			if got, want := chain.RecordsRoot(lines[:len(lines)-1]), chain.RecordsRoot(lines); got != want {
				t.Fatalf("%d lines: got %x without the last newline, %x with it", n, got, want)
			}
		}
		leaf := strings.Repeat("x", n%5) + fmt.Sprint(n)
		leaves = append(leaves, leaf)
		lines = append(append(lines, leaf...), '\n')
	}
}
