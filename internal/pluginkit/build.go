package pluginkit

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/toolchain"
	"github.com/cdcd-project/cdcd/wasm"
)

// Make runs the project's build command and returns what it made.
func (p *Project) Make(ctx context.Context) ([]byte, error) {
	if p.Build == "" {
		return p.Module()
	}
	if err := os.MkdirAll(filepath.Dir(p.Output), 0o755); err != nil {
		return nil, cdc.Errorf(codeBuild, "build %s: %w", p.Name, err)
	}
	began := time.Now()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", p.Build)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), toolsFor(p.Build)...)
	cmd.WaitDelay = 5 * time.Second
	out := &tail{most: 64 << 10}
	cmd.Stdout, cmd.Stderr = out, out
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		e := cdc.Errorf(codeBuild, "the build of %s failed: %w\n  %s\n%s", p.Name, err, strings.TrimSpace(p.Build), out.String())
		if hint := missingTool(out.String()); hint != "" {
			return nil, e.WithFix("%s", hint)
		}
		return nil, e.WithFix("mend what the toolchain says; `build` in %s is the command", filepath.Join(p.Dir, ProjectFile))
	}
	info, err := os.Stat(p.Output)
	switch {
	case err != nil:
		return nil, cdc.Errorf(codeBuild, "the build of %s made no %s\n  %s\n%s", p.Name, p.Output, strings.TrimSpace(p.Build), out.String()).
			WithFix("`output` in %s is the file that `build` makes, from the folder of the plugin", filepath.Join(p.Dir, ProjectFile))
	case info.ModTime().Before(began): // the toolchain found nothing to do; the module is as new as its sources all the same
		now := time.Now()
		if err := os.Chtimes(p.Output, now, now); err != nil {
			return nil, cdc.Errorf(codeBuild, "build %s: %w", p.Name, err)
		}
	}
	return p.Module()
}

// toolsFor returns what a command needs in its environment to find its tools, unless that is said there already.
func toolsFor(command string) []string {
	var env []string
	for word, language := range map[string]string{"CLANG": "c", "cargo": "rust", "RUSTC": "rust", "ASC": "assemblyscript"} {
		if !strings.Contains(command, word) {
			continue
		}
		found, _, err := toolchain.Find(language)
		if err != nil {
			continue // the command says it better
		}
		for _, v := range found {
			if name, _, _ := strings.Cut(v, "="); os.Getenv(name) == "" || name == "PATH" {
				env = append(env, v)
			}
		}
	}
	return env
}

// Store replaces the built module by another one at once.
func (p *Project) Store(module []byte) error {
	f, err := os.CreateTemp(filepath.Dir(p.Output), ".plugin-*")
	if err != nil {
		return cdc.Errorf(codeBuild, "write the plugin: %w", err)
	}
	_, err = f.Write(module)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(f.Name(), p.Output)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what counts is the first error
		return cdc.Errorf(codeBuild, "write the plugin: %w", err)
	}
	return nil
}

// How to get what toolchains need.
const (
	getGo    = "install Go 1.24 or later: https://go.dev/dl/"
	getRust  = "install Rust: https://rustup.rs and rustup target add wasm32-unknown-unknown, or on Debian apt-get install cargo rustc libstd-rust-dev-wasm32 lld"
	getWasm  = "install what rustc needs for WebAssembly: rustup target add wasm32-unknown-unknown, or on Debian apt-get install libstd-rust-dev-wasm32"
	getLLD   = "install the linker: apt-get install lld"
	getClang = "install clang with its linker for WebAssembly: apt-get install clang lld"
	getNode  = "install Node.js 20 or later: https://nodejs.org"
	getAsc   = "install the AssemblyScript compiler: npm install --no-save assemblyscript@0.28.20, in the folder of the plugin"
)

var (
	notFound = regexp.MustCompile(`([\w.+/-]+): (?:command )?not found`)
	programs = []struct{ prefix, get string }{{"go", getGo}, {"rustc", getRust}, {"cargo", getRust}, {"rustup", getRust}, {"clang", getClang},
		{"wasm-ld", getLLD}, {"rust-lld", getLLD}, {"npx", getNode}, {"npm", getNode}, {"node", getNode}, {"asc", getAsc}}
	phrases = []struct{ said, get string }{{"can't find crate for `core`", getWasm}, {"can't find crate for `std`", getWasm},
		{"target may not be installed", getWasm}, {"linker `wasm-ld", getLLD}, {"linker `rust-lld", getLLD}, {"invalid linker name", getLLD},
		{"unable to execute command: Executable \"wasm-ld", getLLD}, {"could not determine executable to run", getAsc}, {"Cannot find module 'assemblyscript", getAsc}}
)

// missingTool says what to install, if that is what is wrong.
func missingTool(said string) string {
	for _, p := range phrases {
		if strings.Contains(said, p.said) {
			return p.get
		}
	}
	m := notFound.FindStringSubmatch(said)
	if m == nil {
		return ""
	}
	name := filepath.Base(m[1])
	for _, p := range programs {
		if name == p.prefix || strings.HasPrefix(name, p.prefix+"-") {
			return p.get
		}
	}
	return fmt.Sprintf("install %s, or name another program in `build`", name)
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	text []byte
	cut  int
}

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	if n := len(t.text) - t.most; n > 0 {
		t.cut += n
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(b), nil
}

func (t *tail) String() string {
	text := string(bytes.ToValidUTF8(bytes.TrimRight(t.text, "\n"), []byte("?")))
	if t.cut > 0 {
		return fmt.Sprintf("… (%d bytes before)\n%s", t.cut, text)
	}
	return text
}

// Finish puts the manifest into what the toolchain made, vets it, and begins it once. The result is stored only if all of that went well.
func (p *Project) Finish(ctx context.Context, made []byte, e Engines) (*wasm.Info, wasm.Stats, error) {
	module, err := wasm.AppendManifest(made, p.Manifest)
	if err != nil {
		return nil, wasm.Stats{}, err
	}
	info, err := wasm.Inspect(module)
	if err != nil {
		return info, wasm.Stats{}, err
	}
	host, err := e.host(metered, nil)
	if err != nil {
		return info, wasm.Stats{}, err
	}
	defer host.Close()
	plugin, err := host.Load(ctx, module, wasm.Limits{})
	if err != nil {
		return info, wasm.Stats{}, err
	}
	if _, err := plugin.Manifest().CheckConfig(nil); err == nil { // else it cannot begin without a configuration, which tests have
		f, err := plugin.Filter(ctx, nil)
		if err != nil {
			return info, wasm.Stats{}, err
		}
		defer f.Close()
	}
	return info, plugin.Stats(), p.Store(module)
}
