package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/bus"
	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

func newSchemaCmd(a *app) *cobra.Command {
	schema := &cobra.Command{
		Use:   "schema",
		Short: "Show the tables: what is captured, how columns are delivered, what changed",
	}
	frames := uint64(1000)
	diff := &cobra.Command{
		Use:   "diff [TABLE]",
		Short: "Compare what the binlog said last about tables with what they are now",
		Long: `Diff looks for the newest change of each captured table in the stream, which says what the table was like when the binlog
was written, and compares that with information_schema. It exits with 1 when something differs. It asks the running
cdcd, at console.listen, for its stream, or reads the stream itself when none runs.`,
		Example: `  cdcd schema diff
  cdcd schema diff shop.orders -o json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.schemaDiff(cmd, args, frames) },
	}
	diff.Flags().Uint64Var(&frames, "frames", frames, "how many of the newest frames to look at")
	schema.AddCommand(
		&cobra.Command{
			Use:   "list",
			Short: "List the tables, with their keys, and whether they are captured",
			Args:  cobra.NoArgs,
			RunE:  func(cmd *cobra.Command, _ []string) error { return a.schemaList(cmd) },
		},
		&cobra.Command{
			Use:     "show TABLE",
			Short:   "Show a table's columns and how they are delivered",
			Example: `  cdcd schema show shop.orders`,
			Args:    cobra.ExactArgs(1),
			RunE:    func(cmd *cobra.Command, args []string) error { return a.schemaShow(cmd, args[0]) },
		},
		diff,
	)
	return schema
}

// describeTables asks the server for the tables of the databases that are captured from.
func (a *app) describeTables(ctx context.Context, cfg *config) ([]mysql.Description, error) {
	if cfg.Source.MySQL == nil {
		return nil, cdc.Errorf("CDCD-1226", "the source is binlog files: there is no server to ask for its tables").
			WithFix("use a configuration with source.mysql")
	}
	server, err := serverConfig(cfg, a.env)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return mysql.Describe(ctx, server)
}

func tableInfoOf(d *mysql.Description) api.Table {
	t := api.Table{Table: d.String(), Captured: d.Captured, Key: []string{}, Columns: len(d.Columns), Rows: d.Rows}
	for _, i := range d.Key() {
		t.Key = append(t.Key, d.Table.Columns[i].Name)
	}
	for _, c := range d.Columns {
		if c.Problem != "" {
			t.Problems++
		}
	}
	return t
}

func (a *app) schemaList(cmd *cobra.Command) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	tables, err := a.describeTables(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	infos := []api.Table{}
	for i := range tables {
		infos = append(infos, tableInfoOf(&tables[i]))
	}
	return a.ui.result(kind(cmd), infos, func(w io.Writer) {
		var rows [][]string
		for _, t := range infos {
			captured, key := "captured", strings.Join(t.Key, ", ")
			switch {
			case !t.Captured:
				captured = "excluded"
			case t.Problems > 0:
				captured = "captured, " + plural(t.Problems, "problem")
			}
			if key == "" {
				key = "none"
			}
			rows = append(rows, []string{t.Table, captured, key, strconv.Itoa(t.Columns), "~" + strconv.FormatUint(t.Rows, 10)})
		}
		a.ui.table(w, []string{"TABLE", "", "KEY", "COLUMNS", "ROWS"}, rows)
	})
}

func (a *app) schemaShow(cmd *cobra.Command, name string) error {
	cfg, err := a.config()
	if err != nil {
		return err
	}
	tables, err := a.describeTables(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	names := make([]string, len(tables))
	for i := range tables {
		names[i] = tables[i].String()
	}
	if name, err = findTable(name, names); err != nil {
		return err
	}
	d := &tables[slices.Index(names, name)]
	t := tableInfoOf(d)
	t.Fields = columnInfos(d)
	return a.ui.result(kind(cmd), t, func(w io.Writer) { a.printTable(w, t) })
}

// columnInfos says what the columns of a table are, and what becomes of them.
func columnInfos(d *mysql.Description) (fields []api.Column) {
	for i, c := range d.Table.Columns {
		more := d.Columns[i]
		form := delivered(&c)
		switch more.Treatment {
		case "dropped":
			form = "dropped at the source"
		case "masked":
			form = "masked at the source"
			if at := d.Delivered.Column(c.Name); at >= 0 {
				form += ", " + delivered(&d.Delivered.Columns[at])
			}
		}
		fields = append(fields, api.Column{Name: c.Name, Type: c.Type, Kind: c.Kind.String(), Delivered: form, Nullable: c.Nullable,
			Key: int(c.Key), Charset: more.Charset, Collation: more.Collation, Members: c.Members, Problem: more.Problem, Comment: more.Comment})
	}
	return fields
}

func (a *app) printTable(w io.Writer, t api.Table) {
	captured := "captured"
	if !t.Captured {
		captured = "not captured"
	}
	fmt.Fprintf(w, "%s  %s, about %s\n\n", t.Table, captured, plural(int(t.Rows), "row"))
	var rows [][]string
	for _, c := range t.Fields {
		null, key := "not null", ""
		if c.Nullable {
			null = "null"
		}
		if c.Key > 0 {
			key = strconv.Itoa(c.Key)
		}
		rows = append(rows, []string{c.Name, c.Type, null, key, c.Collation, c.Kind, c.Delivered})
	}
	a.ui.table(w, []string{"COLUMN", "TYPE", "", "KEY", "COLLATION", "KIND", "DELIVERED AS"}, rows)
	for _, c := range t.Fields {
		if c.Problem != "" {
			fmt.Fprintf(w, "%s %s cannot be captured: %s\n", a.ui.out(red, "✗"), c.Name, c.Problem)
		}
	}
	if len(t.Key) == 0 {
		fmt.Fprintf(w, "%s no primary key: what receives its changes cannot tell its rows apart\n", a.ui.out(yellow, "⚠"))
	}
}

// delivered says in which form docs/objects.md has a column's values.
func delivered(c *cdc.Column) string {
	switch c.Kind {
	case cdc.KindInt64, cdc.KindUint64, cdc.KindBit, cdc.KindFloat64:
		return "number"
	case cdc.KindDecimal:
		return "string, exact"
	case cdc.KindString, cdc.KindEnum:
		return "string"
	case cdc.KindSet:
		return "array of strings"
	case cdc.KindBytes:
		return "string, base64"
	case cdc.KindDate:
		return "string, 2026-01-31"
	case cdc.KindTime:
		return "string, 12:00:00"
	case cdc.KindDatetime:
		return "string, 2026-01-31T12:00:00"
	case cdc.KindTimestamp:
		return "string, 2026-01-31T12:00:00Z"
	case cdc.KindJSON:
		return "the JSON value"
	case cdc.KindGeometry:
		return "{srid, wkb: base64}"
	case cdc.KindVector:
		return "array of numbers"
	}
	return "not at all"
}

// findTable returns the table of that name. A name without a schema will do when there is only one.
func findTable(name string, names []string) (string, error) {
	if slices.Contains(names, name) {
		return name, nil
	}
	var found []string
	for _, n := range names {
		if strings.HasSuffix(n, "."+name) {
			found = append(found, n)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	err := usagef("there is no table '%s'", name)
	if len(found) > 1 {
		return "", err.WithFix("there are: %s", strings.Join(found, ", "))
	}
	candidates := names
	if !strings.Contains(name, ".") {
		candidates = nil
		for _, n := range names {
			_, table, _ := strings.Cut(n, ".")
			candidates = append(candidates, table)
		}
	}
	if near, ok := strictyaml.Nearest(name, candidates); ok {
		return "", err.WithFix("did you mean '%s'?", near)
	}
	return "", err.WithFix("cdcd schema list lists the tables")
}

// loggedTable is a table as the newest change of it in the stream has it.
type loggedTable struct {
	Table  *cdc.Table `json:"table"`
	Seq    uint64     `json:"seq"`
	Commit time.Time  `json:"commit_time"`
}

// logged is what the newest frames of a stream say about tables.
type logged struct {
	Source string                 `json:"source"`
	Frames uint64                 `json:"frames"` // that were looked at
	Tables map[string]loggedTable `json:"tables"`
}

// readLogged reads the stream backwards, in growing steps, until every one of the wanted tables was found or enough
// frames were read.
func readLogged(ctx context.Context, stream *bus.Stream, source string, wanted []string, frames uint64) (*logged, error) {
	l := &logged{Source: source, Tables: map[string]loggedTable{}}
	info, err := stream.Info(ctx)
	if err != nil {
		return nil, err
	}
	missing := func() bool {
		return len(wanted) == 0 || slices.ContainsFunc(wanted, func(name string) bool { _, ok := l.Tables[name]; return !ok })
	}
	first := max(info.First, 1)
	if info.Last >= frames {
		first = max(first, info.Last-frames+1)
	}
	for end, step := info.Last, uint64(16); end >= first && end > 0 && missing(); step = min(2*step, 256) {
		begin := max(first, end-min(step, end)+1)
		newest := map[string]loggedTable{}
		if err := stream.Read(ctx, begin, end, func(_ context.Context, b *cdc.Batch) error {
			for i := range b.Len() {
				e := b.Event(i)
				if seen, ok := newest[e.Table().String()]; !ok || seen.Table != e.Table() || seen.Seq != b.Seq {
					newest[e.Table().String()] = loggedTable{e.Table(), b.Seq, e.CommitTime()}
				}
			}
			return nil
		}); err != nil {
			return nil, err
		}
		for name, t := range newest {
			if _, known := l.Tables[name]; !known {
				l.Tables[name] = t
			}
		}
		l.Frames += end - begin + 1
		end = begin - 1
	}
	return l, nil
}

// tablesInStream answers what schema diff asks a running cdcd.
func (p *pipeline) tablesInStream(w http.ResponseWriter, r *http.Request) {
	frames, err := strconv.ParseUint(r.URL.Query().Get("frames"), 10, 64)
	if err != nil {
		http.Error(w, "frames is not a number", http.StatusBadRequest)
		return
	}
	if !enter(w, &p.tails, maxTails, "too many are looking already") {
		return
	}
	defer p.tails.Add(-1)
	ctx, cancel := context.WithTimeout(r.Context(), 25*time.Second)
	defer cancel()
	l, err := readLogged(ctx, p.stream, p.cfg.Name, r.URL.Query()["table"], frames)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(l) // the client has gone away
}

// loggedTables asks the running cdcd, and reads the stream itself when there is none.
func (a *app) loggedTables(ctx context.Context, cfg *config, wanted []string, frames uint64) (*logged, error) {
	path := fmt.Sprintf("/stream/tables?frames=%d", frames)
	if len(wanted) == 1 {
		path += "&table=" + url.QueryEscape(wanted[0])
	}
	body, unanswered := askRunning(ctx, cfg, path, 30*time.Second)
	if unanswered == nil {
		defer body.Close()
		var l logged
		if err := json.NewDecoder(body).Decode(&l); err != nil {
			return nil, fmt.Errorf("tables in the stream of the running cdcd: %w", err)
		}
		return &l, nil
	}
	if !hasStream(cfg) {
		return &logged{Source: cfg.Name}, nil // nothing has run yet
	}
	stream, err := a.unattended(ctx, cfg, unanswered)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	return readLogged(ctx, stream, cfg.Name, wanted, frames)
}
