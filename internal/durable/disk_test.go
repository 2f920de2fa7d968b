package durable

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// recorded is a disk that writes down what it does below dir.
func recorded(dir string) (d *Disk, steps *[]string) {
	d, steps = New(), new([]string)
	d.Step = func(operation, path string, do func() error) error {
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		*steps = append(*steps, operation+" "+name)
		return do()
	}
	return d, steps
}

func TestTheOrderInWhichAFileBecomesDurable(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(d *Disk, path string) error
		want []string // "write" ends with the file's own sync
	}{
		{"replaced", func(d *Disk, path string) error { return d.Replace(path, []byte("new"), 0o600) },
			[]string{"write a.new", "rename a", "sync ."}},
		{"two at once", func(d *Disk, path string) error {
			return errors.Join(d.Put(path+"b", nil, 0o600), d.Put(path, []byte("new"), 0o600), d.Flush())
		}, []string{"write ab.new", "rename ab", "write a.new", "rename a", "sync ."}},
		{"created", func(d *Disk, path string) error {
			created, err := d.Create(path, []byte("new"), 0o600)
			if !created {
				return errors.Join(err, errors.New("it was not created"))
			}
			return err
		}, []string{"write a.first.new", "rename a.first", "link a", "sync .", "remove a.first"}},
		{"appended to", func(d *Disk, path string) error { return d.Append(path, 0, []byte("new"), 0o600) },
			[]string{"append a", "sync ."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			d, steps := recorded(dir)
			if err := d.MakeDir(dir); err != nil {
				t.Fatal(err)
			}
			*steps = nil
			path := filepath.Join(dir, "a")
			if err := tt.do(d, path); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(*steps, tt.want) {
				t.Errorf("\n got %q\nwant %q", *steps, tt.want)
			}
			if got, err := os.ReadFile(path); string(got) != "new" {
				t.Errorf("the file holds %q, %v", got, err)
			}
		})
	}
}

func TestWhatIsThereIsNotCreatedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	d := New()
	for i, want := range []bool{true, false} {
		if created, err := d.Create(path, []byte{byte('a' + i)}, 0o600); created != want || err != nil {
			t.Errorf("%d: created %v, %v", i, created, err)
		}
	}
	info, err := os.Stat(path)
	if text, _ := os.ReadFile(path); string(text) != "a" || err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file holds %q, %v, %v", text, info, err)
	}
}

func TestAppendCutsOffWhatACrashHasLeft(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("one\ntw"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := New().Append(path, 4, []byte("two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "one\ntwo\n" {
		t.Errorf("the file holds %q", text)
	}
}
