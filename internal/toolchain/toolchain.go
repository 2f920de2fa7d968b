package toolchain

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// languages finds the tools of each language, once.
var languages = map[string]func() tools{
	"assemblyscript": once(asc),
	"c":              once(clang),
	"go":             once(golang),
	"rust":           once(rust),
}

// tools is what there is of a language.
type tools struct {
	env     []string
	version string
	err     error
}

func once(find func() (env []string, version string, err error)) func() tools {
	return sync.OnceValue(func() tools {
		env, version, err := find()
		return tools{env, version, err}
	})
}

// asc takes the compiler that scripts/setup has installed.
func asc() ([]string, string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return nil, "", err
	}
	name := filepath.Join(cache, "cdcd", "asc", "node_modules", ".bin", "asc")
	version, err := output(name, "--version")
	return []string{"ASC=" + name}, version, err
}

// Languages are those that there is an SDK for.
func Languages() []string { return slices.Sorted(maps.Keys(languages)) }

// Find returns what a build has to have in its environment, and a text that changes when the tools do.
func Find(language string) (env []string, version string, err error) {
	look, ok := languages[language]
	if !ok {
		return nil, "", fmt.Errorf("there is no SDK for %s", language)
	}
	found := look()
	return slices.Clone(found.env), found.version, found.err
}

func clang() ([]string, string, error) {
	name, err := first("clang", "clang-19", "clang-18", "clang-17", "clang-16", "clang-15", "clang-14")
	if err != nil {
		return nil, "", err
	}
	version, err := output(name, "--version")
	return []string{"CLANG=" + name}, version, err
}

func golang() ([]string, string, error) {
	version, err := output("go", "version")
	return nil, version, err
}

// rust takes the compiler that has the target: where rustup's does not, a distribution's may.
func rust() ([]string, string, error) {
	var missing []error
	for _, dir := range []string{"", "/usr/bin/"} {
		libs, err := output(dir+"rustc", "--print", "target-libdir", "--target", "wasm32-unknown-unknown")
		if err == nil {
			_, err = os.Stat(libs)
		}
		if err != nil {
			missing = append(missing, err)
			continue
		}
		version, err := output(dir+"rustc", "--version")
		if err != nil {
			return nil, "", err
		}
		env := []string{"RUSTC=" + dir + "rustc"}
		if dir != "" {
			env = append(env, "PATH="+filepath.Clean(dir)+string(os.PathListSeparator)+os.Getenv("PATH"))
		}
		// Distributions leave out the linker that comes with Rust.
		if own, _ := filepath.Glob(filepath.Join(libs, "..", "..", "*", "bin", "rust-lld")); len(own) == 0 {
			linker, err := first("wasm-ld", "wasm-ld-14", "wasm-ld-19")
			if err != nil {
				return nil, "", err
			}
			env = append(env, "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="+linker)
		}
		return env, version, nil
	}
	return nil, "", fmt.Errorf("no Rust for wasm32-unknown-unknown: %w", errors.Join(missing...))
}

// first returns the first program that is there.
func first(names ...string) (string, error) {
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s is not there", names[0])
}

func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}
