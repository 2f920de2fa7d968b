package deptest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Linked returns a sentence for each banned import path at or below which pkg links a package, tests not counted.
// banned says why, by path. dir is any directory of the module.
func Linked(t testing.TB, dir, pkg string, banned map[string]string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports", pkg)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("deptest: go list -deps %s: %v\n%s", pkg, err, stderr.Bytes())
	}
	imports := map[string][]string{}
	last := "" // dependencies come before what depends on them
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("deptest: go list -deps %s: %v", pkg, err)
		}
		imports[p.ImportPath], last = p.Imports, p.ImportPath
	}

	var found []string
	ways := map[string][]string{last: {last}}
	for queue := []string{last}; len(queue) > 0; queue = queue[1:] {
		way := ways[queue[0]]
		for root, why := range banned {
			if len(way) == 1 || !within(queue[0], root) || len(way) > 2 && within(way[len(way)-2], root) {
				continue // pkg itself, allowed, or told already
			}
			found = append(found, fmt.Sprintf("%s links %s (%s), but must not: %s", pkg, queue[0], strings.Join(way, " → "), why))
		}
		for _, next := range imports[queue[0]] {
			if ways[next] == nil {
				ways[next] = append(slices.Clone(way), next)
				queue = append(queue, next)
			}
		}
	}
	slices.Sort(found)
	return found
}

func within(pkg, root string) bool { return pkg == root || strings.HasPrefix(pkg, root+"/") }

// Room says what a package may import of its own module.
type Room struct {
	May []string // paths below the module, or "*" for all
	Why string
}

// Crossed returns a sentence for each import between packages of the module in dir that rooms does not allow, and for
// each package that it does not know. The keys of rooms are paths below the module; "a/*" is for all below a that have
// no line of their own. Tests and what is in testdata may import what they like. Other modules below dir are left out.
func Crossed(t testing.TB, dir, module string, rooms map[string]Room) []string {
	t.Helper()
	imports := map[string][]string{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != dir && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") ||
				d.Name() == "testdata" || d.Name() == "node_modules" || exists(filepath.Join(name, "go.mod"))) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, filepath.Dir(name))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(rel)
		imports[pkg] = append(imports[pkg], "")
		for _, i := range f.Imports {
			if p, err := strconv.Unquote(i.Path.Value); err == nil && within(p, module) {
				imports[pkg] = append(imports[pkg], strings.TrimPrefix(strings.TrimPrefix(p, module), "/"))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("deptest: %v", err)
	}
	if len(imports) == 0 {
		t.Fatalf("deptest: no Go file below %s", dir)
	}

	var found []string
	for pkg, list := range imports {
		room, known := rooms[pkg]
		for up := path.Dir(pkg); !known && up != "."; up = path.Dir(up) {
			room, known = rooms[up+"/*"]
		}
		if !known {
			found = append(found, fmt.Sprintf("package %s is not in the table: say what it may import, and why", pkg))
			continue
		}
		slices.Sort(list)
		for _, p := range slices.Compact(list) {
			if p != "" && !slices.Contains(room.May, p) && !slices.Contains(room.May, "*") {
				found = append(found, fmt.Sprintf("package %s imports %s, but must not: %s", pkg, p, room.Why))
			}
		}
	}
	slices.Sort(found)
	return found
}

func exists(name string) bool {
	matches, _ := filepath.Glob(name)
	return len(matches) > 0
}
