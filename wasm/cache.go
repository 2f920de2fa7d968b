package wasm

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
)

// cache keeps compiled modules: machine code that is run without another look. So it belongs to one user, and every file that the
// engine is let at is authenticated by a key that stands in the folder.
type cache struct {
	dir     string
	key     []byte
	machine string // stands for the engine, and what it knows of the processor

	mu sync.Mutex
}

const (
	sealFile = "seal"
	keyFile  = "key"
)

func openCache(dir string) (*cache, error) {
	fail := func(err error) error {
		return cdc.Errorf("CDCD-2505", "the folder %s of compiled plugins: %w", dir, err).
			WithFix("it has to belong to the user that cdcd runs as; what is in it may be removed at any time, and is compiled again")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fail(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fail(err)
	}
	if err := private(dir); err != nil {
		return nil, fail(err)
	}
	c := &cache{dir: dir}
	if c.key, err = readKey(filepath.Join(dir, keyFile)); err != nil {
		return nil, fail(err)
	}
	c.tidy(time.Now())
	if c.machine, err = c.fingerprint(); err != nil {
		return nil, fail(err)
	}
	return c, nil
}

const (
	unfinished = "new-"              // what a folder is called that is being filled
	fillingAge = time.Hour           // nobody fills one for so long
	unusedAge  = 14 * 24 * time.Hour // a module is compiled again after that
)

// tidy removes what a process left that was killed, and modules that nobody has used for long. What cannot be removed stays.
func (c *cache) tidy(now time.Time) {
	all, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, e := range all {
		info, err := e.Info()
		if err != nil || !e.IsDir() {
			continue
		}
		most := unusedAge
		if strings.HasPrefix(e.Name(), unfinished) {
			most = fillingAge
		}
		if now.Sub(info.ModTime()) > most {
			_ = os.RemoveAll(filepath.Join(c.dir, e.Name()))
		}
	}
}

// private says whether a folder is ours, and makes it nobody else's.
func private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return errors.New("it is not a folder")
	}
	if !ours(info) {
		return errors.New("it belongs to somebody else")
	}
	if info.Mode().Perm() != 0o700 {
		return os.Chmod(dir, 0o700)
	}
	return nil
}

// readKey reads the key, or makes one. One that others could have read or written is replaced.
func readKey(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err == nil && info.Mode() == 0o600 && ours(info) {
		if key, err := os.ReadFile(path); err == nil && len(key) == sha256.Size {
			return key, nil
		}
	}
	if err == nil {
		if err := os.RemoveAll(path); err != nil {
			return nil, err
		}
	}
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key)
	made, err := durable.New().Create(path, key, 0o600)
	if err == nil && !made { // another process was faster
		key, err = os.ReadFile(path)
	}
	return key, err
}

// A module of one function, which does nothing.
var smallest = []byte{0, 'a', 's', 'm', 1, 0, 0, 0, 1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 4, 1, 2, 0, 0x0b}

// fingerprint returns what the engine calls the smallest module here: that is a function of its version and of the processor, and so
// are the names of all other files.
func (c *cache) fingerprint() (string, error) {
	temp, err := os.MkdirTemp(c.dir, unfinished)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if err := Compile(context.Background(), smallest, temp); err != nil {
		return "", err
	}
	names := ""
	err = filepath.WalkDir(temp, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			names += path[len(temp):]
		}
		return err
	})
	return names, err
}

// module returns a folder with the compiled form of a metered module. It is a copy that is the caller's, to be removed: what is loaded from
// it is what was verified, whatever becomes of the cache meanwhile. The engine compiles what it misses, in this process and without limits.
func (c *cache) module(ctx context.Context, metered []byte, compile Compiler) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := sha256.New()
	fmt.Fprintf(h, "cdcd compiled plugin 1\n%s\n", c.machine)
	h.Write(metered)
	name := hex.EncodeToString(h.Sum(nil))
	dir := filepath.Join(c.dir, name)
	if verified, err := c.copy(dir, name); err == nil {
		now := time.Now()
		_ = os.Chtimes(dir, now, now) // it is used; see tidy
		return verified, nil
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil { // somebody may have removed all
		return "", err
	}
	temp, err := os.MkdirTemp(c.dir, unfinished)
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temp)
	if err := compile(ctx, metered, temp); err != nil {
		return "", err
	}
	seal, files, err := c.seal(temp, name)
	if err != nil {
		return "", err
	}
	if files == 0 {
		return "", errors.New("the compiler has left nothing")
	}
	if err := os.WriteFile(filepath.Join(temp, sealFile), seal, 0o600); err != nil {
		return "", err
	}
	if os.Rename(temp, dir) != nil {
		if verified, err := c.copy(dir, name); err == nil { // another process was faster
			return verified, nil
		}
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
		if err := os.Rename(temp, dir); err != nil {
			return "", err
		}
	}
	return c.copy(dir, name)
}

// copy returns a copy of a folder, which is as it was when it was sealed.
func (c *cache) copy(dir, name string) (verified string, err error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || !ours(info) {
		return "", fmt.Errorf("%s is not a folder of ours", dir)
	}
	temp, err := os.MkdirTemp(c.dir, unfinished)
	if err != nil {
		return "", err
	}
	if err = os.CopyFS(temp, os.DirFS(dir)); err == nil && !c.verify(temp, name) {
		err = fmt.Errorf("%s is not as it was when it was compiled", dir)
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(temp))
	}
	return temp, nil
}

// verify says whether a folder is as it was when it was sealed.
func (c *cache) verify(dir, name string) bool {
	was, err := os.ReadFile(filepath.Join(dir, sealFile))
	if err != nil {
		return false
	}
	is, _, err := c.seal(dir, name)
	return err == nil && hmac.Equal(was, is)
}

// seal authenticates the names and contents of all files of a folder, but the seal, and that they are those of the module name.
func (c *cache) seal(dir, name string) (seal []byte, files int, err error) {
	mac := hmac.New(sha256.New, c.key)
	fmt.Fprintf(mac, "%s\n", name)
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path == filepath.Join(dir, sealFile) {
			return err
		}
		if !e.Type().IsRegular() {
			return fmt.Errorf("%s is not a file", path)
		}
		files++
		return sealOne(mac, path[len(dir):], path)
	})
	return mac.Sum(nil), files, err
}

func sealOne(mac hash.Hash, name, path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(content)
	_, err = fmt.Fprintf(mac, "%d %q %x\n", len(content), name, sum)
	return err
}
