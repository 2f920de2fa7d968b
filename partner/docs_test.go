package partner_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/webhooksig"
	"github.com/cdcd-project/cdcd/sinks/file"
)

// The Python in docs/partner.md does what the page says.
func TestTheLinesOfPythonInTheDocumentsWork(t *testing.T) {
	page, err := os.ReadFile("../docs/partner.md")
	if err != nil {
		t.Fatal(err)
	}
	var program strings.Builder
	for _, block := range regexp.MustCompile("(?s)```python\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		program.WriteString(block[1])
	}
	dir := t.TempDir()
	s, err := file.Open(file.Config{URL: "file://" + dir})
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, 0, 12, func(o cdc.Object, body []byte, meta map[string]string) {
		if o.Prev == "" {
			delete(meta, "cdcd-prev-sha256")
		}
		if _, err := s.Put(t.Context(), o.Key, body, meta); err != nil {
			t.Fatal(err)
		}
	})
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	key, err := webhooksig.ParseKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	headers := fmt.Sprintf(`{"webhook-id": "id", "webhook-timestamp": "%d", "webhook-signature": "v1,AAAA %s"}`, now.Unix(), webhooksig.Sign("id", now, []byte("{}"), key))
	fmt.Fprintf(&program, `
verify(%[1]s, b"{}", %[2]q)
try:
    verify(%[1]s, b"{ }", %[2]q)
    print("another body was taken")
except ValueError as e:
    print(e)
print(check(%[3]q))
`, headers, secret, dir)
	run := func() string {
		cmd := exec.Command("python3", "-")
		cmd.Stdin = strings.NewReader(program.String())
		out, _ := cmd.CombinedOutput() // what it prints says it
		return string(out)
	}
	if got, want := run(), "not signed by who we know\n12\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	objects, _ := filepath.Glob(filepath.Join(dir, "p=00", "dt=*", "*"))
	if err := os.Chmod(objects[3], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(objects[3], []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(); !strings.Contains(got, "AssertionError: changed: p=00/") {
		t.Errorf("a changed object: got %s", got)
	}
}
