package e2e

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/parquet-go/parquet-go"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

const divides = `version: 1
rules:
  - name: divides
    tables: [ledger.t]
    when: %s
    on: [insert]
    to: [acme, csv, messages, parquet, parts]
`

// Dead letters are redriven into every kind of feed: objects of S3 and files, of every container and of several chains, and
// messages; and the same stretch of the stream is replayed to S3.
func TestDeadLettersAreRedrivenIntoEveryKindOfFeed(t *testing.T) {
	t.Parallel()
	db := testenv.MariaDB(t)
	db.Exec(t, "CREATE DATABASE ledger", "CREATE TABLE ledger.t (id INT PRIMARY KEY, n INT NOT NULL)")
	store := testenv.S3(t)
	store.CreateBucket(t, "partner")
	partner := startNATS(t)
	places := t.TempDir()
	const rotate = "    rotate: {every: 100ms, rows: 500}\n"
	d := deploy(t, db, options{store: store, rules: fmt.Sprintf(divides, "100 / after.n > 0"),
		feeds: fmt.Sprintf("  csv: {to: 'file://%s/csv', format: csv, compress: none, rotate: {every: 100ms}}\n", places) +
			fmt.Sprintf("  parquet: {to: 'file://%s/parquet', format: parquet, compress: none, rotate: {every: 100ms}}\n", places) +
			fmt.Sprintf("  parts: {to: 'file://%s/parts', partitions: 2, rotate: {every: 100ms}}\n", places) +
			"  messages:\n    to: " + partner.URL + "/messages\n" + rotate})
	d.start(t)
	d.capturing(t)
	for id := range 8 {
		db.Exec(t, fmt.Sprintf("INSERT INTO ledger.t VALUES (%d, %d)", id, id%2))
	}
	feeds := []string{"acme", "csv", "messages", "parquet", "parts"}
	await(t, d, "there are four dead letters of each feed", func() bool {
		stdout, _, code := d.cdcd(t, "dlq", "list", "-o", "json")
		return code == 0 && strings.Contains(stdout, `"open": 20,`)
	})
	write(t, filepath.Join(d.dir, "rules", "all.yaml"), fmt.Sprintf(divides, "after.n == 0 || 100 / after.n > 0"))
	await(t, d, "the mended rule is in force", func() bool {
		stdout, _, _ := d.cdcd(t, "status", "-o", "json")
		return strings.Contains(stdout, `"revision": 2`)
	})
	for _, feed := range feeds {
		stdout, stderr, code := d.cdcd(t, "dlq", "redrive", group(t, d, feed), "--yes", "--reason", "mended")
		if code != 0 || !strings.Contains(stdout, "4 matches") {
			t.Fatalf("redrive of %s: exit code %d\n%s%s\n%s", feed, code, stdout, stderr, d.tail())
		}
	}
	if stdout, _, _ := d.cdcd(t, "dlq", "list"); !strings.HasPrefix(stdout, "there are no dead letters") {
		t.Errorf("dlq list: %s", stdout)
	}

	want := []string{"0", "2", "4", "6"}
	for place, got := range map[string][]string{
		"s3":       keys(t, filepath.Join(d.bucket, "redriven")),
		"parts":    keys(t, filepath.Join(places, "parts", "redriven")),
		"csv":      csvKeys(t, filepath.Join(places, "csv", "redriven")),
		"parquet":  parquetKeys(t, filepath.Join(places, "parquet", "redriven")),
		"messages": messageKeys(t, partner.URL, "MESSAGES-REDRIVEN", "messages-redriven.>"),
	} {
		if !slices.Equal(got, want) {
			t.Errorf("%s: redriven %q, want %q", place, got, want)
		}
	}
	if stdout, stderr, code := d.cdcd(t, "replay", "--into", "s3://partner/again", "--feed", "acme", "--rules", filepath.Join(d.dir, "rules"), "--yes"); code != 0 {
		t.Errorf("replay: exit code %d\n%s%s", code, stdout, stderr)
	}
	if got := keys(t, filepath.Join(store.Dir, "partner", "again", "acme")); !slices.Equal(got, []string{"0", "1", "2", "3", "4", "5", "6", "7"}) {
		t.Errorf("replayed %q, want all rows", got)
	}
	d.stop(t)
	d.verify(t)
}

// group returns the group of a feed's dead letters.
func group(t *testing.T, d *deployment, feed string) string {
	t.Helper()
	stdout, stderr, _ := d.cdcd(t, "dlq", "list", "--feed", feed)
	for line := range strings.Lines(stdout) {
		if strings.HasPrefix(line, "g") {
			return strings.Fields(line)[0]
		}
	}
	t.Fatalf("no group of %s: %s%s", feed, stdout, stderr)
	return ""
}

// keys returns the keys of the records of a chain.
func keys(t *testing.T, bucket string) (got []string) {
	t.Helper()
	all, err := delivered(bucket)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(all)) {
		_, rest, _ := strings.Cut(line, `"key":{"id":`)
		id, _, _ := strings.Cut(rest, "}")
		got = append(got, id)
	}
	return got
}

// files returns the objects of another container.
func files(t *testing.T, bucket, ext string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(bucket, "p=00", "dt=*", "*"+ext))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func csvKeys(t *testing.T, bucket string) (got []string) {
	t.Helper()
	for _, name := range files(t, bucket, ".csv") {
		rows, err := csv.NewReader(strings.NewReader(read(t, name))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		column := slices.Index(rows[0], "after_id")
		for _, row := range rows[1:] {
			got = append(got, row[max(column, 0)])
		}
	}
	return got
}

func parquetKeys(t *testing.T, bucket string) (got []string) {
	t.Helper()
	for _, name := range files(t, bucket, ".parquet") {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		rows, err := parquet.Read[struct {
			ID int32 `parquet:"after_id"`
		}](f, info.Size())
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range rows {
			got = append(got, fmt.Sprint(row.ID))
		}
	}
	return got
}

func messageKeys(t *testing.T, url, stream, subject string) (got []string) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := c.FetchNoWait(100)
	if err != nil {
		t.Fatal(err)
	}
	for m := range batch.Messages() {
		_, rest, _ := strings.Cut(string(m.Data()), `"key":{"id":`)
		id, _, _ := strings.Cut(rest, "}")
		got = append(got, id)
	}
	return got
}
