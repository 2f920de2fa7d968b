package dbserver

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mariaDB(t *testing.T) Program {
	p, err := Find(MariaDB)
	if err != nil {
		t.Fatalf("%v; scripts/setup installs it", err)
	}
	return p
}

func query(t *testing.T, s *Server, statement string) (rows []string) {
	t.Helper()
	conn, err := s.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	result, err := conn.Execute(statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if result.Resultset == nil {
		return nil
	}
	for i := range result.RowNumber() {
		text, err := result.GetString(i, 0)
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, text)
	}
	return rows
}

func TestFreshServerHasRootOverTheSocketAndNoOtherAccount(t *testing.T) {
	s, err := Start(t.Context(), Options{Program: mariaDB(t), Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	got := query(t, s, "SELECT CONCAT(User, '@', Host) FROM mysql.user ORDER BY 1")
	if want := "mariadb.sys@localhost root@localhost"; strings.Join(got, " ") != want {
		t.Errorf("accounts: got %v, want %s", got, want)
	}
	if s.Addr != "" || query(t, s, "SELECT @@skip_networking")[0] != "1" {
		t.Errorf("address: got %q, want none, and no TCP", s.Addr)
	}
}

func TestDataIsFoundAgainInADeepFolder(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()) // to see what is left there
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 30))
	o := Options{Program: mariaDB(t), Dir: dir, Port: -1}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	query(t, s, "CREATE DATABASE kept")
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if s, err = Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := query(t, s, "SHOW DATABASES LIKE 'kept'"); len(got) != 1 {
		t.Errorf("databases after a second start: got %v, want kept", got)
	}
	s.Kill()
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v, %v", left, err)
	}
}

func TestServerThatCannotStartSaysWhy(t *testing.T) {
	_, err := Start(t.Context(), Options{Program: mariaDB(t), Dir: t.TempDir(), Port: -1, Args: []string{"--no-such-option"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-option") {
		t.Errorf("got %v, want an error that quotes the server's log", err)
	}
}

func TestTemporaryFilesAreTheServersOwn(t *testing.T) {
	s, err := Start(t.Context(), Options{Program: mariaDB(t), Dir: t.TempDir(), Port: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	if got, want := query(t, s, "SELECT @@tmpdir")[0], s.Dir+"/tmp"; got != want {
		t.Errorf("tmpdir: got %s, want %s, which no other server tidies up", got, want)
	}
}
