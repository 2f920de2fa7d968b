package testenv

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/child"
	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/go-mysql-org/go-mysql/client"
)

// The account with exactly the rights that cdcd asks for: to read the binlog and the tables.
const (
	User     = "cdcd"
	Password = "cdcd-Secret-1"
)

const startTimeout = 2 * time.Minute

// Server is a private database server: its own data folder, socket and TCP port. It can be read as a source: row
// format, full metadata, GTIDs. Stop, Kill and Start are for one goroutine at a time, the rest for any.
type Server struct {
	Flavor  string // "mariadb" or "mysql"
	Addr    string // 127.0.0.1:port, the same after a restart
	Socket  string // unix socket
	DataDir string // where the server keeps its data and its binlog files

	db *dbserver.Server
}

// MariaDB starts a MariaDB server. Options are the server's own ("--binlog-row-image=MINIMAL") and override the
// defaults, which are chosen for a source that starts fast: it does not sync its files.
func MariaDB(t testing.TB, options ...string) *Server {
	t.Helper()
	program, err := findMariaDB()
	if err != nil {
		t.Fatalf("testenv: %v; scripts/setup installs it", err)
	}
	return start(t, program, options)
}

// MySQL starts a MySQL server, see [MariaDB].
func MySQL(t testing.TB, options ...string) *Server {
	t.Helper()
	program, err := findMySQL()
	if err != nil {
		t.Fatalf("testenv: %v; scripts/setup installs it", err)
	}
	return start(t, program, options)
}

// Each runs a test against each flavor, one after the other, as subtests named by flavor.
func Each(t *testing.T, test func(t *testing.T, s *Server), options ...string) {
	t.Helper()
	t.Run(dbserver.MariaDB, func(t *testing.T) { test(t, MariaDB(t, options...)) })
	t.Run(dbserver.MySQL, func(t *testing.T) { test(t, MySQL(t, options...)) })
}

// findMariaDB finds the installed server, with the plugins that scripts/setup unpacked if it has none of its own.
func findMariaDB() (dbserver.Program, error) {
	program, err := dbserver.Find(dbserver.MariaDB)
	if err != nil {
		return program, err
	}
	cache, err := cacheDir()
	if err != nil {
		return program, err
	}
	plugins := filepath.Join(cache, "mariadb-plugins")
	if _, err := os.Stat(plugins); err == nil {
		program.Args = append(program.Args, "--plugin-dir="+plugins)
	}
	return program, nil
}

// findMySQL finds the MySQL server that scripts/setup unpacked with debootstrap.
func findMySQL() (dbserver.Program, error) {
	tree, command, err := unpacked("usr/sbin/mysqld")
	if err != nil {
		return dbserver.Program{}, fmt.Errorf("no MySQL server: %w", err)
	}
	return dbserver.Program{
		Flavor:  dbserver.MySQL,
		Command: command,
		Args: []string{
			"--basedir=" + filepath.Join(tree, "usr"),
			"--lc-messages-dir=" + filepath.Join(tree, "usr/share/mysql"),
			"--character-sets-dir=" + filepath.Join(tree, "usr/share/mysql/charsets"),
			"--plugin-dir=" + filepath.Join(tree, "usr/lib/mysql/plugin"),
		},
	}, nil
}

// unpacked returns the command of a program in the tree of another Debian release that has MySQL; started through the
// tree's own dynamic loader it needs no chroot and no special rights.
func unpacked(name string) (tree string, command []string, err error) {
	cache, err := cacheDir()
	if err != nil {
		return "", nil, err
	}
	tree = filepath.Join(cache, "mysql-sid")
	program := filepath.Join(tree, name)
	if _, err := os.Stat(program); err != nil {
		return "", nil, err
	}
	loaders, _ := filepath.Glob(filepath.Join(tree, "usr/lib*/ld-linux-*.so.*"))
	libraries, _ := filepath.Glob(filepath.Join(tree, "usr/lib/*-linux-gnu*"))
	if len(loaders) == 0 || len(libraries) == 0 {
		return "", nil, fmt.Errorf("no dynamic loader below %s", tree)
	}
	return tree, []string{loaders[0], "--library-path", strings.Join(libraries, ":"), program}, nil
}

// Dump returns the command that writes a table to its standard output as SQL, in one transaction and without keeping rows
// in memory, by the program that the server's makers have for it; nil if that is not installed. (MySQL's cannot log in to MariaDB.)
func (s *Server) Dump(schema, table string) *exec.Cmd {
	var command []string
	if s.Flavor == dbserver.MariaDB {
		own, err := exec.LookPath("mariadb-dump")
		if err != nil {
			return nil
		}
		command = []string{own, "--no-defaults"}
	} else {
		_, own, err := unpacked("usr/bin/mysqldump")
		if err != nil {
			return nil
		}
		command = append(own, "--no-defaults", "--set-gtid-purged=OFF")
	}
	command = append(command, "--single-transaction", "--quick", "--skip-lock-tables", "--user=root", "--socket="+s.Socket, schema, table)
	return exec.Command(command[0], command[1:]...)
}

func start(t testing.TB, program dbserver.Program, options []string) *Server {
	t.Helper()
	template, err := template(program)
	if err != nil {
		t.Fatalf("testenv: prepare %s data folder: %v", program.Flavor, err)
	}
	dir := tempDir(t, program.Flavor)
	if err := copyFolder(template, filepath.Join(dir, "data")); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	options = append([]string{"--innodb-flush-method=nosync"}, options...) // killing the server loses nothing so, only a power cut does
	db, err := dbserver.Start(ctx, dbserver.Options{Program: program, Dir: dir, Args: options})
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() {
		db.Process().Signal(syscall.SIGCONT)
		db.Kill()
	})
	return &Server{Flavor: program.Flavor, Addr: db.Addr, Socket: db.Socket, DataDir: db.DataDir, db: db}
}

// template returns the data folder of which all servers of the program's version start as copies. The first caller
// makes it; the lock makes the others, in this process or in another, wait for that.
func template(program dbserver.Program) (string, error) {
	cache, err := cacheDir()
	if err != nil {
		return "", err
	}
	version, err := program.Version()
	if err != nil {
		return "", err
	}
	const recipe = "1" // to be changed whenever what is written below makes something else
	sum := sha256.Sum256([]byte(recipe + "\n" + version))
	dir := filepath.Join(cache, "testenv", fmt.Sprintf("%s-%x", program.Flavor, sum[:6]))
	ready := filepath.Join(dir, "data")
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(ready); err == nil {
		return ready, nil
	}

	making := dir + ".new"
	if err := os.RemoveAll(making); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	db, err := dbserver.Start(ctx, dbserver.Options{Program: program, Dir: making, Port: -1, Args: []string{"--skip-log-bin"}})
	if err != nil {
		return "", err
	}
	if err := errors.Join(makeAccounts(ctx, db), db.Stop()); err != nil {
		return "", err
	}
	// The server's identity: every copy shall make its own.
	if err := os.Remove(filepath.Join(making, "data/auto.cnf")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	return ready, os.Rename(making, dir)
}

func makeAccounts(ctx context.Context, db *dbserver.Server) error {
	conn, err := db.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	status := "REPLICATION CLIENT"
	if db.Program.Flavor == dbserver.MariaDB {
		status = "BINLOG MONITOR"
	}
	for _, statement := range []string{
		fmt.Sprintf("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'", User, Password),
		fmt.Sprintf("GRANT SELECT, REPLICATION SLAVE, %s ON *.* TO '%s'@'%%'", status, User),
		"CREATE USER root@127.0.0.1",
		"GRANT ALL PRIVILEGES ON *.* TO root@127.0.0.1 WITH GRANT OPTION",
	} {
		if _, err := conn.Execute(statement); err != nil {
			return fmt.Errorf("%s: %w", statement, err)
		}
	}
	return nil
}

// Conn opens a connection as root. It is closed when the test ends, if not before.
func (s *Server) Conn(t testing.TB) *client.Conn {
	t.Helper()
	conn, err := s.db.Connect(t.Context())
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// Exec executes statements as root, one after the other on one connection, and fails the test at the first error.
func (s *Server) Exec(t testing.TB, statements ...string) {
	t.Helper()
	conn, err := s.db.Connect(t.Context())
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	defer conn.Close()
	for _, statement := range statements {
		if _, err := conn.Execute(statement); err != nil {
			t.Fatalf("testenv: %s: %v", statement, err)
		}
	}
}

// Query executes a query as root and returns its rows as text; SQL NULL is "NULL".
func (s *Server) Query(t testing.TB, query string) [][]string {
	t.Helper()
	conn, err := s.db.Connect(t.Context())
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	defer conn.Close()
	result, err := conn.Execute(query)
	if err != nil {
		t.Fatalf("testenv: %s: %v", query, err)
	}
	rows := make([][]string, result.RowNumber())
	for i := range rows {
		rows[i] = make([]string, result.ColumnNumber())
		for j := range rows[i] {
			if null, _ := result.IsNull(i, j); null {
				rows[i][j] = "NULL"
			} else if rows[i][j], err = result.GetString(i, j); err != nil {
				t.Fatalf("testenv: %s: row %d column %d: %v", query, i, j, err)
			}
		}
	}
	return rows
}

// URL returns the server's address as it stands in a configuration, for [User]: "mariadb://cdcd@127.0.0.1:13306".
func (s *Server) URL() string { return s.Flavor + "://" + User + "@" + s.Addr }

// RootURL is URL for root, who has no password.
func (s *Server) RootURL() string { return s.Flavor + "://root@" + s.Addr }

// BinlogFiles returns the paths of the server's binlog files, oldest first.
func (s *Server) BinlogFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(s.DataDir, "binlog.[0-9]*"))
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	sort.Strings(files)
	return files
}

// PID returns the server's process ID.
func (s *Server) PID() int { return s.db.Process().PID() }

// Stop shuts the server down in an orderly way.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.db.Stop(); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

// Kill ends the server with SIGKILL.
func (s *Server) Kill() { s.db.Kill() }

// Start starts the server again after Stop or Kill, with its data and at its address.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := s.db.Start(ctx); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

// Pause stops the server in its tracks (SIGSTOP): its connections stay open, nothing answers.
func (s *Server) Pause(t testing.TB) { pause(t, s.db.Process()) }

// Resume ends a Pause.
func (s *Server) Resume(t testing.TB) { signal(t, s.db.Process(), syscall.SIGCONT) }

// pause returns when the process has stopped: a signal is on its way for a while.
func pause(t testing.TB, p *child.Process) {
	t.Helper()
	signal(t, p, syscall.SIGSTOP)
	for deadline := time.Now().Add(startTimeout); !stopped(p.PID()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("testenv: process %d does not stop", p.PID())
		}
	}
}

// stopped reports whether all threads of a process are stopped. Only Linux tells; elsewhere the signal must do.
func stopped(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if err != nil {
			continue // a thread that has ended
		}
		if at := strings.LastIndex(string(stat), ") "); at < 0 || stat[at+2] != 'T' {
			return false
		}
	}
	return true
}

func signal(t testing.TB, to interface{ Signal(os.Signal) error }, sig os.Signal) {
	t.Helper()
	if err := to.Signal(sig); err != nil {
		t.Fatalf("testenv: %v", err)
	}
}

// cacheDir is where scripts/setup puts what it downloads, and where prepared data folders are kept.
func cacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("the user's cache folder: %w", err)
	}
	return filepath.Join(dir, "cdcd"), nil
}

// tempDir is t.TempDir with a path short enough for a unix socket.
func tempDir(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cdcd-"+name+"-")
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	return dir
}

// copyFolder leaves the work to cp, which clones or skips holes where the file system can.
func copyFolder(from, to string) error {
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("copy %s: %w: %s", from, err, out)
	}
	return nil
}

// lock takes a lock that other processes see.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
