// Package guest builds plugins for tests, with the toolchains of their languages: those in sdk, or one that a test makes.
//
//	module := guest.Module(t, "rust", "tck") // sdk/rust/tck, with its manifest
//
// A module is built once and kept in the user's cache folder, under what it is made of: the sources, the SDK's, and the versions of
// the tools. scripts/setup installs them.
package guest
