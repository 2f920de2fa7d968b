//go:build no_console

package console

import "embed"

var pages embed.FS // nothing
