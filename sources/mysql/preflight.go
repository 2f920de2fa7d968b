package mysql

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/rowimage"
)

// Verdict is the outcome of one check.
type Verdict uint8

// The verdicts, from good to bad.
const (
	OK Verdict = iota
	Warn
	Fail
)

// String returns "ok", "warn" or "fail".
func (v Verdict) String() string { return [...]string{"ok", "warn", "fail"}[v%3] }

// Finding is what one check of [Preflight] found.
type Finding struct {
	Name    string // "mysql.row_image"; the same on every server and in every version
	Verdict Verdict
	Detail  string // what was found
	Code    string // CDCD-nnnn; "" when OK
	Fix     string // the SQL statement or setting that mends it; "" when OK
}

// Preflight checks on the server everything that a capture depends on. It goes on after what fails, as far as it can.
// Its error says that it could not look at all: the server was not reached or did not let it in, which is also the
// first finding.
func Preflight(ctx context.Context, cfg Config) ([]Finding, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	selected, err := newSelection(cfg.Tables, cfg.ExcludeTables)
	if err != nil {
		return nil, err
	}
	p := &preflight{cfg: &cfg}
	p.server, err = connect(ctx, &cfg)
	if err != nil {
		var coded *cdc.Error
		errors.As(err, &coded)
		return []Finding{{Name: "mysql.connect", Verdict: Fail, Detail: coded.What, Code: coded.Code, Fix: coded.Fix}}, err
	}
	defer p.server.close()
	p.add("mysql.connect", OK, "%s answers as %s", "", "", cfg.Addr, cfg.User)
	p.version()
	if err := p.tls(); err != nil {
		return p.findings, sourceError(&cfg, err)
	}
	if err := p.readVariables(); err != nil {
		return p.findings, sourceError(&cfg, err)
	}
	p.settings()
	p.gtid()
	p.retention()
	p.whoAmI()
	p.grants()
	if err := p.tables(selected); err != nil {
		return p.findings, sourceError(&cfg, err)
	}
	return p.findings, nil
}

type preflight struct {
	cfg       *Config
	server    *server
	variables map[string]string
	account   string // user@host, for whom the server takes the connection
	grantee   string // the same as GRANT writes it
	findings  []Finding
}

func (p *preflight) add(name string, v Verdict, format, code, fix string, args ...any) {
	p.findings = append(p.findings, Finding{Name: name, Verdict: v, Detail: fmt.Sprintf(format, args...), Code: code, Fix: fix})
}

func (p *preflight) version() {
	major, minor := 8, 0
	if p.server.flavor == FlavorMariaDB {
		major, minor = 10, 5
	}
	if !versionAtLeast(p.server.version, major, minor) {
		p.add("mysql.version", Warn, "%s %s is older than %d.%d, with which column names came into the binlog", "CDCD-1211",
			"upgrade the server; until then every ALTER TABLE of a captured table needs care", p.server.flavor, p.server.version, major, minor)
		return
	}
	p.add("mysql.version", OK, "%s %s", "", "", p.server.flavor, p.server.version)
}

func (p *preflight) readVariables() error {
	rows, err := p.server.query(`SHOW GLOBAL VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format', 'binlog_row_image',
		'binlog_row_metadata', 'binlog_row_value_options', 'binlog_expire_logs_seconds', 'expire_logs_days', 'gtid_mode',
		'enforce_gtid_consistency', 'server_id', 'binlog_transaction_compression', 'log_bin_compress')`)
	if err != nil {
		return err
	}
	p.variables = map[string]string{}
	for _, row := range rows {
		p.variables[strings.ToLower(row[0])] = row[1]
	}
	return nil
}

func (p *preflight) settings() {
	// persist is how a dynamic setting outlives a restart.
	persist := "SET PERSIST"
	if p.server.flavor == FlavorMariaDB {
		persist = "SET GLOBAL"
	}
	set := func(name, value string) string { return fmt.Sprintf("%s %s = '%s'", persist, name, value) }
	expect := func(finding, variable, value, code, fix string, bad Verdict) {
		got, there := p.variables[variable]
		switch {
		case !there:
			p.add(finding, bad, "the server does not have %s", code, "upgrade the server", variable)
		case !strings.EqualFold(got, value):
			p.add(finding, bad, "%s is %s, should be %s", code, fix, variable, quoteEmpty(got), quoteEmpty(value))
		default:
			p.add(finding, OK, "%s is %s", "", "", variable, quoteEmpty(got))
		}
	}
	expect("mysql.log_bin", "log_bin", "ON", "CDCD-1201", "in the [mysqld] section: log_bin = binlog; then restart the server", Fail)
	if _, there := p.variables["binlog_format"]; there { // a later MySQL will know nothing but ROW
		expect("mysql.binlog_format", "binlog_format", "ROW", "CDCD-1202", set("binlog_format", "ROW"), Fail)
	}
	expect("mysql.row_image", "binlog_row_image", "FULL", "CDCD-1203", set("binlog_row_image", "FULL"), Fail)
	expect("mysql.row_metadata", "binlog_row_metadata", "FULL", "CDCD-1204", set("binlog_row_metadata", "FULL"), Warn)
	if p.server.flavor == FlavorMySQL {
		if _, there := p.variables["binlog_row_value_options"]; there {
			options := p.variables["binlog_row_value_options"]
			if image := p.variables["binlog_row_image"]; options != "" && !strings.EqualFold(image, "FULL") {
				p.add("mysql.row_value_options", Fail, "binlog_row_value_options is %s while binlog_row_image is %s", "CDCD-1210",
					set("binlog_row_value_options", ""), options, image)
			} else {
				p.add("mysql.row_value_options", OK, "binlog_row_value_options is %s", "", "", quoteEmpty(options))
			}
		}
	}
	if id := p.variables["server_id"]; id == "0" || id == "" {
		p.add("mysql.server_id", Fail, "server_id is 0, with which a server refuses replicas", "CDCD-1207", persist+" server_id = 1")
	} else {
		p.add("mysql.server_id", OK, "server_id is %s", "", "", id)
	}
}

func quoteEmpty(s string) string {
	if s == "" {
		return "''"
	}
	return s
}

func (p *preflight) gtid() {
	if p.server.flavor == FlavorMariaDB {
		p.add("mysql.gtid_mode", OK, "MariaDB always has GTIDs", "", "")
		return
	}
	mode, enforce := p.variables["gtid_mode"], p.variables["enforce_gtid_consistency"]
	if mode != "ON" || enforce != "ON" {
		p.add("mysql.gtid_mode", Warn, "gtid_mode is %s and enforce_gtid_consistency %s: the capture cannot go on with another replica", "CDCD-1206",
			"SET PERSIST enforce_gtid_consistency = ON; SET PERSIST gtid_mode = OFF_PERMISSIVE; SET PERSIST gtid_mode = ON_PERMISSIVE; SET PERSIST gtid_mode = ON", mode, enforce)
		return
	}
	p.add("mysql.gtid_mode", OK, "gtid_mode is ON", "", "")
}

// retention wants as much time as a weekend takes, within which a stopped capture can go on.
func (p *preflight) retention() {
	const enough = 3 * 24 * time.Hour
	var keep time.Duration
	if s, err := strconv.ParseFloat(p.variables["binlog_expire_logs_seconds"], 64); err == nil {
		keep = time.Duration(s * float64(time.Second))
	}
	if d, err := strconv.ParseFloat(p.variables["expire_logs_days"], 64); err == nil && keep == 0 {
		keep = time.Duration(d * 24 * float64(time.Hour))
	}
	switch {
	case keep == 0:
		p.add("mysql.retention", OK, "binlog files are kept until somebody deletes them", "", "")
	case keep < enough:
		fix := "SET PERSIST binlog_expire_logs_seconds = 604800"
		if p.server.flavor == FlavorMariaDB {
			fix = "SET GLOBAL binlog_expire_logs_seconds = 604800"
			if !versionAtLeast(p.server.version, 10, 6) {
				fix = "SET GLOBAL expire_logs_days = 7"
			}
		}
		p.add("mysql.retention", Warn, "binlog files are deleted after %s; a capture that stands still for longer loses changes", "CDCD-1205", fix, keep)
	default:
		p.add("mysql.retention", OK, "binlog files are kept for %s", "", "", keep)
	}
}

// whoAmI asks for which account the server takes the connection: its host need not be %.
func (p *preflight) whoAmI() {
	account, err := p.server.value("SELECT CURRENT_USER()")
	if err != nil || account == "" {
		account = p.cfg.User + "@%"
	}
	at := strings.LastIndexByte(account, '@')
	p.account, p.grantee = account, fmt.Sprintf("'%s'@'%s'", quote(account[:at]), quote(account[at+1:]))
}

// grants reads what the account may do. Rights that come through roles are seen too, where the server lists them.
func (p *preflight) grants() {
	rows, err := p.server.query("SHOW GRANTS")
	if err != nil {
		p.add("mysql.grants", Warn, "the account's rights cannot be read: %v", "CDCD-1103", "GRANT REPLICATION SLAVE ON *.* TO "+p.grantee, err)
		return
	}
	if p.server.flavor == FlavorMySQL {
		if roles, err := p.server.value("SELECT CURRENT_ROLE()"); err == nil && roles != "" && roles != "NONE" {
			if more, err := p.server.query("SHOW GRANTS FOR CURRENT_USER() USING " + roles); err == nil {
				rows = more
			}
		}
	}
	global := map[string]bool{}
	for _, row := range rows {
		privileges, target, ok := parseGrant(row[0])
		if !ok || target != "*.*" {
			continue
		}
		for _, privilege := range privileges {
			global[privilege] = true
		}
	}
	all := global["ALL PRIVILEGES"]
	monitor, monitors := "REPLICATION CLIENT", []string{"REPLICATION CLIENT"}
	if p.server.flavor == FlavorMariaDB && versionAtLeast(p.server.version, 10, 5) {
		monitor, monitors = "BINLOG MONITOR", []string{"BINLOG MONITOR", "REPLICATION CLIENT"}
	}
	need := func(finding, grant string, any ...string) {
		for _, privilege := range any {
			if all || global[privilege] {
				p.add(finding, OK, "%s has %s", "", "", p.account, privilege)
				return
			}
		}
		p.add(finding, Fail, "%s lacks %s", "CDCD-1103", "GRANT "+grant+" ON *.* TO "+p.grantee, p.account, grant)
	}
	need("mysql.grant_replication", "REPLICATION SLAVE", "REPLICATION SLAVE", "REPLICATION REPLICA")
	need("mysql.grant_monitor", monitor, monitors...)
}

// parseGrant splits "GRANT SELECT, REPLICATION SLAVE ON *.* TO …".
func parseGrant(s string) (privileges []string, target string, ok bool) {
	rest, ok := strings.CutPrefix(s, "GRANT ")
	if !ok {
		return nil, "", false
	}
	list, rest, ok := strings.Cut(rest, " ON ")
	if !ok {
		return nil, "", false
	}
	target, _, ok = strings.Cut(rest, " TO ")
	for privilege := range strings.SplitSeq(list, ",") {
		privileges = append(privileges, strings.ToUpper(strings.TrimSpace(privilege)))
	}
	return privileges, target, ok
}

// cascades looks for captured tables whose rows foreign keys change inside the storage engine: such changes are not in
// the log. MySQL has them there from 9.6 on, unless told otherwise.
func (p *preflight) cascades(tables []*cdc.Table) error {
	if p.server.flavor == FlavorMySQL && versionAtLeast(p.server.version, 9, 6) {
		rows, err := p.server.query("SHOW GLOBAL VARIABLES LIKE 'innodb_native_foreign_keys'")
		if err != nil {
			return err
		}
		if len(rows) == 0 || !strings.EqualFold(rows[0][1], "ON") {
			return nil
		}
	}
	for _, t := range tables {
		// What information_schema says of foreign keys MariaDB keeps from accounts that may only read.
		rows, err := p.server.query("SHOW CREATE TABLE " + rowimage.QuoteName(t.Schema) + "." + rowimage.QuoteName(t.Name))
		if err != nil || len(rows) == 0 {
			continue // that it cannot be read is a finding of its own
		}
		for _, key := range foreignKey.FindAllStringSubmatch(rows[0][1], -1) {
			if rules := silentRule.FindAllString(key[2], -1); len(rules) > 0 {
				p.add("mysql.cascades", Warn, "%s has a foreign key to %s with %s: what it changes is not in the binlog", "CDCD-1320",
					"drop the foreign key's rule and let the application, or a trigger, change these rows: `cdcd errors CDCD-1320`",
					t, strings.ReplaceAll(key[1], "`", ""), strings.Join(rules, ", "))
			}
		}
	}
	return nil
}

// A line of SHOW CREATE TABLE, and the rules in it that change rows of the table.
var (
	foreignKey = regexp.MustCompile(`(?m)^  CONSTRAINT .* FOREIGN KEY \(.*\) REFERENCES (.+) \(.*\)( ON .*)$`)
	silentRule = regexp.MustCompile(`ON (DELETE|UPDATE) (CASCADE|SET NULL|SET DEFAULT)`)
)

// tables checks that every pattern matches, that the matching tables can be read, and that they have keys.
func (p *preflight) tables(selected *selection) error {
	found, err := p.server.schema(selected)
	if err != nil {
		return err
	}
	for i, pattern := range selected.include {
		one := &selection{include: selected.include[i : i+1], exclude: selected.exclude}
		n := 0
		for _, t := range found {
			if one.match(t.Schema, t.Name) {
				n++
			}
		}
		if n == 0 {
			p.add("mysql.tables", Fail, "%s matches no table that %s may see: the pattern is wrong, or a grant is missing", "CDCD-1208",
				grantSelect(string(pattern.Schema), string(pattern.Table), p.grantee), p.cfg.Tables[i], p.cfg.User)
			continue
		}
		p.add("mysql.tables", OK, "%s matches %d table(s)", "", "", p.cfg.Tables[i], n)
	}
	if err := p.cascades(found); err != nil {
		return err
	}
	for _, t := range found {
		name := fmt.Sprintf("`%s`.`%s`", strings.ReplaceAll(t.Schema, "`", "``"), strings.ReplaceAll(t.Name, "`", "``"))
		if _, err := p.server.query("SELECT 1 FROM " + name + " LIMIT 0"); err != nil {
			p.add("mysql.grant_select", Fail, "%s cannot be read: %v", "CDCD-1103", "GRANT SELECT ON "+name+" TO "+p.grantee, t, err)
		}
		if len(t.Key()) == 0 {
			p.add("mysql.primary_key", Warn, "%s has no primary key: what receives its changes cannot tell its rows apart, and changes wait while a snapshot reads it", "CDCD-1209",
				"ALTER TABLE "+name+" ADD PRIMARY KEY (…)", t)
		}
	}
	return nil
}

// grantSelect is the statement that lets an account see what a pattern names. GRANT knows wildcards for schemas only.
func grantSelect(schema, table, grantee string) string {
	table = "`" + strings.ReplaceAll(table, "`", "``") + "`"
	if strings.ContainsAny(table, "*?") {
		table = "*"
	}
	if strings.ContainsAny(schema, "*?") {
		schema, table = strings.NewReplacer("_", `\_`, "%", `\%`, "*", "%", "?", "_").Replace(schema), "*"
	}
	return fmt.Sprintf("GRANT SELECT ON `%s`.%s TO %s", strings.ReplaceAll(schema, "`", "``"), table, grantee)
}
