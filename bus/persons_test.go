package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func persons(t *testing.T, s *Stream) *Persons {
	t.Helper()
	p, err := s.Persons(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// create keeps one key and returns the one that is kept then, "" of an erased person.
func create(ctx context.Context, p *Persons, id, key string) (string, error) {
	kept, err := p.Create(ctx, []string{id}, [][]byte{[]byte(key)})
	if err != nil {
		return "", err
	}
	return string(kept[0]), nil
}

// onDisk reports whether a text is in any file of a folder.
func onDisk(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, []byte(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestAnErasedKeyIsGoneFromTheDisk(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	p := persons(t, s)
	ctx := t.Context()
	ids, keys := []string{"person0", "person1", "person2"}, [][]byte{[]byte("secret-key-number-0"), []byte("secret-key-number-1"), []byte("secret-key-number-2")}
	if kept, err := p.Create(ctx, ids, keys); err != nil || !reflect.DeepEqual(kept, keys) {
		t.Fatalf("created %s, %v", kept, err)
	}
	if kept, err := create(ctx, p, "person1", "another"); err != nil || kept != "secret-key-number-1" {
		t.Fatalf("created again: %s, %v", kept, err)
	}
	if !onDisk(t, dir, "secret-key-number-1") {
		t.Fatal("the key is not on the disk to begin with: this test shows nothing")
	}
	for _, want := range []bool{true, false} { // the second time changes nothing
		if had, err := p.Erase(ctx, "person1"); err != nil || had != want {
			t.Fatalf("erased: had a key %v, %v; want %v", had, err, want)
		}
		if onDisk(t, dir, "secret-key-number-1") {
			t.Error("the erased key is still on the disk")
		}
	}
	if key, erased, err := p.Get(ctx, "person1"); err != nil || key != nil || !erased {
		t.Errorf("got %s, %v, %v", key, erased, err)
	}
	if key, err := create(ctx, p, "person1", "a new one"); err != nil || key != "" {
		t.Errorf("an erased person got a key: %s, %v", key, err)
	}
	if key, erased, err := p.Get(ctx, "person2"); err != nil || string(key) != "secret-key-number-2" || erased {
		t.Errorf("another person: %s, %v, %v", key, erased, err)
	}
	if had, err := p.Erase(ctx, "nobody"); err != nil || had {
		t.Errorf("somebody who was not there: %v, %v", had, err)
	}
	if _, erased, err := p.Get(ctx, "nobody"); err != nil || !erased {
		t.Errorf("who is erased before he came is not: %v, %v", erased, err)
	}
	s.Close()

	p = persons(t, open(t, Config{Dir: dir}))
	if _, erased, err := p.Get(ctx, "person1"); err != nil || !erased {
		t.Errorf("after a restart: %v, %v", erased, err)
	}
	if key, _, err := p.Get(ctx, "person0"); err != nil || string(key) != "secret-key-number-0" {
		t.Errorf("after a restart: %s, %v", key, err)
	}
}

// A process that was killed between the two steps has left a tombstone and the key. Nobody is given the key any more, and the
// next one who looks destroys it.
func TestAnInterruptedErasureIsCompletedByWhoeverSeesIt(t *testing.T) {
	for _, how := range []string{"erased again", "asked for"} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, Config{Dir: dir})
			p := persons(t, s)
			if _, err := create(t.Context(), p, "person", "secret-key"); err != nil {
				t.Fatal(err)
			}
			stone := &nats.Msg{Subject: p.subject("person"), Header: nats.Header{headerErased: {"1"}}}
			if _, err := s.js.PublishMsg(t.Context(), stone, jetstream.WithExpectLastSequencePerSubject(1)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			if !onDisk(t, dir, "secret-key") {
				t.Fatal("the key is gone already: this test shows nothing")
			}

			p = persons(t, open(t, Config{Dir: dir}))
			if how == "asked for" {
				if key, erased, err := p.Get(t.Context(), "person"); key != nil || !erased || err != nil {
					t.Fatalf("got %s, %v, %v", key, erased, err)
				}
			} else if _, err := p.Erase(t.Context(), "person"); err != nil {
				t.Fatal(err)
			}
			if onDisk(t, dir, "secret-key") {
				t.Error("the key is still there")
			}
		})
	}
}

// Of many persons some are known, some are erased, and some are new, more than go into one batch; a server may not take batches.
func TestKeysOfManyPersonsAreMadeTogether(t *testing.T) {
	for _, batches := range []bool{true, false} {
		s := open(t, Config{Dir: t.TempDir()})
		p := persons(t, s)
		if !batches {
			cfg := p.stream.CachedInfo().Config
			cfg.AllowAtomicPublish = false
			if _, err := s.js.UpdateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
		}
		many := personsTogether + 20
		ids, keys, want := make([]string, many), make([][]byte, many), make([][]byte, many)
		for i := range ids {
			ids[i], keys[i] = fmt.Sprint("person", i), fmt.Append(nil, "new key ", i)
			want[i] = keys[i]
		}
		if !batches {
			ids, keys, want = ids[:20], keys[:20], want[:20]
		}
		want[3], want[len(ids)-1], want[7] = []byte("old key"), []byte("another old key"), nil
		for _, i := range []int{3, len(ids) - 1} {
			if _, err := create(t.Context(), p, ids[i], string(want[i])); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := p.Erase(t.Context(), ids[7]); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			kept, err := p.Create(t.Context(), ids, keys)
			if err != nil {
				t.Fatal(err)
			}
			for i := range ids {
				if string(kept[i]) != string(want[i]) {
					t.Errorf("person %d has %q, want %q", i, kept[i], want[i])
				}
			}
			for i := range keys { // the second time all are known
				keys[i] = []byte("too late")
			}
		}
	}
}

func TestOfTwoWhoMakeAKeyOneWins(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p := persons(t, s)
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			kept, err := create(t.Context(), p, "person", fmt.Sprint("key", i))
			if err != nil {
				t.Error(err)
			}
			got[i] = kept
		})
	}
	wg.Wait()
	for _, g := range got {
		if g != got[0] || g == "" {
			t.Errorf("got %q", got)
			break
		}
	}
}

// Who remembers keys hears of persons whom others erase, and of a time in which nothing could be heard.
func TestOthersHearWhoIsErased(t *testing.T) {
	srv := newServer(t)
	one, other := persons(t, open(t, Config{URL: srv.url()})), persons(t, open(t, Config{URL: srv.url()}))
	if _, err := create(t.Context(), one, "ann", "key"); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 100)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- other.Watch(ctx, func(id string) { heard <- id }, func() { heard <- "unsure" })
	}()
	want := func(what string) {
		t.Helper()
		select {
		case got := <-heard:
			if got != what {
				t.Fatalf("heard %s, want %s", got, what)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("heard nothing, want %s", what)
		}
	}
	want("unsure")
	if _, err := create(t.Context(), one, "bob", "key"); err != nil {
		t.Fatal(err)
	}
	if _, err := one.Erase(t.Context(), "ann"); err != nil {
		t.Fatal(err)
	}
	want("ann")
	if err := other.s.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	want("unsure")
	if _, err := one.Erase(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	want("bob")
	stop()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
