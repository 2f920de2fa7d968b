// Command mutate judges the tests of package match: it breaks the package in one place after the other and runs the tests
// on each broken copy. A change that no test notices is reported, unless the list says why it changes nothing.
//
//	go run ./internal/match/mutate
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// mutant is a change of the package's source.
type mutant struct {
	file, from, to string // from stands once in the file
	same           string // why it changes nothing that a test could see; "" if a test has to fail
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// run tries all mutants, or those whose file or text contains one of the words.
func run(words []string) error {
	dir, err := exec.Command("go", "list", "-f", "{{.Dir}}", "./internal/match").Output()
	if err != nil {
		return fmt.Errorf("find package match from the module's root: %w", err)
	}
	source := strings.TrimSpace(string(dir))
	work, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	killed, same, survived := 0, 0, 0
	for _, m := range mutants {
		if !wanted(m, words) {
			continue
		}
		dead, how, err := try(source, work, m)
		switch {
		case err != nil:
			survived++
			fmt.Printf("NOT TRIED %-12s %s → %s: %v\n", m.file, line(m.from), line(m.to), err)
		case dead && m.same == "":
			killed++
			fmt.Printf("killed    %-12s %s → %s (%s)\n", m.file, line(m.from), line(m.to), how)
		case dead:
			survived++
			fmt.Printf("KILLED, though it is said to change nothing: %s %s → %s (%s)\n", m.file, line(m.from), line(m.to), how)
		case m.same != "":
			same++
			fmt.Printf("the same  %-12s %s → %s: %s\n", m.file, line(m.from), line(m.to), m.same)
		default:
			survived++
			fmt.Printf("SURVIVED  %-12s %s → %s\n", m.file, line(m.from), line(m.to))
		}
	}
	fmt.Printf("%d killed, %d change nothing, %d survived\n", killed, same, survived)
	if survived > 0 {
		return fmt.Errorf("the tests do not notice everything")
	}
	return nil
}

func wanted(m mutant, words []string) bool {
	for _, w := range words {
		if strings.Contains(m.file+" "+m.from, w) {
			return true
		}
	}
	return len(words) == 0
}

// try runs the tests on a mutant and returns whether they fail, and which does.
func try(source, work string, m mutant) (dead bool, how string, err error) {
	path := filepath.Join(source, m.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return false, "", err
	}
	if n := strings.Count(string(text), m.from); n != 1 {
		return false, "", fmt.Errorf("%q stands there %d times", m.from, n)
	}
	broken, overlay := filepath.Join(work, m.file), filepath.Join(work, "overlay.json")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), m.from, m.to, 1)), 0o600); err != nil {
		return false, "", err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: broken}})
	if err != nil {
		return false, "", err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return false, "", err
	}
	out, err := exec.Command("go", "test", "-overlay", overlay, "-failfast", "-vet=off", "-timeout", (2 * time.Minute).String(), "./internal/match").CombinedOutput()
	if err == nil {
		return false, "", nil
	}
	for l := range strings.Lines(string(out)) {
		if l = strings.TrimSpace(l); strings.HasPrefix(l, "--- FAIL: ") || strings.HasPrefix(l, "panic: ") {
			how, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimPrefix(l, "--- FAIL: "), "panic: "), " (")
			return true, how, nil
		}
	}
	return false, "", fmt.Errorf("the tests cannot be built:\n%s", out)
}

// line returns a text on one line.
func line(s string) string { return strings.Join(strings.Fields(s), " ") }
