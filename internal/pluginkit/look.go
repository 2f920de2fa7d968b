package pluginkit

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Stamp tells what was in the folder of a plugin when it was looked at: its sources and tests, by name.
type Stamp map[string]stamped

type stamped struct {
	size int64
	at   time.Time
}

// Look looks at the folder of a plugin.
func Look(dir string) (Stamp, error) {
	s := Stamp{}
	note := func(name string, info fs.FileInfo) { s[name] = stamped{info.Size(), info.ModTime()} }
	p := &Project{Dir: dir, Output: filepath.Join(dir, "plugin.wasm")} // plugin.yaml may be wrong just now
	if err := p.walk(note); err != nil {
		return nil, err
	}
	tests, err := os.ReadDir(filepath.Join(dir, TestsDir))
	if err != nil {
		return s, nil // there need not be any
	}
	for _, d := range tests {
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			note(filepath.Join(TestsDir, d.Name()), info)
		}
	}
	return s, nil
}

// Changed returns the name of a file that is not as it was; "" when all are.
func (s Stamp) Changed(now Stamp) string {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if s[name] != now[name] {
			return name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s)) {
		if _, there := now[name]; !there {
			return name
		}
	}
	return ""
}

// Settled reports whether nobody has written for a moment.
func (s Stamp) Settled(now time.Time) bool {
	for _, f := range s {
		if since := now.Sub(f.at); since >= 0 && since < 100*time.Millisecond {
			return false
		}
	}
	return true
}
