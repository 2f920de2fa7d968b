package main

import (
	"bytes"
	"crypto/sha256"
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
	"github.com/cdcd-project/cdcd/internal/plugindist"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/wasm"
)

// codeNoPlugin: the bytes of a plugin are not there.
const codeNoPlugin = "CDCD-2508"

// pluginStore finds the bytes of plugins: in the folder where people put them, by name, and in the data folder, where every
// version is kept that a revision of the rules names, by digest. So what was judged by an old version is judged by it again.
type pluginStore struct {
	folder  string // NAME.wasm
	kept    string // HEX.wasm
	trusted func() ([]plugindist.Key, error)

	mu   sync.Mutex // guards disk
	disk *durable.Disk
}

// pluginFile is what is in a file, and the signature beside it.
type pluginFile struct {
	file      string
	module    []byte
	digest    string
	signature []byte // nil: there is none
}

// maxPlugin bounds the file of a plugin.
const maxPlugin = 64 << 20

func newPluginStore(cfg *config) *pluginStore {
	return &pluginStore{folder: cfg.Plugins.Dir, kept: filepath.Join(cfg.Data, "plugins"), disk: durable.New(),
		trusted: func() ([]plugindist.Key, error) { return trustedKeys(cfg.Plugins.TrustedKeys) }} // anew each time: a key may be taken back
}

func (s *pluginStore) file(name string) string { return filepath.Join(s.folder, name+".wasm") }

// keptFile returns where a version is kept, or would be.
func (s *pluginStore) keptFile(digest string) string {
	return filepath.Join(s.kept, strings.TrimPrefix(digest, "sha256:")+".wasm")
}

// named returns what is in the folder under a name, if it is trusted.
func (s *pluginStore) named(name string) (*pluginFile, error) {
	p, err := s.inFolder(name)
	if err == nil {
		err = s.vouched(p)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (s *pluginStore) inFolder(name string) (*pluginFile, error) {
	p, err := readSigned(s.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		e := cdc.Errorf(codeNoPlugin, "there is no plugin '%s': %s is not there", name, s.file(name))
		if near, ok := strictyaml.Nearest(name, s.names()); ok {
			return nil, e.WithFix("did you mean '%s'?", near)
		}
		return nil, e.WithFix("put the plugin's file there, or say where plugins are: plugins: {dir: FOLDER}")
	}
	if err != nil {
		return nil, cdc.Errorf(codeNoPlugin, "plugin '%s' cannot be read: %w", name, err).WithFix("let the user that runs cdcd read the file")
	}
	return p, nil
}

// vouched says whether a trusted key has signed a plugin, or there are none.
func (s *pluginStore) vouched(p *pluginFile) error {
	keys, err := s.trusted()
	if err != nil || len(keys) == 0 {
		return err
	}
	about, err := readAbout(p.file, p.module)
	if err != nil {
		return err
	}
	_, err = plugindist.Verify(p.module, p.signature, about.Name, about.Version, keys)
	var refused *cdc.Error
	if errors.As(err, &refused) {
		return refused.WithFix("plugins.trusted_keys lets in what one of them has signed, with the signature in %s: "+
			"`cdcd plugin pull` puts it there, `cdcd plugin sign` makes it", p.file+plugindist.SignatureSuffix)
	}
	return err
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
func (s *pluginStore) version(name, digest string, keep bool) (*pluginFile, error) {
	kept, err := readSigned(s.keptFile(digest))
	damaged := err == nil && kept.digest != digest
	var refused error
	if err == nil && !damaged {
		if refused = s.vouched(kept); refused == nil {
			return kept, nil
		}
	}
	if p, err := s.inFolder(name); err == nil && p.digest == digest {
		if refused = s.vouched(p); refused == nil {
			if keep {
				err = s.keep(p)
			}
			return p, err
		}
	}
	if refused != nil {
		return nil, refused
	}
	what := "is not there"
	if damaged {
		what = "is damaged"
	}
	return nil, cdc.Errorf(codeNoPlugin, "plugin %s in version %s %s: neither %s nor %s has these bytes", name, digest, what, s.keptFile(digest), s.file(name)).
		WithFix("copy that version to %s, from the folder of the cdcd that published it or from where it was built", s.keptFile(digest))
}

// keep keeps a version, with its signature, for as long as a revision names it.
func (s *pluginStore) keep(p *pluginFile) error {
	file := s.keptFile(p.digest)
	have, err := readSigned(file)
	same := err == nil && have.digest == p.digest
	if same && (p.signature == nil || bytes.Equal(have.signature, p.signature)) {
		now := time.Now()
		_ = os.Chtimes(file, now, now) // as if it were new, see prune; it may be somebody else's
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err = nil
	if p.signature != nil {
		err = s.disk.Replace(file+plugindist.SignatureSuffix, p.signature, 0o640)
	}
	if err == nil {
		err = s.disk.Replace(file, p.module, 0o640)
	}
	if err != nil {
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
			file := filepath.Join(s.kept, f.Name())
			if os.Remove(file) == nil {
				removed++
				_ = os.Remove(file + plugindist.SignatureSuffix) // it may have none
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

// readSigned reads the file of a plugin, and the signature beside it.
func readSigned(name string) (*pluginFile, error) {
	module, err := readPlugin(name)
	if err != nil {
		return nil, err
	}
	p := &pluginFile{file: name, module: module, digest: wasm.Digest(module)}
	p.signature, err = os.ReadFile(name + plugindist.SignatureSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("its signature: %w", err)
	}
	return p, nil
}
