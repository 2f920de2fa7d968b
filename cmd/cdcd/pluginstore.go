package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// codeNoPlugin: the bytes of a plugin are not there.
const codeNoPlugin = "CDCD-2508"

// pluginStore finds the bytes of plugins: in the folder where people put them, by name, and in the data folder, where every
// version is kept that a revision of the rules names, by digest. So what was judged by an old version is judged by it again.
type pluginStore struct {
	folder string // NAME.wasm
	kept   string // HEX.wasm

	mu   sync.Mutex // guards disk
	disk *durable.Disk
}

// maxPlugin bounds the file of a plugin.
const maxPlugin = 64 << 20

func newPluginStore(cfg *config) *pluginStore {
	return &pluginStore{folder: cfg.Plugins.Dir, kept: filepath.Join(cfg.Data, "plugins"), disk: durable.New()}
}

func (s *pluginStore) file(name string) string { return filepath.Join(s.folder, name+".wasm") }

// keptFile returns where a version is kept, or would be.
func (s *pluginStore) keptFile(digest string) string {
	return filepath.Join(s.kept, strings.TrimPrefix(digest, "sha256:")+".wasm")
}

// named returns what is in the folder under a name.
func (s *pluginStore) named(name string) (module []byte, digest string, err error) {
	module, err = readPlugin(s.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		e := cdc.Errorf(codeNoPlugin, "there is no plugin '%s': %s is not there", name, s.file(name))
		if near, ok := strictyaml.Nearest(name, s.names()); ok {
			return nil, "", e.WithFix("did you mean '%s'?", near)
		}
		return nil, "", e.WithFix("put the plugin's file there, or say where plugins are: plugins: {dir: FOLDER}")
	}
	if err != nil {
		return nil, "", cdc.Errorf(codeNoPlugin, "plugin '%s' cannot be read: %w", name, err).WithFix("let the user that runs cdcd read the file")
	}
	return module, digestOf(module), nil
}

// names returns the names of what is in the folder.
func (s *pluginStore) names() []string {
	files, err := os.ReadDir(s.folder)
	if err != nil {
		return nil // it need not be there
	}
	var names []string
	for _, f := range files {
		if name, ok := strings.CutSuffix(f.Name(), ".wasm"); ok && pluginName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names
}

// version returns the bytes of one version of a plugin, wherever they are.
func (s *pluginStore) version(name, digest string, keep bool) ([]byte, error) {
	module, err := readPlugin(s.keptFile(digest))
	if err == nil && digestOf(module) == digest {
		return module, nil
	}
	damaged := err == nil
	if module, have, err := s.named(name); err == nil && have == digest {
		if keep {
			err = s.keep(module)
		}
		return module, err
	}
	what := "is not there"
	if damaged {
		what = "is damaged"
	}
	return nil, cdc.Errorf(codeNoPlugin, "plugin %s in version %s %s: neither %s nor %s has these bytes", name, digest, what, s.keptFile(digest), s.file(name)).
		WithFix("copy that version to %s, from the folder of the cdcd that published it or from where it was built", s.keptFile(digest))
}

// keep keeps a version for as long as a revision names it.
func (s *pluginStore) keep(module []byte) error {
	file := s.keptFile(digestOf(module))
	if have, err := readPlugin(file); err == nil && digestOf(have) == digestOf(module) {
		now := time.Now()
		_ = os.Chtimes(file, now, now) // as if it were new, see prune; it may be somebody else's
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.disk.Replace(file, module, 0o640); err != nil {
		return fmt.Errorf("keep a plugin: %w", err)
	}
	return nil
}

// pruneAge is how long a version is kept that no revision names: who publishes one keeps it first.
const pruneAge = time.Hour

// prune removes versions that are not named. What cannot be removed is left to the next time.
func (s *pluginStore) prune(named map[string]bool, now time.Time) (removed int) {
	files, err := os.ReadDir(s.kept)
	if err != nil {
		return 0
	}
	for _, f := range files {
		digits, ok := strings.CutSuffix(f.Name(), ".wasm")
		info, err := f.Info()
		if ok && err == nil && len(digits) == 2*sha256.Size && !named["sha256:"+digits] && now.Sub(info.ModTime()) > pruneAge {
			if os.Remove(filepath.Join(s.kept, f.Name())) == nil {
				removed++
			}
		}
	}
	return removed
}

// readPlugin reads a file that is not larger than plugins may be.
func readPlugin(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPlugin || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file of at most %d bytes", name, maxPlugin)
	}
	return os.ReadFile(name)
}

// digestOf is the identity of a plugin's version.
func digestOf(module []byte) string {
	sum := sha256.Sum256(module)
	return "sha256:" + hex.EncodeToString(sum[:])
}
