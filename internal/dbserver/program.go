package dbserver

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The flavors of server.
const (
	MariaDB = "mariadb"
	MySQL   = "mysql"
)

// Program is an installed database server.
type Program struct {
	Flavor  string   // MariaDB or MySQL
	Command []string // the server program, with what must stand before its first option
	Args    []string // options that the installation needs, e.g. --basedir
}

// Find looks for an installed server of one of the flavors, in the order given (any, if none is given): on PATH, then
// in the folders where packages put servers.
func Find(flavors ...string) (Program, error) {
	if len(flavors) == 0 {
		flavors = []string{MariaDB, MySQL}
	}
	for _, flavor := range flavors {
		names := []string{"mysqld"}
		if flavor == MariaDB {
			names = []string{"mariadbd", "mysqld"}
		}
		for _, name := range names {
			path, ok := lookPath(name)
			if !ok {
				continue
			}
			p := Program{Flavor: flavor, Command: []string{path}}
			version, err := p.Version()
			if err == nil && strings.Contains(version, "MariaDB") == (flavor == MariaDB) {
				return p, nil
			}
		}
	}
	return Program{}, fmt.Errorf("no %s server found on PATH, /usr/sbin or /usr/local", strings.Join(flavors, " or "))
}

// lookPath is exec.LookPath that also knows the folders of servers, which are rarely on a user's PATH.
func lookPath(name string) (string, bool) {
	if path, err := exec.LookPath(name); err == nil {
		path, err = filepath.Abs(path)
		return path, err == nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/local/mysql/bin",
		"/opt/homebrew/bin", "/usr/libexec"} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, true
		}
	}
	return "", false
}

// Version returns the line that the server prints about itself.
func (p Program) Version() (string, error) {
	out, err := p.command(context.Background(), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s --version: %w", strings.Join(p.Command, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

func (p Program) command(ctx context.Context, args ...string) *exec.Cmd {
	argv := append(append([]string{}, p.Command...), args...)
	return exec.CommandContext(ctx, argv[0], argv[1:]...)
}

// initialise makes a fresh data folder with one account, root@localhost, without a password. Temporary files go to
// tempDir.
func (p Program) initialise(ctx context.Context, dataDir, tempDir string) error {
	var cmd *exec.Cmd
	switch p.Flavor {
	case MariaDB:
		script, ok := lookPath("mariadb-install-db")
		if !ok {
			if script, ok = lookPath("mysql_install_db"); !ok {
				return fmt.Errorf("mariadb-install-db not found: it comes with the server's package")
			}
		}
		cmd = exec.CommandContext(ctx, script, append([]string{"--no-defaults", "--datadir=" + dataDir, "--skip-test-db",
			"--auth-root-authentication-method=normal", "--innodb-log-file-size=8M"}, userOption()...)...)
	default:
		cmd = p.command(ctx, append(append([]string{"--no-defaults"}, p.Args...), append([]string{
			"--initialize-insecure", "--datadir=" + dataDir, "--innodb-redo-log-capacity=16M"}, userOption()...)...)...)
	}
	cmd.Env = tempEnv(tempDir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise data folder %s: %w\n%s", dataDir, err, out)
	}
	if p.Flavor != MariaDB {
		return nil
	}
	// MariaDB makes more accounts than root@localhost: anonymous ones, and root over TCP.
	cmd = p.command(ctx, append([]string{"--no-defaults", "--bootstrap", "--datadir=" + dataDir,
		"--innodb-log-file-size=8M"}, userOption()...)...)
	cmd.Env = tempEnv(tempDir)
	cmd.Stdin = strings.NewReader("DELETE FROM mysql.global_priv WHERE User = '' OR (User = 'root' AND Host <> 'localhost');\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("remove accounts from %s: %w\n%s", dataDir, err, out)
	}
	return nil
}

// userOption lets a server run as root where we are root: servers refuse that unless told.
func userOption() []string {
	if os.Geteuid() == 0 {
		return []string{"--user=root"}
	}
	return nil
}

// settings are what cdcd asks of a source, and small sizes, since these servers hold little and shall start fast.
func (p Program) settings() []string {
	s := []string{
		"--log-bin=binlog", "--binlog-format=ROW", "--binlog-row-image=FULL", "--binlog-row-metadata=FULL",
		"--sync-binlog=0", "--innodb-flush-log-at-trx-commit=2", "--innodb-buffer-pool-size=64M",
		"--character-set-server=utf8mb4", "--skip-name-resolve", "--bind-address=127.0.0.1",
	}
	if p.Flavor == MariaDB {
		return append(s, "--gtid-strict-mode=ON", "--innodb-log-file-size=8M")
	}
	return append(s, "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF", "--secure-file-priv=",
		"--innodb-redo-log-capacity=16M")
}
