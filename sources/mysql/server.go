package mysql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// server is a connection for questions, beside the one that the log comes through.
type server struct {
	conn    *client.Conn
	flavor  string
	version string

	signature string // begins all statements, see [server.sign]
	busy      bool   // a statement was sent, and its end has not been seen

	results  *packets // reads what [server.rows] asks for
	patience time.Duration
	release  context.CancelFunc // of the connection's own context, if it has one
}

// connect connects and finds out the flavor. The connection ends with ctx. Errors are *cdc.Error.
func connect(ctx context.Context, cfg *Config) (*server, error) {
	conn, err := client.ConnectWithDialer(ctx, "", cfg.Addr, cfg.User, cfg.Password, "", cfg.dialer(ctx), func(c *client.Conn) error {
		c.ReadTimeout, c.WriteTimeout = cfg.Patience, cfg.Patience
		c.UnsetCapability(gomysql.CLIENT_QUERY_ATTRIBUTES) // parameters have another form with them
		if cfg.TLS != nil {
			c.SetTLSConfig(cfg.TLS)
		}
		return nil
	})
	if err != nil {
		return nil, connectError(cfg, err)
	}
	s := &server{conn: conn, flavor: FlavorMySQL, patience: cfg.Patience}
	if _, err := s.query("SET SESSION sql_select_limit = 18446744073709551615"); err != nil { // or lists are cut off silently
		conn.Close()
		return nil, sourceError(cfg, err)
	}
	rows, err := s.query("SELECT @@version, @@version_comment")
	if err != nil {
		conn.Close()
		return nil, sourceError(cfg, err)
	}
	s.version = rows[0][0]
	if strings.Contains(strings.ToLower(rows[0][0]+rows[0][1]), "mariadb") {
		s.flavor = FlavorMariaDB
	}
	if cfg.Flavor != "" && cfg.Flavor != s.flavor {
		conn.Close()
		return nil, cdc.Errorf("CDCD-1104", "%s is a %s server (%s), configured is %s", cfg.Addr, s.flavor, s.version, cfg.Flavor).
			WithFix("begin the source's URL with %s://", s.flavor)
	}
	return s, nil
}

func (s *server) close() {
	s.conn.Close()
	if s.release != nil {
		s.release()
	}
}

// query returns all rows as text; NULL is "".
func (s *server) query(q string, args ...any) ([][]string, error) {
	result, err := s.execute(q, args...)
	if err != nil {
		return nil, err
	}
	defer result.Close()
	rows := make([][]string, result.RowNumber())
	for i := range rows {
		rows[i] = make([]string, result.ColumnNumber())
		for j := range rows[i] {
			text, err := result.GetString(i, j)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", firstWords(q), err)
			}
			rows[i][j] = strings.Clone(text) // it lies in the result's memory, which is used again
		}
	}
	return rows, nil
}

func (s *server) execute(q string, args ...any) (*gomysql.Result, error) {
	s.busy = true
	result, err := s.conn.Execute(s.signature+q, args...)
	if s.ended(err); err != nil {
		return nil, fmt.Errorf("%s: %w", firstWords(q), err)
	}
	return result, nil
}

// ended notes that a statement has come to its end: with what was asked for, or with an error that the server has told.
func (s *server) ended(err error) {
	var my *gomysql.MyError
	s.busy = err != nil && !errors.As(err, &my)
}

// value returns the only value of a query's only row; "" if there is none.
func (s *server) value(q string, args ...any) (string, error) {
	rows, err := s.query(q, args...)
	if err != nil || len(rows) == 0 || len(rows[0]) == 0 {
		return "", err
	}
	return rows[0][0], nil
}

func firstWords(q string) string {
	if len(q) > 60 {
		return strings.Join(strings.Fields(q[:60]), " ") + "…"
	}
	return q
}

// identity returns who the server is: its UUID, or for MariaDB, which has none that lasts, "domain-server".
func (s *server) identity() (string, error) {
	if s.flavor == FlavorMariaDB {
		return s.value("SELECT CONCAT(@@gtid_domain_id, '-', @@server_id)")
	}
	return s.value("SELECT @@server_uuid")
}

// hasGTIDs reports whether every transaction has a GTID.
func (s *server) hasGTIDs() (bool, error) {
	if s.flavor == FlavorMariaDB {
		return true, nil
	}
	mode, err := s.value("SELECT @@gtid_mode")
	return mode == "ON", err
}

// end returns the present end of the server's log.
func (s *server) end(cfg *Config) (file, pos, set string, err error) {
	status, err := s.logStatus(cfg)
	if err != nil {
		return "", "", "", err
	}
	file, pos = status[0], status[1]
	if s.flavor == FlavorMariaDB {
		set, err = s.value("SELECT BINLOG_GTID_POS('" + quote(file) + "', " + pos + ")")
	} else if len(status) > 4 {
		set = oneLine(status[4])
	}
	return file, pos, set, err
}

// logStatus returns file and position of the log's end, and what else the server says with them.
func (s *server) logStatus(cfg *Config) ([]string, error) {
	statements := []string{"SHOW BINARY LOG STATUS", "SHOW MASTER STATUS"}
	if s.flavor == FlavorMariaDB {
		statements = []string{"SHOW MASTER STATUS"}
	}
	var rows [][]string
	var err error
	for _, q := range statements {
		var my *gomysql.MyError
		if rows, err = s.query(q); !errors.As(err, &my) || my.Code != gomysql.ER_PARSE_ERROR {
			break // else the server does not know the statement: it got its new name in 8.2
		}
	}
	if err != nil {
		return nil, sourceError(cfg, err)
	}
	if len(rows) == 0 {
		return nil, logBinOff(cfg)
	}
	return rows[0], nil
}

func logBinOff(cfg *Config) error {
	return cdc.Errorf("CDCD-1201", "%s writes no binlog", cfg.Addr).
		WithFix("set log_bin = binlog in the [mysqld] section of the server's configuration and restart it")
}

func quote(s string) string { return strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s) }

// sourceError turns what go-mysql says into an error with a code. An error of code CDCD-1101 is worth trying again.
func sourceError(cfg *Config, err error) error {
	var coded *cdc.Error
	if errors.As(err, &coded) {
		return err
	}
	if err := tlsError(cfg, err); err != nil {
		return err
	}
	var my *gomysql.MyError
	if errors.As(err, &my) {
		return serverSaid(cfg, my, err)
	}
	var broken *replication.EventError
	var network net.Error
	var number syscall.Errno
	switch {
	case errors.As(err, &broken):
		return cdc.Errorf("CDCD-1307", "%w", eventText(broken))
	case errors.Is(err, replication.ErrChecksumMismatch):
		return cdc.Errorf("CDCD-1307", "the log is damaged: %w", shorten(err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gomysql.ErrBadConn), errors.Is(err, net.ErrClosed),
		errors.As(err, &network), errors.As(err, &number), errors.Is(err, context.DeadlineExceeded):
		return unreachable(cfg, err)
	case strings.Contains(err.Error(), "panic"), strings.Contains(err.Error(), "invalid data size"), strings.Contains(err.Error(), "checksum"):
		return cdc.Errorf("CDCD-1307", "an event of the log cannot be decoded: %w", shorten(err))
	}
	return unreachable(cfg, err)
}

// eventText is the error of a broken event without the event.
func eventText(e *replication.EventError) error {
	return fmt.Errorf("event of type %s that ends at %d: %w", e.Header.EventType, e.Header.LogPos, shorten(errors.New(e.Err)))
}

func unreachable(cfg *Config, err error) error {
	fix := "check that the server runs and that its address is right"
	if cfg.TLS != nil && len(cfg.TLS.Certificates) > 0 && strings.Contains(err.Error(), "writeAuthHandshake") {
		fix = "if it does this at every attempt, check that the server trusts source.mysql.tls.cert_file (ssl_ca)"
	}
	return cdc.Errorf(codeUnreachable, "%s cannot be reached: %w", cfg.Addr, shorten(err)).WithFix("%s", fix)
}

// connectError is sourceError for what goes wrong while connecting.
func connectError(cfg *Config, err error) error {
	var my *gomysql.MyError
	if errors.As(err, &my) {
		switch my.Code {
		case 1044, 1045, 1130, 1698, 1820, 1862, 3118, 3955, 4151: // wrong, locked, expired, not from this host
			fix := "check user and password; the password is read from password_env or password_file"
			if cfg.TLS == nil {
				fix += "; an account that REQUIREs SSL, and on MariaDB every account where require_secure_transport is ON, is refused like this without source.mysql.tls"
			} else if len(cfg.TLS.Certificates) == 0 {
				fix += "; an account that REQUIREs X509 is refused like this without source.mysql.tls.cert_file and key_file"
			}
			return cdc.Errorf("CDCD-1102", "%s does not let %s in: %w", cfg.Addr, cfg.User, err).WithFix("%s", fix)
		}
	}
	return sourceError(cfg, err)
}

// serverSaid turns an error message of the server into one with a code.
func serverSaid(cfg *Config, my *gomysql.MyError, err error) error {
	switch my.Code {
	case 1227, 1044, 1045, 1142, 1143, 1370: // 1045 is what MySQL says to a replica without the right to be one
		return cdc.Errorf("CDCD-1103", "%s may not do this: %w", cfg.User, err).
			WithFix("GRANT REPLICATION SLAVE, REPLICATION CLIENT, SELECT ON *.* TO '%s'@'%%'", quote(cfg.User))
	case 1236, 1789, 1373:
		return dumpError(cfg, my, err)
	}
	return unreachable(cfg, err)
}

// dumpError tells apart why the server does not send its log: 1236 is its only number for all reasons.
func dumpError(cfg *Config, my *gomysql.MyError, err error) error {
	text := strings.ToLower(my.Message)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case has("purged", "could not find first log file", "too old", "could not find next log"):
		return purged(cfg, err)
	case has("more gtids than", "not in the master's binlog", "impossible position", "missing the gtid", "diverged", "alternate history"):
		return cdc.Errorf("CDCD-1302", "%s does not have the transactions that the stream has: %w", cfg.Addr, err).
			WithFix("point the source at the server that the stream was captured from, or at a replica of it; `cdcd resync` begins a new epoch and leaves behind what differs")
	case has("same server_uuid", "same server_id", "same server id"):
		return cdc.Errorf("CDCD-1105", "another replica of %s has server_id %d: %w", cfg.Addr, cfg.ServerID, err).
			WithFix("leave server_id out of the configuration, then each capture takes its own")
	case has("shutdown", "killed", "interrupted"):
		return unreachable(cfg, err)
	}
	return cdc.Errorf("CDCD-1307", "%s cannot send its binlog: %w", cfg.Addr, err)
}

func purged(cfg *Config, err error) error {
	e := cdc.Errorf("CDCD-1301", "%s has deleted binlog files that were not read yet", cfg.Addr).
		WithFix("restore the files, or point the source at a replica that still has them; `cdcd resync` begins a new epoch, without the changes in between")
	e.Err = err
	if err != nil {
		e.What += ": " + err.Error()
	}
	return e
}

// The codes by which something is decided.
const (
	codeUnreachable = "CDCD-1101" // the server cannot be reached: try again
	codeNoTable     = "CDCD-1342" // there is no such table
	codesOfSettings = "CDCD-12"   // what they begin with: the source is set up otherwise than the configuration asks for
)

// Unsuitable reports whether err says that the server, which could be asked, is not what the configuration asks for.
func Unsuitable(err error) bool { return strings.HasPrefix(cdc.CodeOf(err), codesOfSettings) }

// permanent reports that trying again will not help.
func permanent(err error) bool {
	if code := cdc.CodeOf(err); code != "" {
		return code != codeUnreachable
	}
	var handler *handlerError
	return errors.As(err, &handler)
}

// versionAtLeast compares the beginning of a version such as "10.11.19-MariaDB".
func versionAtLeast(version string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(version, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}

func splitList(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

// shorten cuts the dumps that go-mysql puts into its errors.
func shorten(err error) error {
	text := err.Error()
	if len(text) <= 300 {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:300], "") + "…")
}

// textOf returns a column of a row by its name, "" where it is NULL or there is no such column. It stays good when the result
// is closed.
func textOf(result *gomysql.Result, row int, column string) string {
	at, ok := result.FieldNames[column]
	if !ok {
		return ""
	}
	s, err := result.GetString(row, at)
	if err != nil {
		return ""
	}
	return strings.Clone(s)
}
