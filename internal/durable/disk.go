package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Disk writes files so that they survive a crash. It belongs to one goroutine, and its files to one process.
type Disk struct {
	// Step does one operation on the disk. Tests make it fail before, fail afterwards, or kill the process.
	Step func(operation, path string, do func() error) error

	durable map[string]bool // directories that are known to survive a crash
	dirty   map[string]bool // directories with new names in them that may not survive yet
}

// New returns a disk on which nothing is known to survive yet.
func New() *Disk {
	return &Disk{
		Step:    func(_, _ string, do func() error) error { return do() },
		durable: map[string]bool{},
		dirty:   map[string]bool{},
	}
}

// Put makes or replaces a file. It becomes durable, together with others, with [Disk.Flush].
func (d *Disk) Put(path string, content []byte, mode fs.FileMode) error {
	if err := d.MakeDir(filepath.Dir(path)); err != nil {
		return err
	}
	// One process writes, so the name can be fixed; what a crash leaves is overwritten.
	temporary := path + ".new"
	err := d.Step("write", temporary, func() error {
		f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		if err == nil {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return err
	}
	d.dirty[filepath.Dir(path)] = true
	return d.Step("rename", path, func() error { return os.Rename(temporary, path) })
}

// Flush makes what Put has written durable.
func (d *Disk) Flush() error {
	for dir := range d.dirty {
		if err := d.sync(dir); err != nil {
			return err
		}
		delete(d.dirty, dir)
	}
	return nil
}

// Replace makes or replaces a file durably.
func (d *Disk) Replace(path string, content []byte, mode fs.FileMode) error {
	if err := d.Put(path, content, mode); err != nil {
		return err
	}
	return d.Flush()
}

// Create makes a file durably; if there is one already, that stays as it is.
func (d *Disk) Create(path string, content []byte, mode fs.FileMode) (created bool, err error) {
	if err := d.Put(path+".first", content, mode); err != nil {
		return false, err
	}
	err = d.Step("link", path, func() error { return os.Link(path+".first", path) }) // unlike a rename, not over another
	if created = err == nil; err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	if err := d.Flush(); err != nil {
		return created, err
	}
	return created, d.Remove(path + ".first")
}

// Append appends to a file durably, after cutting it to size.
func (d *Disk) Append(path string, size int64, content []byte, mode fs.FileMode) error {
	err := d.Step("append", path, func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, mode)
		if err != nil {
			return err
		}
		err = f.Truncate(size)
		if err == nil {
			_, err = f.WriteAt(content, size)
		}
		if err == nil {
			err = f.Sync()
		}
		return errors.Join(err, f.Close())
	})
	if err == nil && size == 0 {
		err = d.sync(filepath.Dir(path)) // it may be new
	}
	return err
}

// Remove removes a file. A crash may bring it back.
func (d *Disk) Remove(path string) error {
	return d.Step("remove", path, func() error { return os.Remove(path) })
}

// MakeDir makes a directory that survives a crash, with those above it.
func (d *Disk) MakeDir(dir string) error {
	if d.durable[dir] {
		return nil
	}
	parent := filepath.Dir(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := d.MakeDir(parent); err != nil {
			return err
		}
		if err := d.Step("mkdir", dir, func() error { return os.Mkdir(dir, 0o755) }); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	// Also when it was there already: whoever made it may not have come so far.
	if err := d.sync(parent); err != nil && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	d.durable[dir] = true
	return nil
}

func (d *Disk) sync(dir string) error {
	return d.Step("sync", dir, func() error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}

// Forget forgets a directory that was removed.
func (d *Disk) Forget(dir string) {
	delete(d.durable, dir)
	delete(d.dirty, dir)
}

// Abandon leaves what was not flushed to its fate.
func (d *Disk) Abandon() { clear(d.dirty) }
