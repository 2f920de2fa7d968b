//go:build !no_console

package console

import "embed"

// pages is what console/ui is built to.
//
//go:embed all:ui/dist
var pages embed.FS
