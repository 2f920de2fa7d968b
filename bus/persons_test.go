package bus

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

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
	for i := range 3 {
		kept, erased, err := p.Create(ctx, fmt.Sprint("person", i), fmt.Appendf(nil, "secret-key-number-%d", i))
		if err != nil || erased || string(kept) != fmt.Sprintf("secret-key-number-%d", i) {
			t.Fatalf("created %s, %v, %v", kept, erased, err)
		}
	}
	if kept, _, err := p.Create(ctx, "person1", []byte("another")); err != nil || string(kept) != "secret-key-number-1" {
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
	if key, erased, err := p.Create(ctx, "person1", []byte("a new one")); err != nil || key != nil || !erased {
		t.Errorf("an erased person got a key: %s, %v, %v", key, erased, err)
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
			if _, _, err := p.Create(t.Context(), "person", []byte("secret-key")); err != nil {
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

func TestOfTwoWhoMakeAKeyOneWins(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir()})
	p := persons(t, s)
	got := make([]string, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			kept, _, err := p.Create(t.Context(), "person", fmt.Append(nil, "key", i))
			if err != nil {
				t.Error(err)
			}
			got[i] = string(kept)
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
