package file

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Codes of errors that a person has to act on.
const (
	codeConfig    = "CDCD-4001"
	codeTooLarge  = "CDCD-4008"
	codeKey       = "CDCD-4009"
	codeDirectory = "CDCD-4011"
	codeRemoved   = "CDCD-4012"
	codeForeign   = "CDCD-4013"
)

// Config says where the objects are kept.
type Config struct {
	URL string           // file:///dir; the directory is made if it is missing
	Now func() time.Time // default time.Now
}

// Store is a directory of objects. Its methods may be called by many goroutines and processes at once.
type Store struct {
	url  string
	root *os.Root
	now  func() time.Time

	// before is called before everything that changes the disk; tests break things here.
	before func(operation, name string) error

	mu      sync.Mutex
	durable map[string]bool // directories that are known to survive a crash; guarded by mu
}

const (
	private   = ".cdcd"
	metaDir   = private + "/meta"
	newDir    = private + "/new"
	maxObject = 1 << 30
	abandoned = time.Hour // after which files of unfinished puts are removed

	// The partner reads the directory through its group: chgrp it and set the setgid bit.
	dirMode  = 0o750
	fileMode = 0o640
)

// metadata is what a metadata file holds.
type metadata struct {
	Version int               `json:"version"` // 1
	Key     string            `json:"key"`
	Attempt string            `json:"attempt"` // the put that made the object: names its files below newDir
	Size    int64             `json:"size"`
	Meta    map[string]string `json:"meta"`
}

// Open opens the store, finishes what a crash has interrupted and removes what it has left behind. Call Close when done.
func Open(cfg Config) (*Store, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Scheme != "file" || u.Host != "" || !path.IsAbs(u.Path) || path.Clean(u.Path) == "/" {
		return nil, cdc.Errorf(codeConfig, "store %q is not the URL of a directory", cfg.URL).
			WithFix("write it like file:///var/lib/acme, with three slashes")
	}
	s := &Store{url: "file://" + path.Clean(u.Path), now: cfg.Now, durable: map[string]bool{}}
	if s.now == nil {
		s.now = time.Now
	}
	s.before = func(string, string) error { return nil }
	dir := filepath.FromSlash(path.Clean(u.Path))
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, s.explain(fmt.Errorf("open store %s: %w", s, err))
	}
	if s.root, err = os.OpenRoot(dir); err != nil {
		return nil, s.explain(fmt.Errorf("open store %s: %w", s, err))
	}
	for _, name := range []string{metaDir, newDir} {
		if err := s.makeDir(name); err != nil {
			s.root.Close()
			return nil, s.explain(fmt.Errorf("open store %s: %w", s, err))
		}
	}
	// What can't be tidied up, because somebody may only read here, is in nobody's way.
	_ = s.tidy(abandoned)
	return s, nil
}

// Close gives the directory back. No call may be under way.
func (s *Store) Close() error { return s.root.Close() }

// String returns the store's URL.
func (s *Store) String() string { return s.url }

// Put creates the object if there is none under key; created reports whether this call did. When it did not, somebody's
// object is there, perhaps one that an earlier call of the same caller made without getting to know: see Head. After an
// error it is not known whether the object was created; it is safe to put it again. The caller keeps body and meta.
func (s *Store) Put(ctx context.Context, key string, body []byte, meta map[string]string) (created bool, err error) {
	if err := s.checkKey(key); err != nil {
		return false, err
	}
	fail := func(err error) (bool, error) {
		if errors.Is(err, fs.ErrNotExist) { // somebody removes folders: make them again
			s.mu.Lock()
			clear(s.durable)
			s.mu.Unlock()
		}
		return false, s.explain(fmt.Errorf("put %s in %s: %w", key, s, err))
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if m, err := s.find(key); err != nil {
		return fail(err)
	} else if m != nil {
		if err := s.sync(key); err != nil {
			return fail(err)
		}
		return false, nil
	}
	if info, err := s.root.Lstat(key); err == nil && info.IsDir() {
		return fail(cdc.Errorf(codeKey, "%s is the folder of other objects", key))
	}

	// The new object, durable under a name that nobody else uses. The metadata come first: a body without them is
	// nobody's.
	m := metadata{Version: 1, Key: key, Attempt: rand.Text(), Size: int64(len(body)), Meta: meta}
	text, err := json.Marshal(m)
	if err != nil {
		return fail(err)
	}
	unknown := false // whether the attempt is committed
	defer func() {
		if !unknown {
			s.discard(m.Attempt)
		}
	}()
	if err := s.write(newMeta(m.Attempt), text); err != nil {
		return fail(err)
	}
	if err := s.write(newBody(m.Attempt), body); err != nil {
		return fail(err)
	}
	if err := s.syncDir(newDir); err != nil {
		return fail(err)
	}
	if err := s.makeDir(path.Dir(metaName(key))); err != nil {
		return fail(err)
	}
	if err := s.makeDir(path.Dir(key)); err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}

	// Who makes this link has the key.
	unknown = true
	if err := s.link(newMeta(m.Attempt), metaName(key)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	owner, err := s.find(key)
	if err != nil {
		return fail(err)
	}
	if owner == nil {
		return fail(errors.New("its metadata have vanished"))
	}
	if err := s.sync(key); err != nil {
		return fail(err)
	}
	unknown = false
	return owner.Attempt == m.Attempt, nil
}

// Head returns the object's metadata and size; ok is false when there is none. A file that something else put into the
// directory has no metadata.
func (s *Store) Head(ctx context.Context, key string) (meta map[string]string, size int64, ok bool, err error) {
	if err := s.checkKey(key); err != nil {
		return nil, 0, false, err
	}
	fail := func(err error) (map[string]string, int64, bool, error) {
		return nil, 0, false, s.explain(fmt.Errorf("head %s in %s: %w", key, s, err))
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	m, err := s.find(key)
	if cdcCode(err) == codeRemoved || m == nil && err == nil {
		return nil, 0, false, nil
	}
	if err != nil {
		return fail(err)
	}
	info, err := s.root.Lstat(key)
	if err != nil {
		return fail(err)
	}
	// Who hears of an object may build on it, so it must not be lost any more.
	if err := s.sync(key); err != nil {
		return fail(err)
	}
	if m.Meta == nil {
		m.Meta = map[string]string{}
	}
	return m.Meta, info.Size(), true, nil
}

// Get returns the object's bytes; ok is false when there is none. Objects of more than 1 GiB are refused.
func (s *Store) Get(ctx context.Context, key string) (body []byte, ok bool, err error) {
	if err := s.checkKey(key); err != nil {
		return nil, false, err
	}
	fail := func(err error) ([]byte, bool, error) {
		return nil, false, s.explain(fmt.Errorf("get %s from %s: %w", key, s, err))
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	m, err := s.find(key)
	if cdcCode(err) == codeRemoved || m == nil && err == nil {
		return nil, false, nil
	}
	if err != nil {
		return fail(err)
	}
	f, err := s.root.Open(key)
	if err != nil {
		return fail(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	if info.Size() > maxObject {
		return fail(cdc.Errorf(codeTooLarge, "%d bytes are more than 1 GiB", info.Size()))
	}
	body = make([]byte, info.Size())
	if _, err := io.ReadFull(f, body); err != nil {
		return fail(err)
	}
	return body, true, nil
}

// List calls yield with each key that begins with prefix and sorts after `after` ("" for all), in lexical order, until
// yield returns false. It shows every file in the directory that can be a key, also those that something else put there.
func (s *Store) List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error {
	if err := s.tidy(-1); err != nil { // so that what a dead process committed is listed
		return s.explain(fmt.Errorf("list %s in %s: %w", prefix, s, err))
	}
	_, err := s.list(ctx, ".", prefix, after, yield)
	if err != nil {
		return s.explain(fmt.Errorf("list %s in %s: %w", prefix, s, err))
	}
	return nil
}

// list walks one directory; it returns whether to go on.
func (s *Store) list(ctx context.Context, dir, prefix, after string, yield func(string, int64) bool) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	d, err := s.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	entries, err := d.ReadDir(-1)
	d.Close()
	if err != nil {
		return false, err
	}
	// A directory's keys sort by its name with a slash: "a-b" comes before "a/b".
	name := func(e fs.DirEntry) string {
		if e.IsDir() {
			return e.Name() + "/"
		}
		return e.Name()
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(name(a), name(b)) })
	for _, e := range entries {
		key := strings.TrimPrefix(dir+"/"+name(e), "./")
		switch {
		case key == private+"/":
		case e.IsDir():
			inside := strings.HasPrefix(key, prefix) || strings.HasPrefix(prefix, key)
			if passed := key < after && !strings.HasPrefix(after, key); !inside || passed {
				continue
			}
			if more, err := s.list(ctx, strings.TrimSuffix(key, "/"), prefix, after, yield); err != nil || !more {
				return false, err
			}
		case e.Type().IsRegular() && strings.HasPrefix(key, prefix) && key > after:
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return false, err
			}
			if !yield(key, info.Size()) {
				return false, nil
			}
		}
	}
	return true, nil
}

// find returns the metadata of the object under key, or nil, and sees to it that the object is in its place. A file
// without metadata has empty ones.
func (s *Store) find(key string) (*metadata, error) {
	text, err := s.root.ReadFile(metaName(key))
	if isMissing(err) {
		info, statErr := s.root.Lstat(key)
		if isMissing(statErr) || statErr == nil && info.IsDir() {
			return nil, nil
		}
		if statErr != nil {
			return nil, statErr
		}
		text, err = s.root.ReadFile(metaName(key)) // another process may have been between the two looks
		if isMissing(err) && info.Mode().IsRegular() {
			return &metadata{Key: key, Size: info.Size()}, nil
		}
		if isMissing(err) {
			return nil, cdc.Errorf(codeForeign, "%s is not a file", key).WithFix("find out what put it there and move it away")
		}
	}
	if err != nil {
		return nil, err
	}
	var m metadata
	if err := json.Unmarshal(text, &m); err != nil || m.Version != 1 || m.Key != key || m.Attempt == "" {
		return nil, cdc.Errorf(codeForeign, "%s does not hold the metadata of %s", metaName(key), key).
			WithFix("restore the file from a backup")
	}
	return &m, s.finish(m)
}

// finish makes the second link of a put whose first is made, if that is still to be done.
func (s *Store) finish(m metadata) error {
	info, err := s.root.Lstat(m.Key)
	if isMissing(err) {
		err = s.link(newBody(m.Attempt), m.Key)
		if err != nil && !errors.Is(err, fs.ErrExist) && !isMissing(err) {
			return err
		}
		// Whether it was us, or somebody who was faster and has perhaps tidied up already: look again.
		info, err = s.root.Lstat(m.Key)
	}
	if isMissing(err) {
		return cdc.Errorf(codeRemoved, "the object %s was removed", m.Key).
			WithFix("restore it from a backup; `cdcd audit verify --objects` lists what is missing")
	}
	if err != nil {
		return err
	}
	// The size tells most strangers; the audit log's sha256 tells all.
	if !info.Mode().IsRegular() || info.Size() != m.Size {
		return cdc.Errorf(codeForeign, "%s has %d bytes, %d were written", m.Key, info.Size(), m.Size).
			WithFix("something else writes into %s; restore the object from a backup", s)
	}
	return nil
}

// sync makes an object's two names durable, whoever has made them.
func (s *Store) sync(key string) error {
	if err := s.syncDir(path.Dir(metaName(key))); err != nil && !isMissing(err) {
		return err
	}
	return s.syncDir(path.Dir(key))
}

// tidy finishes the puts of dead processes that are committed, and removes the files of those that are not and older
// than age. age < 0 removes nothing.
func (s *Store) tidy(age time.Duration) error {
	d, err := s.root.Open(newDir)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	d.Close()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.tidyOne(name, age); err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

func (s *Store) tidyOne(name string, age time.Duration) error {
	info, err := s.root.Lstat(newDir + "/" + name)
	if err != nil {
		return err
	}
	old := age >= 0 && s.now().Sub(info.ModTime()) > age
	attempt, kind, _ := strings.Cut(name, ".")
	dead := newBody(attempt) + ".dead"
	switch kind {
	case "json":
		if err := s.finishCommitted(name); err != nil || !old {
			return err
		}
		// From here on nobody can commit the attempt any more; then it is looked at once more.
		if err := s.rename(newMeta(attempt), dead); err != nil {
			return err
		}
		return s.bury(attempt)
	case "dead":
		return s.bury(attempt)
	default:
		for _, owner := range []string{newMeta(attempt), dead} {
			if _, err := s.root.Lstat(owner); !isMissing(err) {
				return err
			}
		}
		if !old {
			return nil
		}
		return s.remove(newBody(attempt))
	}
}

// bury removes the files of an attempt that nobody can commit any more.
func (s *Store) bury(attempt string) error {
	if err := s.finishCommitted(attempt + ".dead"); err != nil {
		return err
	}
	if err := s.remove(newBody(attempt)); err != nil && !isMissing(err) {
		return err
	}
	return s.remove(newBody(attempt) + ".dead")
}

// finishCommitted looks whether the attempt whose metadata are the named new file has its key, and if so puts the
// object into its place, durably.
func (s *Store) finishCommitted(name string) error {
	text, err := s.root.ReadFile(newDir + "/" + name)
	if err != nil {
		return err
	}
	var m, owner metadata
	if json.Unmarshal(text, &m) != nil || s.checkKey(m.Key) != nil {
		return nil // it was never written to the end
	}
	text, err = s.root.ReadFile(metaName(m.Key))
	if isMissing(err) {
		return nil
	}
	if err != nil || json.Unmarshal(text, &owner) != nil || owner.Attempt != m.Attempt {
		return err
	}
	// An object that was removed or changed later is for those to hear who ask for it.
	if err := s.finish(m); err != nil && cdcCode(err) == "" {
		return err
	}
	return s.sync(m.Key)
}

// discard removes a put's own files; what can't be removed now is removed at some later start.
func (s *Store) discard(attempt string) {
	_ = s.remove(newBody(attempt))
	_ = s.remove(newMeta(attempt))
}

func newBody(attempt string) string { return newDir + "/" + attempt }
func newMeta(attempt string) string { return newDir + "/" + attempt + ".json" }
func metaName(key string) string    { return metaDir + "/" + key + ".json" }

func (s *Store) link(from, to string) error {
	if err := s.before("link", to); err != nil {
		return err
	}
	return s.root.Link(from, to)
}

func (s *Store) rename(from, to string) error {
	if err := s.before("rename", to); err != nil {
		return err
	}
	return s.root.Rename(from, to)
}

func (s *Store) remove(name string) error {
	if err := s.before("remove", name); err != nil {
		return err
	}
	return s.root.Remove(name)
}

// write makes a file whose content survives a crash; its name does after syncDir.
func (s *Store) write(name string, content []byte) error {
	if err := s.before("write", name); err != nil {
		return err
	}
	f, err := s.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// makeDir makes a directory that survives a crash, with those above it.
func (s *Store) makeDir(dir string) error {
	s.mu.Lock()
	known := s.durable[dir]
	s.mu.Unlock()
	if known {
		return nil
	}
	if dir != "." {
		if err := s.makeDir(path.Dir(dir)); err != nil {
			return err
		}
		if err := s.before("mkdir", dir); err != nil {
			return err
		}
		if err := s.root.Mkdir(dir, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if info, err := s.root.Stat(dir); err != nil || !info.IsDir() {
			return cmp.Or(err, error(&fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}))
		}
		// Also when it is there already: whoever made it may not have come so far.
		if err := s.syncDir(path.Dir(dir)); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.durable[dir] = true
	s.mu.Unlock()
	return nil
}

func (s *Store) syncDir(dir string) error {
	if err := s.before("sync", dir); err != nil {
		return err
	}
	d, err := s.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *Store) checkKey(key string) error {
	bad := func(why string) error {
		return cdc.Errorf(codeKey, "store %s: %.200q can't be a key: %s", s, key, why)
	}
	if key == "" || len(key) > 1024 {
		return bad("it has to have 1 to 1024 bytes")
	}
	parts := strings.Split(key, "/")
	for i, part := range parts {
		switch {
		case part == "" || part == "." || part == "..":
			return bad("it has an empty or dotted part")
		case i == 0 && part == private:
			return bad(private + " is the store's own")
		case len(part) > 240:
			return bad("a part of it is longer than a file name can be")
		case i < len(parts)-1 && strings.HasSuffix(part, ".json"):
			return bad("a folder must not end with .json") // metadata files do
		case strings.ContainsAny(part, "\x00\\"):
			return bad("it has a character that file names can't have")
		}
	}
	return nil
}

func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

func cdcCode(err error) string {
	var coded *cdc.Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return ""
}

// explain gives what a person has to mend its code.
func (s *Store) explain(err error) error {
	var coded *cdc.Error
	fix := ""
	switch {
	case errors.As(err, &coded):
		return err
	case errors.Is(err, fs.ErrPermission):
		fix = "give the user that runs cdcd the right to write in it; its file system must have hard links"
	case errors.Is(err, syscall.EROFS):
		fix = "mount the file system writable"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		fix = "make room on the file system"
	case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.EMLINK), errors.Is(err, syscall.EXDEV), errors.Is(err, syscall.ENOTDIR):
		fix = "use one directory on a file system with hard links (ext4, xfs, btrfs, zfs, NFS)"
	default:
		return err
	}
	return (&cdc.Error{Code: codeDirectory, What: err.Error(), Err: err}).WithFix("%s", fix)
}
