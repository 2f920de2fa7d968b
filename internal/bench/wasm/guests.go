package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/cdcd-project/cdcd/internal/guest"
	"github.com/cdcd-project/cdcd/internal/toolchain"
)

// modules are what is measured, as it is built from the folder guests.
type modules struct {
	noop, extism []byte
	score        map[string][]byte // by language
}

func build(work string) (*modules, error) {
	m := &modules{score: map[string][]byte{}}
	for _, language := range strings.Split(*languages, ",") {
		dir := filepath.Join(work, language)
		if err := guest.Copy(language, filepath.Join("guests", language), dir, nil); err != nil {
			return nil, err
		}
		module, err := guest.Make(language, dir, ".")
		if err != nil {
			return nil, fmt.Errorf("the filter in %s: %w", language, err)
		}
		m.score[language] = module
	}
	var err error
	if m.noop, err = clang(work, "guests/noop/noop.c"); err != nil {
		return nil, err
	}
	m.extism, err = clang(work, "guests/extism/score.c")
	return m, err
}

// clang compiles a guest that has nothing to do with our interface.
func clang(work, source string) ([]byte, error) {
	env, _, err := toolchain.Find("c")
	if err != nil {
		return nil, err
	}
	out := filepath.Join(work, filepath.Base(source)+".wasm")
	const command = `"$CLANG" --target=wasm32 -O2 -Wall -mbulk-memory -nostdlib -Wl,--no-entry,--strip-all -o "$0" "$1"`
	cmd := exec.Command("/bin/sh", "-c", command, out, source)
	cmd.Env = append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", source, err, text)
	}
	return os.ReadFile(out)
}
