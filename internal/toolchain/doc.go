// Package toolchain finds the programs that plugins are built with, where distributions put them under names of their own.
//
//	env, version, err := toolchain.Find("rust") // RUSTC=/usr/bin/rustc …
package toolchain
