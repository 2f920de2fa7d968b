package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/sinks/sinktest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("CDCD_TEST_PUT_IN"); dir != "" {
		putAndDie(dir)
	}
	os.Exit(m.Run())
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(Config{URL: "file://" + dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestStoreKeepsTheContract(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) sinktest.Store { return open(t, t.TempDir()) })
}

func TestPutLeavesNothingButTheObjectAndItsMetadata(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for range 2 {
		if _, err := s.Put(t.Context(), "a/b", []byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{".cdcd/meta/a/b.json", "a/b"}
	if got := files(t, dir); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The failure table of a put: every step that changes the disk fails, or the process dies before it. Whatever happened,
// a second writer then finds either nothing, and writes its own, or all of the first one's object.
func TestPutSurvivesFailureAtEveryStep(t *testing.T) {
	boom := errors.New("boom")
	for _, how := range []string{"fails", "dies"} {
		for step := 1; ; step++ {
			dir := t.TempDir()
			var done bool // the put went through without reaching the step
			var operation string
			switch how {
			case "fails":
				s := open(t, dir)
				n := 0
				s.before = func(op, name string) error {
					if n++; n == step {
						operation = op + " " + name
						return boom
					}
					return nil
				}
				created, err := s.Put(t.Context(), firstKey, firstBody, firstMeta)
				done = n < step
				if err == nil != created || err != nil && !errors.Is(err, boom) {
					t.Errorf("step %d %s (%s): put returned %v, %v", step, how, operation, created, err)
				}
			case "dies":
				cmd := exec.Command(os.Args[0])
				cmd.Env = append(os.Environ(), "CDCD_TEST_PUT_IN="+dir, "CDCD_TEST_DIE_AT="+strconv.Itoa(step))
				out, err := cmd.Output()
				operation = strings.TrimSpace(string(out))
				done = err == nil
				if err != nil && !strings.Contains(err.Error(), "killed") {
					t.Fatalf("child: %v", err)
				}
			}
			if done {
				if step < 10 {
					t.Errorf("%s: only %d steps", how, step-1)
				}
				break
			}
			for _, look := range []string{"put", "head", "list"} {
				copied := filepath.Join(t.TempDir(), "copy")
				if out, err := exec.Command("cp", "-a", dir, copied).CombinedOutput(); err != nil {
					t.Fatalf("cp: %v: %s", err, out)
				}
				if msg := checkAfter(t, copied, look); msg != "" {
					t.Errorf("step %d %s (%s), then %s: %s", step, how, operation, look, msg)
				}
			}
		}
	}
}

const firstKey = "p=00/dt=2026-11-21/1"

var (
	firstBody = bytes.Repeat([]byte("first"), 1000)
	firstMeta = map[string]string{"cdcd-writer": "first"}
)

// putAndDie is a process that is killed before the n-th step of its put.
func putAndDie(dir string) {
	at, _ := strconv.Atoi(os.Getenv("CDCD_TEST_DIE_AT"))
	s, err := Open(Config{URL: "file://" + dir})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	n := 0
	s.before = func(op, name string) error {
		if n++; n == at {
			fmt.Println(op, name)
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		return nil
	}
	if _, err := s.Put(context.Background(), firstKey, firstBody, firstMeta); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(0)
}

// checkAfter is what another process finds, beginning with one kind of look.
func checkAfter(t *testing.T, dir, look string) string {
	s := open(t, dir)
	_, statErr := os.Stat(filepath.Join(dir, metaName(firstKey)))
	committed := statErr == nil

	switch look {
	case "head":
		if _, size, ok, err := s.Head(t.Context(), firstKey); err != nil || ok != committed || ok && size != int64(len(firstBody)) {
			return fmt.Sprintf("head: %d bytes, ok %v, error %v; committed %v", size, ok, err, committed)
		}
	case "list":
		n := 0
		err := s.List(t.Context(), "", "", func(string, int64) bool { n++; return true })
		if err != nil || (n == 1) != committed {
			return fmt.Sprintf("list: %d keys, error %v; committed %v", n, err, committed)
		}
	}

	second := map[string]string{"cdcd-writer": "second"}
	created, err := s.Put(t.Context(), firstKey, []byte("second"), second)
	if err != nil || created == committed {
		return fmt.Sprintf("put: created %v, error %v; committed %v", created, err, committed)
	}
	wantBody, wantMeta := firstBody, firstMeta
	if created {
		wantBody, wantMeta = []byte("second"), second
	}
	body, ok, err := s.Get(t.Context(), firstKey)
	if err != nil || !ok || !bytes.Equal(body, wantBody) {
		return fmt.Sprintf("get: %.20q, ok %v, error %v, want %.20q", body, ok, err, wantBody)
	}
	meta, size, ok, err := s.Head(t.Context(), firstKey)
	if err != nil || !ok || size != int64(len(wantBody)) || !maps.Equal(meta, wantMeta) {
		return fmt.Sprintf("head: %v, %d, ok %v, error %v, want %v", meta, size, ok, err, wantMeta)
	}

	// Two hours later nothing is left but the object.
	later, err := Open(Config{URL: "file://" + dir, Now: func() time.Time { return time.Now().Add(2 * time.Hour) }})
	if err != nil {
		return err.Error()
	}
	defer later.Close()
	if got, want := files(t, dir), []string{metaName(firstKey), firstKey}; !slices.Equal(got, want) {
		return fmt.Sprintf("left on disk: %q, want %q", got, want)
	}
	return ""
}

func TestTidyKeepsWhatIsCommittedWhereverItDies(t *testing.T) {
	// A put that has died right after its commit, tidied up by processes that die too, one step later each time.
	for step := 1; ; step++ {
		dir := t.TempDir()
		s := open(t, dir)
		s.before = func(op, name string) error {
			if op == "link" && name == firstKey || op == "remove" {
				return errors.New("dead")
			}
			return nil
		}
		if _, err := s.Put(t.Context(), firstKey, firstBody, firstMeta); err == nil {
			t.Fatal("the put that dies did not")
		}
		later := open(t, dir)
		later.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		n := 0
		later.before = func(string, string) error {
			if n++; n >= step {
				return errors.New("dead")
			}
			return nil
		}
		err := later.tidy(abandoned)
		if body, ok, err := open(t, dir).Get(t.Context(), firstKey); err != nil || !ok || !bytes.Equal(body, firstBody) {
			t.Errorf("tidy died at step %d: get: %d bytes, %v, %v", step, len(body), ok, err)
		}
		if err == nil {
			if step < 5 {
				t.Errorf("only %d steps", step-1)
			}
			return
		}
	}
}

func TestUnfinishedPutsOfLiveProcessesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.before = func(op, name string) error {
		if op == "link" && name == metaName("k") {
			open(t, dir) // another process starts meanwhile
		}
		return nil
	}
	if created, err := s.Put(t.Context(), "k", []byte("x"), nil); !created || err != nil {
		t.Errorf("got %v, %v", created, err)
	}
}

func TestPutThatSleptTooLongFailsAndCanBeRepeated(t *testing.T) {
	for _, at := range []string{"write", "sync", "link"} {
		dir := t.TempDir()
		s := open(t, dir)
		slept := false
		s.before = func(op, name string) error {
			if op == at && !slept && !(op == "write" && strings.HasSuffix(name, ".json")) {
				slept = true
				later := open(t, dir)
				later.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
				return later.tidy(abandoned)
			}
			return nil
		}
		if created, err := s.Put(t.Context(), "k", []byte("x"), nil); created || err == nil {
			t.Errorf("slept before %s: got %v, %v, want an error", at, created, err)
		}
		if created, err := s.Put(t.Context(), "k", []byte("y"), nil); !created || err != nil {
			t.Errorf("slept before %s: second put: %v, %v", at, created, err)
		}
		if body, _, err := s.Get(t.Context(), "k"); string(body) != "y" || err != nil {
			t.Errorf("slept before %s: got %q, %v", at, body, err)
		}
	}
}

func TestProcessesThatRaceAndAreKilledLeaveWholeObjects(t *testing.T) {
	dir := t.TempDir()
	for round := range 10 {
		var children []*exec.Cmd
		for i := range 4 {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "CDCD_TEST_PUT_IN="+dir, "CDCD_TEST_DIE_AT="+strconv.Itoa(round+3*i))
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			children = append(children, cmd)
		}
		for _, cmd := range children {
			cmd.Wait() // killed or not, both is meant
		}
		s := open(t, dir)
		if _, err := s.Put(t.Context(), firstKey, firstBody, firstMeta); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		body, _, err := s.Get(t.Context(), firstKey)
		meta, _, _, err2 := s.Head(t.Context(), firstKey)
		if err != nil || err2 != nil || !bytes.Equal(body, firstBody) || !maps.Equal(meta, firstMeta) {
			t.Fatalf("round %d: got %d bytes, %v, %v, %v", round, len(body), meta, err, err2)
		}
		if err := os.RemoveAll(filepath.Join(dir, "p=00")); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(filepath.Join(dir, metaDir, "p=00")); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatOthersDoToTheDirectoryIsNoticed(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(dir string) error
		code string // of Put; "" means created=false
	}{
		{"object removed", func(dir string) error { return os.Remove(dir + "/k") }, "CDCD-4012"},
		{"object longer", func(dir string) error { return os.WriteFile(dir+"/k", []byte("longer"), 0o600) }, "CDCD-4013"},
		{"object a link", func(dir string) error {
			return errors.Join(os.Remove(dir+"/k"), os.Symlink("/etc/hostname", dir+"/k"))
		}, "CDCD-4013"},
		{"metadata changed", func(dir string) error { return os.WriteFile(dir+"/.cdcd/meta/k.json", []byte("{}"), 0o600) }, "CDCD-4013"},
		{"metadata removed", func(dir string) error { return os.Remove(dir + "/.cdcd/meta/k.json") }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			if _, err := s.Put(t.Context(), "k", []byte("x"), firstMeta); err != nil {
				t.Fatal(err)
			}
			if err := c.do(dir); err != nil {
				t.Fatal(err)
			}
			created, err := s.Put(t.Context(), "k", []byte("y"), nil)
			if created || cdcCode(err) != c.code || c.code == "" && err != nil {
				t.Errorf("put: got %v, %v, want code %q", created, err, c.code)
			}
		})
	}
}

func TestLinksOutOfTheDirectoryAreNotFollowed(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	s := open(t, dir)
	if err := os.WriteFile(outside+"/secret", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, dir+"/way"); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Get(t.Context(), "way/secret"); ok || err == nil {
		t.Errorf("get: %v, %v", ok, err)
	}
	if created, err := s.Put(t.Context(), "way/new", []byte("x"), nil); created || err == nil {
		t.Errorf("put: %v, %v", created, err)
	}
	if err := s.List(t.Context(), "", "", func(key string, _ int64) bool { t.Errorf("listed %s", key); return true }); err != nil {
		t.Error(err)
	}
	if got := files(t, outside); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("outside: %q", got)
	}
}

func TestKeysThatCannotBothBeFilesAreRefused(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []struct{ key, code string }{
		{"a/b", ""}, {"a", "CDCD-4009"}, {"a/b/c", "CDCD-4011"}, {".cdcd/meta/x", "CDCD-4009"}, {"x.json/y", "CDCD-4009"},
		{"x", ""}, {strings.Repeat("n", 241), "CDCD-4009"},
	} {
		created, err := s.Put(t.Context(), c.key, []byte("x"), nil)
		if created != (c.code == "") || cdcCode(err) != c.code {
			t.Errorf("%.20s: got %v, %v, want code %q", c.key, created, err, c.code)
		}
	}
	for _, key := range []string{"a/b", "x"} {
		if _, ok, err := s.Get(t.Context(), key); !ok || err != nil {
			t.Errorf("%s: got %v, %v", key, ok, err)
		}
	}
}

func TestFoldersThatWereRemovedAreMadeAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if _, err := s.Put(t.Context(), "d/1", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.RemoveAll(dir+"/d"), os.RemoveAll(dir+"/.cdcd/meta/d")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(t.Context(), "d/2", []byte("x"), nil); err == nil {
		t.Log("the first put already made them")
	}
	if created, err := s.Put(t.Context(), "d/3", []byte("x"), nil); !created || err != nil {
		t.Errorf("got %v, %v", created, err)
	}
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for url, code := range map[string]string{
		"": "CDCD-4001", "/var/lib/acme": "CDCD-4001", "file://acme/x": "CDCD-4001", "file:acme": "CDCD-4001", "file:///": "CDCD-4001",
		"file://" + file: "CDCD-4011",
	} {
		s, err := Open(Config{URL: url})
		if cdcCode(err) != code {
			t.Errorf("%q: got %v, want %s", url, err, code)
		}
		if err == nil {
			s.Close()
		}
	}
}

// A full disk is asked for room again and again; that must not leave garbage.
func TestFullDiskHasACodeAndLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	s.before = func(op, name string) error {
		if op == "write" && !strings.HasSuffix(name, ".json") {
			return &os.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
		}
		return nil
	}
	for range 3 {
		if created, err := s.Put(t.Context(), "k", []byte("x"), nil); created || cdcCode(err) != "CDCD-4011" {
			t.Errorf("got %v, %v", created, err)
		}
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("left %q", got)
	}
}

// files lists all files below dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			out = append(out, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return out
}
