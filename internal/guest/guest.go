package guest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/cdcd-project/cdcd/internal/toolchain"
)

// Languages are those that there is an SDK for.
func Languages() []string { return toolchain.Languages() }

// SDK returns the folder of a language's SDK.
func SDK(language string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "sdk", language)
}

// Module returns the module of a plugin in the language's SDK, with its manifest: "tck", "examples/paid-orders".
func Module(t testing.TB, language, plugin string) []byte {
	t.Helper()
	module, err := Make(language, SDK(language), filepath.FromSlash(plugin))
	if err != nil {
		t.Fatalf("guest: %s in %s: %v", plugin, language, err)
	}
	return module
}

// Template returns the folder of a new plugin as its author gets it: the language's template under this name, with the SDK in the
// folder cdcd.
func Template(t testing.TB, language, name string) string {
	t.Helper()
	dir := t.TempDir()
	named := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("{{name}}"), []byte(name)) }
	if err := Copy(language, filepath.Join(SDK(language), "template"), dir, named); err != nil {
		t.Fatalf("guest: %v", err)
	}
	return dir
}

// Copy copies a plugin to where it needs nothing beside it: with the SDK in the folder cdcd. Its files are changed by change, if that is
// not nil.
func Copy(language, from, to string, change func([]byte) []byte) error {
	if err := copyTree(from, to, nil, change); err != nil {
		return err
	}
	return copyTree(SDK(language), filepath.Join(to, "cdcd"), others(""), nil)
}

// Build returns the module of the plugin in a folder that needs nothing beside it.
func Build(t testing.TB, language, dir string) []byte {
	t.Helper()
	module, err := Make(language, dir, ".")
	if err != nil {
		t.Fatalf("guest: %s: %v", language, err)
	}
	return module
}

// Compiled returns a folder where tests may keep what a host has compiled: wasm.Config.Dir.
func Compiled(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("guest: %v", err)
	}
	return filepath.Join(cache, "cdcd", "guests", "compiled")
}

// Make returns the module of the plugin in a folder of root, which holds all that the build needs. It is for programs; tests have
// [Module] and [Build].
func Make(language, root, plugin string) ([]byte, error) {
	env, version, err := toolchain.Find(language)
	if err != nil {
		return nil, fmt.Errorf("%w; scripts/setup installs it", err)
	}
	left := others(plugin)
	key, err := digest(root, left, version, plugin)
	if err != nil {
		return nil, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	kept := filepath.Join(cache, "cdcd", "guests", key+".wasm")
	if module, err := os.ReadFile(kept); err == nil {
		return module, nil
	}

	work, err := os.MkdirTemp("", "cdcd-guest-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if err := copyTree(root, work, left, nil); err != nil {
		return nil, err
	}
	module, err := run(filepath.Join(work, plugin), env)
	if err != nil {
		return nil, err
	}
	return module, keep(kept, module)
}

// run runs the build command of the plugin in dir and returns what it makes, with the manifest.
func run(dir string, env []string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, "plugin.yaml"))
	if err != nil {
		return nil, err
	}
	var project map[string]any
	if err := yaml.Unmarshal(text, &project); err != nil {
		return nil, err
	}
	command, _ := project["build"].(string)
	output, _ := project["output"].(string)
	delete(project, "build")
	delete(project, "output")
	project["abi"] = "cdc1"
	manifest, err := json.Marshal(project)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/bin/sh", "-c", command)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "CARGO_TARGET_DIR=") }) // the output is looked for here
	cmd.Env = append(append(cmd.Env, "CARGO_NET_OFFLINE=true", "GOFLAGS=-trimpath", "GOWORK=off", "GOENV=off"), env...) // the same everywhere
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s\n%s", err, command, out)
	}
	module, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(output)))
	if err != nil {
		return nil, err
	}
	return withManifest(module, manifest), nil
}

// withManifest appends the custom section cdc.manifest.
func withManifest(module, manifest []byte) []byte {
	const name = "cdc.manifest"
	section := append(append(leb128(len(name)), name...), manifest...)
	return append(append(append(module, 0), leb128(len(section))...), section...)
}

func leb128(n int) []byte {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(b, byte(n))
}

func keep(file string, module []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(module)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), file)
}

// others tells what in an SDK is not needed to build a plugin of it: other plugins, tests, and what was built.
func others(plugin string) func(name string) bool {
	plugin = filepath.ToSlash(plugin)
	return func(name string) bool {
		switch base := path.Base(name); {
		case base == "target", base == "node_modules", base == "Cargo.lock", strings.HasSuffix(base, ".wasm"), strings.HasSuffix(base, "_test.go"):
			return true
		case name == "template", name == "tck", name == "tests", strings.HasPrefix(name, "examples/"):
			return name != plugin && !strings.HasPrefix(name, plugin+"/")
		}
		return false
	}
}

// digest is of all files below root that are not left out, and of what else the module depends on.
func digest(root string, leftOut func(name string) bool, more ...string) (string, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", more)
	err := walk(root, leftOut, func(name string, data []byte) error {
		fmt.Fprintf(h, "%q %d\n%s", name, len(data), data)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// copyTree copies files below a folder, changed by change if it is not nil.
func copyTree(from, to string, leftOut func(name string) bool, change func([]byte) []byte) error {
	return walk(from, leftOut, func(name string, data []byte) error {
		file := filepath.Join(to, filepath.FromSlash(strings.TrimSuffix(name, ".txt"))) // a go.mod would hide a template from its SDK
		if change != nil {
			data = change(data)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, data, 0o644)
	})
}

func walk(root string, leftOut func(name string) bool, visit func(name string, data []byte) error) error {
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if leftOut != nil && leftOut(name) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		return visit(name, data)
	})
}
