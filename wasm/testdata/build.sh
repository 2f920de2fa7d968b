#!/bin/sh
# Builds the plugins that the tests of package wasm use. Their modules are committed, so that tests need no compiler.
set -eu
cd "$(dirname "$0")"
for name in guest plain; do
	clang-19 --target=wasm32 -O2 -nostdlib -mbulk-memory -Wl,--no-entry,-z,stack-size=65536 -o $name.wasm $name.c
done
