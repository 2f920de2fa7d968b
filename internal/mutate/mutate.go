package mutate

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Mutant is a change of the source.
type Mutant struct {
	File     string // from the module's root
	From, To string // From stands once in the file
	Same     string // why it changes nothing that a test could see; "" if a test has to fail
}

// Run tries all mutants, or those whose file or text contains one of the words, with `go test` and the arguments, which name the
// packages last. It is called in the module's root, and fails when a mutant survives.
func Run(mutants []Mutant, words []string, test ...string) error {
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
		dead, how, err := try(work, m, test)
		name, from, to := filepath.Base(m.File), line(m.From), line(m.To)
		switch {
		case err != nil:
			survived++
			fmt.Printf("NOT TRIED %-12s %s → %s: %v\n", name, from, to, err)
		case dead && m.Same == "":
			killed++
			fmt.Printf("killed    %-12s %s → %s (%s)\n", name, from, to, how)
		case dead:
			survived++
			fmt.Printf("KILLED, though it is said to change nothing: %s %s → %s (%s)\n", name, from, to, how)
		case m.Same != "":
			same++
			fmt.Printf("the same  %-12s %s → %s: %s\n", name, from, to, m.Same)
		default:
			survived++
			fmt.Printf("SURVIVED  %-12s %s → %s\n", name, from, to)
		}
	}
	fmt.Printf("%d killed, %d change nothing, %d survived\n", killed, same, survived)
	if survived > 0 {
		return fmt.Errorf("the tests do not notice everything")
	}
	return nil
}

func wanted(m Mutant, words []string) bool {
	for _, w := range words {
		if strings.Contains(m.File+" "+m.From, w) {
			return true
		}
	}
	return len(words) == 0
}

// try runs the tests on a mutant and returns whether they fail, and which does.
func try(work string, m Mutant, test []string) (dead bool, how string, err error) {
	path, err := filepath.Abs(m.File)
	if err != nil {
		return false, "", err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return false, "", err
	}
	if n := strings.Count(string(text), m.From); n != 1 {
		return false, "", fmt.Errorf("%q stands there %d times", m.From, n)
	}
	broken, overlay := filepath.Join(work, filepath.Base(path)), filepath.Join(work, "overlay.json")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(text), m.From, m.To, 1)), 0o600); err != nil {
		return false, "", err
	}
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{path: broken}})
	if err != nil {
		return false, "", err
	}
	if err := os.WriteFile(overlay, replace, 0o600); err != nil {
		return false, "", err
	}
	args := append([]string{"test", "-overlay", overlay, "-failfast", "-vet=off", "-timeout", (2 * time.Minute).String()}, test...)
	out, err := exec.Command("go", args...).CombinedOutput()
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
