package mysql_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sources/mysql"
)

// install puts a certificate where the server looks for its own.
func install(t *testing.T, dir, certFile, keyFile string) {
	t.Helper()
	for from, to := range map[string]string{certFile: "server.pem", keyFile: "server.key"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, to), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	for _, flavor := range []string{"mariadb", "mysql"} {
		t.Run(flavor, func(t *testing.T) {
			ca, other, dir := testenv.NewAuthority(t), testenv.NewAuthority(t), t.TempDir()
			soon := time.Now().Add(time.Hour)
			cert, key := ca.Server(t, soon, "localhost", "127.0.0.1")
			install(t, dir, cert, key)
			options := []string{"--ssl-ca=" + ca.File, "--ssl-cert=" + filepath.Join(dir, "server.pem"), "--ssl-key=" + filepath.Join(dir, "server.key")}
			start := map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}[flavor]
			reload := map[string]string{"mariadb": "FLUSH SSL", "mysql": "ALTER INSTANCE RELOAD TLS"}[flavor]
			s := start(t, options...)
			s.Exec(t, "CREATE DATABASE shop", "CREATE TABLE shop.a (id INT PRIMARY KEY, v INT)",
				"CREATE USER encrypted@'%' IDENTIFIED BY 'Secret-1' REQUIRE SSL", "CREATE USER known@'%' IDENTIFIED BY 'Secret-1' REQUIRE X509",
				"GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO encrypted@'%', known@'%'")
			clientCert, clientKey := ca.Client(t, "cdcd")
			strangeCert, strangeKey := other.Client(t, "cdcd")

			connect := func(user string, protect mysql.TLS) (mysql.Config, []mysql.Finding, error) {
				t.Helper()
				cfg := config(s)
				if user != "" {
					cfg.User, cfg.Password = user, "Secret-1"
				}
				var err error
				if cfg.TLS, err = protect.Config(cfg.Addr); err != nil {
					t.Fatal(err)
				}
				findings, err := mysql.Preflight(t.Context(), cfg)
				return cfg, findings, err
			}
			good := func(what, user string, protect mysql.TLS, verdict mysql.Verdict) {
				t.Helper()
				cfg, findings, err := connect(user, protect)
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				for _, f := range findings {
					if f.Name == "mysql.tls" && (f.Verdict != verdict || !strings.HasPrefix(f.Detail, "TLSv1.")) {
						t.Errorf("%s: %+v", what, f)
					}
				}
				r := begin(t, cfg, cdc.Checkpoint{}, nil) // the connection that the log comes through
				s.Exec(t, "INSERT INTO shop.a SELECT COUNT(*), 0 FROM shop.a")
				r.waitFrame(t, func(b *cdc.Batch) bool { return b.Len() > 0 })
				r.stop(t)
			}
			bad := func(what, user string, protect mysql.TLS, code, fix string) {
				t.Helper()
				cfg, _, err := connect(user, protect)
				var coded *cdc.Error
				if !errors.As(err, &coded) || coded.Code != code || !strings.Contains(coded.Fix, fix) {
					t.Errorf("%s: got %v, want %s with the fix %q", what, err, code, fix)
				}
				launch(t, cfg, cdc.Checkpoint{}, nil).ends(t, code)
			}

			good("the server's own certificate", "", mysql.TLS{Mode: mysql.TLSVerifyIdentity, CAFile: ca.File}, mysql.OK)
			good("any certificate", "", mysql.TLS{Mode: mysql.TLSRequired}, mysql.Warn)
			good("an account that needs encryption", "encrypted", mysql.TLS{Mode: mysql.TLSVerifyIdentity, CAFile: ca.File}, mysql.OK)
			good("an account that needs a certificate", "known", mysql.TLS{Mode: mysql.TLSVerifyIdentity, CAFile: ca.File, CertFile: clientCert, KeyFile: clientKey}, mysql.OK)
			bad("no TLS for an account that needs it", "encrypted", mysql.TLS{}, "CDCD-1102", "REQUIREs SSL")
			bad("no certificate for an account that needs one", "known", mysql.TLS{Mode: mysql.TLSRequired}, "CDCD-1102", "REQUIREs X509")
			// With TLS 1.3 the server says so after it has taken the connection; at times that is lost as the connection breaks.
			strange := config(s)
			var err error
			if strange.TLS, err = (mysql.TLS{Mode: mysql.TLSRequired, CertFile: strangeCert, KeyFile: strangeKey}).Config(s.Addr); err != nil {
				t.Fatal(err)
			}
			launch(t, strange, cdc.Checkpoint{}, nil).ends(t, "CDCD-1108")
			bad("another authority", "", mysql.TLS{Mode: mysql.TLSVerifyIdentity, CAFile: other.File}, "CDCD-1108", "ca_file")
			bad("another authority, any name", "", mysql.TLS{Mode: mysql.TLSVerifyCA, CAFile: other.File}, "CDCD-1108", "ca_file")
			s.Exec(t, "SET GLOBAL require_secure_transport = ON")
			if flavor == "mysql" {
				bad("no TLS for a server that needs it", "", mysql.TLS{}, "CDCD-1111", "verify_identity")
			} else { // which says no more than of a wrong password
				bad("no TLS for a server that needs it", "", mysql.TLS{}, "CDCD-1102", "require_secure_transport")
			}
			s.Exec(t, "SET GLOBAL require_secure_transport = OFF")

			cert, key = ca.Server(t, soon, "db.example")
			install(t, dir, cert, key)
			s.Exec(t, reload)
			bad("another name", "", mysql.TLS{Mode: mysql.TLSVerifyIdentity, CAFile: ca.File}, "CDCD-1109", "server_name")
			good("another name that is expected", "", mysql.TLS{Mode: mysql.TLSVerifyIdentity, CAFile: ca.File, ServerName: "db.example"}, mysql.OK)
			good("any name", "", mysql.TLS{Mode: mysql.TLSVerifyCA, CAFile: ca.File}, mysql.OK)

			// A certificate that expires while the capture runs stops it when it connects anew.
			cert, key = ca.Server(t, time.Now().Add(-time.Hour), "127.0.0.1")
			install(t, dir, cert, key)
			s.Stop(t) // MySQL refuses to load it while it runs
			s.Start(t)
			bad("expired", "", mysql.TLS{Mode: mysql.TLSVerifyIdentity, CAFile: ca.File}, "CDCD-1110", "renew")
			bad("expired, any name", "", mysql.TLS{Mode: mysql.TLSVerifyCA, CAFile: ca.File}, "CDCD-1110", "renew")
		})
	}
}

func TestAServerWithoutTLS(t *testing.T) {
	t.Parallel()
	for flavor, s := range map[string]*testenv.Server{"mariadb": testenv.MariaDB(t, "--skip-ssl"), "mysql": testenv.MySQL(t, "--tls-version=")} {
		t.Run(flavor, func(t *testing.T) {
			cfg := config(s)
			var err error
			if cfg.TLS, err = (mysql.TLS{Mode: mysql.TLSRequired}).Config(cfg.Addr); err != nil {
				t.Fatal(err)
			}
			launch(t, cfg, cdc.Checkpoint{}, nil).ends(t, "CDCD-1107")
		})
	}
}

func TestTheModeOfTLSByAddress(t *testing.T) {
	for addr, want := range map[string]string{"127.0.0.1:3306": "", "[::1]:3306": "", "localhost:3306": "", "/run/mysqld/mysqld.sock": "",
		"db.example:3306": "db.example", "10.0.0.7:3306": "10.0.0.7", "127.0.0.1.example:3306": "127.0.0.1.example"} {
		c, err := mysql.TLS{}.Config(addr)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if c != nil {
			got = c.ServerName
			if c.InsecureSkipVerify {
				t.Errorf("%s: not verified", addr)
			}
		}
		if got != want {
			t.Errorf("%s: the certificate is to be for %q, want %q", addr, got, want)
		}
	}
	missing := filepath.Join(t.TempDir(), "no.pem")
	for _, protect := range []mysql.TLS{{Mode: mysql.TLSRequired, CAFile: missing}, {Mode: mysql.TLSRequired, CertFile: missing, KeyFile: missing}, {Mode: mysql.TLSRequired, CAFile: "tls_test.go"}} {
		_, err := protect.Config("db.example:3306")
		var coded *cdc.Error
		if !errors.As(err, &coded) || coded.Code != "CDCD-1112" {
			t.Errorf("%+v: got %v, want CDCD-1112", protect, err)
		}
	}
}
