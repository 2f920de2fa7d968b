//go:build !linux

package apart

import "os"

func self() string {
	name, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return name
}

// confine leaves it at the time that Run waits.
func confine(Limits) error { return nil }
