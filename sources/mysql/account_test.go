package mysql_test

import (
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// Every way to show a password that the servers know by default, without TLS and with it.
func TestPasswords(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, flavor string
		create       []string
	}{
		{"caching_sha2_password", "mysql", []string{"CREATE USER other@'%' IDENTIFIED WITH caching_sha2_password BY 'Secret-1'"}},
		{"mysql_native_password", "mariadb", []string{"CREATE USER other@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('Secret-1')"}},
		{"ed25519", "mariadb", []string{"INSTALL SONAME 'auth_ed25519'", "CREATE USER other@'%' IDENTIFIED VIA ed25519 USING PASSWORD('Secret-1')"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			start := map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}[test.flavor]
			ca := testenv.NewAuthority(t)
			cert, key := ca.Server(t, time.Now().Add(time.Hour), "127.0.0.1")
			s := start(t, "--ssl-ca="+ca.File, "--ssl-cert="+cert, "--ssl-key="+key)
			s.Exec(t, test.create...)
			s.Exec(t, "GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO other@'%'", "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)")
			for i, protect := range []mysql.TLS{{}, {Mode: mysql.TLSVerifyIdentity, CAFile: ca.File}} {
				cfg := config(s)
				cfg.User, cfg.Password = "other", "Secret-1"
				var err error
				if cfg.TLS, err = protect.Config(cfg.Addr); err != nil {
					t.Fatal(err)
				}
				s.Exec(t, "FLUSH PRIVILEGES") // MySQL forgets which passwords it has seen: the whole exchange, then the short one
				r := begin(t, cfg, cdc.Checkpoint{}, nil)
				s.Exec(t, []string{"INSERT INTO shop.a VALUES (1)", "INSERT INTO shop.a VALUES (2)"}[i])
				r.wait(t, 1)
				r.stop(t)
				cfg.Password = "wrong"
				launch(t, cfg, r.checkpoint(), nil).ends(t, "CDCD-1102")
			}
		})
	}
}

// Everything that a capture ever asks works with the grants that docs/account.md gives, and nothing but these.
func TestTheDocumentedAccountCanDoEverything(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		monitor := map[string]string{"mysql": "REPLICATION CLIENT", "mariadb": "BINLOG MONITOR"}[s.Flavor]
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)", "CREATE DATABASE other", "CREATE TABLE other.a (id INT PRIMARY KEY)",
			"CREATE USER least@'%' IDENTIFIED BY 'Secret-1'", "GRANT REPLICATION SLAVE, "+monitor+" ON *.* TO least@'%'", "GRANT SELECT ON shop.* TO least@'%'")
		cfg := config(s)
		cfg.User, cfg.Password = "least", "Secret-1"
		tables, err := mysql.Schema(t.Context(), cfg)
		if err != nil || len(tables) != 1 || tables[0].String() != "shop.a" {
			t.Errorf("tables %v, %v", tables, err)
		}
		wantFindings(t, cfg, map[string]string{})
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		from := r.checkpoint()
		insert(t, s, 1)
		r.wait(t, 2)
		r.stop(t)
		s.Exec(t, "SET GLOBAL binlog_row_metadata = 'MINIMAL'")
		insert(t, s, 2)
		r = launch(t, cfg, r.checkpoint(), r.recorder) // names come from information_schema, the place is checked
		r.wait(t, 4)
		at, lost, err := mysql.Present(t.Context(), cfg, from)
		if err != nil || lost == "" || at.GTIDSet != r.checkpoint().GTIDSet {
			t.Errorf("present %+v, lost %q, %v; the stream is at %+v", at, lost, err, r.checkpoint())
		}
	})
}

// A table that the account may not read is named with what is missing.
func TestWhatTheAccountLacksIsNamed(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY)", "CREATE TABLE shop.b (id INT PRIMARY KEY)",
			"CREATE USER part@'127.0.0.1' IDENTIFIED BY 'Secret-1'", "GRANT REPLICATION SLAVE ON *.* TO part@'127.0.0.1'", "GRANT SELECT ON shop.a TO part@'127.0.0.1'")
		cfg := config(s, "shop.a", "shop.b")
		cfg.User, cfg.Password = "part", "Secret-1"
		findings, err := mysql.Preflight(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]bool{}
		for _, f := range findings {
			if f.Verdict == mysql.Fail {
				s.Exec(t, f.Fix)
				got[f.Name] = true
			}
		}
		if len(got) == 0 {
			t.Errorf("nothing is missing: %+v", findings)
		}
		wantFindings(t, cfg, map[string]string{})
		r := begin(t, cfg, cdc.Checkpoint{}, nil)
		s.Exec(t, "INSERT INTO shop.b VALUES (1)")
		r.wait(t, 1)
	})
}
