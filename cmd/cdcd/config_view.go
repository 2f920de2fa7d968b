package main

import (
	"fmt"
	"maps"
	"slices"

	"github.com/cdcd-project/cdcd/internal/mask/method"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// viewConfig is what a feed may see, whatever rules deliver to it.
type viewConfig struct {
	// Select names the columns that may be delivered, as schema.table.column; each part may hold * and ?. The default is all. The
	// primary key of a change is delivered in any case, unless drop names it.
	Select []string `yaml:"select"`
	// Drop names columns that are not delivered: schema.table.column; each part may hold * and ?.
	Drop []string `yaml:"drop"`
	// Mask names columns that are delivered masked, by method: redact, hmac, encrypt, year, month, truncate(N) or last4. Columns are
	// schema.table.column; each part may hold * and ?. Of several methods the one that gives least away counts.
	Mask map[string][]string `yaml:"mask"`
	// MaskJoin makes the masks of hmac and encrypt the same as those of other feeds that have it and as those of mask_columns, so
	// that who has two feeds can join them. Without it they are this feed's own.
	MaskJoin bool `yaml:"mask_join"`
}

func (v *validator) checkView(at []any, c *viewConfig) {
	v.checkColumns(append(at, "select"), c.Select)
	v.checkColumns(append(at, "drop"), c.Drop)
	for _, name := range slices.Sorted(maps.Keys(c.Mask)) {
		at := append(at[:len(at):len(at)], "mask", name)
		if _, err := method.Parse(name); err != nil {
			v.errs = append(v.errs, methodError(v.doc.At(at...).KeyError("CDCD-1013", fmt.Sprintf("'%s' is not a method of masking", name)), name, err))
		}
		v.checkColumns(at, c.Mask[name])
	}
}

// methodError says how to write a method.
func methodError(e *strictyaml.Error, text string, err error) *strictyaml.Error {
	if err != method.ErrUnknown {
		return e.Hint("%s", err)
	}
	if near, ok := strictyaml.Nearest(text, method.Names); ok {
		return e.Hint("did you mean '%s'?", near)
	}
	return e.Hint("one of redact, hmac, encrypt, year, month, truncate(3), last4")
}
