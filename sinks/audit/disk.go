package audit

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// disk writes files so that they survive a crash.
type disk struct {
	// step does one operation on the disk. Tests make it fail before, fail afterwards, or kill the process.
	step func(operation, path string, do func() error) error

	durable map[string]bool // directories that are known to survive a crash
	dirty   map[string]bool // directories with new names in them that may not survive yet
}

func newDisk() *disk {
	return &disk{
		step:    func(_, _ string, do func() error) error { return do() },
		durable: map[string]bool{},
		dirty:   map[string]bool{},
	}
}

// put makes or replaces a file. It becomes durable, together with others, with flush.
func (d *disk) put(path string, content []byte, mode fs.FileMode) error {
	if err := d.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	// One process writes, so the name can be fixed; what a crash leaves is overwritten.
	temporary := path + ".new"
	err := d.step("write", temporary, func() error {
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
	return d.step("rename", path, func() error { return os.Rename(temporary, path) })
}

// flush makes what put has written durable.
func (d *disk) flush() error {
	for dir := range d.dirty {
		if err := d.sync(dir); err != nil {
			return err
		}
		delete(d.dirty, dir)
	}
	return nil
}

// replace makes or replaces a file durably.
func (d *disk) replace(path string, content []byte, mode fs.FileMode) error {
	if err := d.put(path, content, mode); err != nil {
		return err
	}
	return d.flush()
}

// create makes a file durably; if there is one already, that stays as it is.
func (d *disk) create(path string, content []byte, mode fs.FileMode) error {
	if err := d.put(path+".first", content, mode); err != nil {
		return err
	}
	err := d.step("link", path, func() error { return os.Link(path+".first", path) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.flush(); err != nil {
		return err
	}
	return d.remove(path + ".first")
}

// appendTo appends to a file durably, after cutting it to size.
func (d *disk) appendTo(path string, size int64, content []byte) error {
	err := d.step("append", path, func() error {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
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

func (d *disk) remove(path string) error {
	return d.step("remove", path, func() error { return os.Remove(path) })
}

// makeDir makes a directory that survives a crash, with those above it.
func (d *disk) makeDir(dir string) error {
	if d.durable[dir] {
		return nil
	}
	parent := filepath.Dir(dir)
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		if err := d.makeDir(parent); err != nil {
			return err
		}
		if err := d.step("mkdir", dir, func() error { return os.Mkdir(dir, 0o755) }); err != nil && !errors.Is(err, fs.ErrExist) {
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

func (d *disk) sync(dir string) error {
	return d.step("sync", dir, func() error {
		f, err := os.Open(dir)
		if err != nil {
			return err
		}
		return errors.Join(f.Sync(), f.Close())
	})
}
