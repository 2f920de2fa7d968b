package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

const people = "persons: {person: {subject: {ledger.people: id}, columns: [ledger.people.name]}}\n"

// keyring makes a keyring for all of these.
func keyring(t *testing.T, ds ...*deployment) {
	t.Helper()
	if _, stderr, code := ds[0].cdcd(t, "mask", "new-key", "persons"); code != 0 {
		t.Fatalf("mask new-key: exit code %d\n%s", code, stderr)
	}
	made := filepath.Join(ds[0].dir, "cdcd-data", "persons.json")
	for _, d := range ds[1:] {
		copied := filepath.Join(d.dir, "cdcd-data", "persons.json")
		write(t, copied, read(t, made))
		if err := os.Chmod(copied, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// nameOf returns the name that the last record of a person has in the bucket; "" if there is none.
func nameOf(t *testing.T, d *deployment, id int) (name string) {
	t.Helper()
	lines, err := delivered(d.bucket)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(lines)) {
		var record struct {
			After struct {
				ID   int
				Name string
			}
		}
		if err := json.Unmarshal([]byte(line), &record); err != nil {
			t.Fatal(err)
		}
		if record.After.ID == id {
			name = record.After.Name
		}
	}
	return name
}

// Of two processes on one bus one captures, and remembers the keys of persons; the other one erases a person.
func TestAPersonWhomTheOtherProcessErasesIsForgotten(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.people (id INT PRIMARY KEY, name VARCHAR(80), n INT)")
	bus := startNATS(t)
	first := deploy(t, db, options{nats: bus.URL, more: people})
	second := deploy(t, db, options{nats: bus.URL, more: people, bucket: first.bucket})
	both := []*deployment{first, second}
	keyring(t, both...)
	first.start(t)
	first.capturing(t)
	second.start(t)
	await(t, second, "one of them stands by", func() bool {
		for _, d := range both {
			if s, answers := d.status(t); answers && s.Capture.Standby {
				second = d
				return true
			}
		}
		return false
	})
	db.Exec(t, "INSERT INTO ledger.people VALUES (42, 'SECRET', 0)")
	await(t, first, "the person is delivered", func() bool { return nameOf(t, first, 42) != "" })
	if name := nameOf(t, first, 42); name == "erased" || strings.Contains(name, "SECRET") {
		t.Fatalf("the name is %s", name)
	}
	// The other one captures, until somebody takes it over.
	if stdout, stderr, code := second.cdcd(t, "erase", "--person", "person=42", "--reason", "asked for", "--yes"); code != 0 {
		t.Fatalf("erase: exit code %d\n%s%s\n%s", code, stdout, stderr, second.tail())
	}
	n := 0
	await(t, first, "the one that captures has heard of it", func() bool {
		n++
		db.Exec(t, fmt.Sprintf("UPDATE ledger.people SET n = %d WHERE id = 42", n))
		return nameOf(t, first, 42) == "erased"
	})
	for _, d := range both {
		d.stop(t)
	}
}

// A process that is killed while it erases a person has erased it or not begun; what it has begun it completes when it is started again.
func TestErasingSurvivesKills(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.people (id INT PRIMARY KEY, name VARCHAR(80), n INT)")
	_, random := seed(t)
	d := deploy(t, db, options{more: people})
	keyring(t, d)
	rounds := min(kills(t), 10)
	erased := 0
	for id := 1; id <= rounds; id++ {
		d.start(t)
		d.capturing(t)
		db.Exec(t, fmt.Sprintf("INSERT INTO ledger.people VALUES (%d, 'SECRET', 0)", id))
		var token string
		await(t, d, "the person is delivered", func() bool { token = nameOf(t, d, id); return token != "" })
		type outcome struct {
			text string
			code int
		}
		answered := make(chan outcome, 1)
		go func() {
			stdout, stderr, code := d.cdcd(t, "erase", "--person", fmt.Sprintf("person=%d", id), "--reason", "asked for", "--yes", "-o", "json")
			answered <- outcome{stdout + stderr, code}
		}()
		folder := filepath.Join(d.dir, "cdcd-data", "erasures")
		if id%3 > 0 { // at about the time when it is at work, or at any
			for begun := time.Now(); time.Since(begun) < 5*time.Second; {
				if left, _ := os.ReadDir(folder); len(left) > 0 {
					break
				}
			}
			time.Sleep(time.Duration(random.IntN(4000)) * time.Microsecond)
		} else {
			time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
		}
		d.kill()
		answer := <-answered

		d.start(t)
		d.capturing(t)
		await(t, d, "what was begun is done", func() bool {
			left, err := filepath.Glob(filepath.Join(folder, "*.json"))
			return err == nil && len(left) == 0
		})
		_, stderr, code := d.cdcd(t, "mask", "reveal", "ledger.people.name", token, "--person", fmt.Sprintf("person=%d", id))
		gone := strings.Contains(stderr, "was erased: the key is destroyed")
		if !gone && code != 0 {
			t.Fatalf("reveal: exit code %d\n%s", code, stderr)
		}
		if gone {
			erased++
		}
		t.Logf("person %d: erase said %d, erased %v", id, answer.code, gone)
		if answer.code == 0 && !gone {
			t.Fatalf("erase said that it is done, and the name can be read\n%s", answer.text)
		}
		leaves := map[string]bool{} // the tiles of the log overlap
		for _, leaf := range regexp.MustCompile(`"type":"erased".*?"id":"([0-9a-f]{32})"`).FindAllStringSubmatch(entries(t, d), -1) {
			leaves[leaf[1]] = true
		}
		if len(leaves) != erased {
			t.Fatalf("%d persons are erased, and the audit log has %v", erased, leaves)
		}
		d.stop(t)
	}
	d.verify(t)
}

// entries returns what is in the audit log.
func entries(t *testing.T, d *deployment) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(filepath.Join(d.dir, "cdcd-data", "audit", "tile", "entries"), func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all.WriteString(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
