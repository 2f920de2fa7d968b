package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cdcd-project/cdcd/internal/dbserver"
	"github.com/cdcd-project/cdcd/internal/testenv"
	"github.com/cdcd-project/cdcd/sinks/sinktest"
	"github.com/cdcd-project/cdcd/wasm"
)

// Transcripts in testdata/servers have real servers. Beside `exits` they have
//
//	server mariadb|mysql [OPTION…]   start a database server: $DB is its address, $DBDIR its data, $URL its URL with the user cdcd
//	sql STATEMENT…                   run statements there as root
//	store [broken]                   start an S3 server with the bucket partner: $S3, S3_KEY, S3_SECRET; broken ignores If-None-Match
//	purge                            delete all binlog files but the newest, which works once no replica is reading them
//	ready CONFIG                     wait until the cdcd that runs with this configuration is ready
//	fetch URL FILE                   write what is answered at the URL to the file
//	unready CONFIG                   wait until it is not ready
//	looked CONFIG                    wait until it has seen that it has read all of the server's log
//	shows PATTERN ARG…               wait until what `cdcd ARG…` prints matches
//	stopserver, startserver          end the server, start it again
//	await FILE                       wait until the glob matches
//	guest FILE VERSION COLUMN        write a plugin that does what a column of the change says: 0 drop, 1 keep, 2 edit, 4 break down
//	expand FILE…                     replace $NAME in files by the script's variables
func TestScriptWithServers(t *testing.T) {
	var mu sync.Mutex
	servers := map[string]*testenv.Server{} // by working directory
	testscript.Run(t, testscript.Params{
		Dir:           filepath.Join("testdata", "servers"),
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "1")
			env.Setenv("DB_PASSWORD", testenv.Password)
			env.Setenv("FREE", fmt.Sprintf("127.0.0.1:%d", dbserver.FreePort()))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"guest": writeGuest,
			"server": func(ts *testscript.TestScript, _ bool, args []string) {
				start := map[string]func(testing.TB, ...string) *testenv.Server{"mariadb": testenv.MariaDB, "mysql": testenv.MySQL}[args[0]]
				s := start(t, args[1:]...)
				mu.Lock()
				servers[ts.Getenv("WORK")] = s
				mu.Unlock()
				ts.Setenv("DB", s.Addr)
				ts.Setenv("DBDIR", s.DataDir)
				ts.Setenv("URL", s.URL())
			},
			"sql": func(ts *testscript.TestScript, _ bool, args []string) {
				mu.Lock()
				s := servers[ts.Getenv("WORK")]
				mu.Unlock()
				s.Exec(t, args...)
			},
			"purge": func(ts *testscript.TestScript, _ bool, _ []string) {
				mu.Lock()
				s := servers[ts.Getenv("WORK")]
				mu.Unlock()
				for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
					s.Exec(t, "FLUSH BINARY LOGS", "PURGE BINARY LOGS BEFORE NOW() + INTERVAL 1 DAY")
					if len(s.Query(t, "SHOW BINARY LOGS")) == 1 {
						return
					}
					if time.Now().After(deadline) {
						ts.Fatalf("the binlog files cannot be deleted")
					}
				}
			},
			"store": func(ts *testscript.TestScript, _ bool, args []string) {
				s := testenv.S3(t)
				s.CreateBucket(t, "partner")
				ts.Setenv("S3", s.Endpoint)
				if len(args) > 0 && args[0] == "broken" {
					ts.Setenv("S3", sinktest.IgnoringConditions(t, s))
				}
				ts.Setenv("S3_KEY", s.AccessKey)
				ts.Setenv("S3_SECRET", s.SecretKey)
			},
			"ready": func(ts *testscript.TestScript, _ bool, args []string) {
				for deadline := time.Now().Add(60 * time.Second); ts.Exec("cdcd", "status", "-c", args[0]) != nil; time.Sleep(50 * time.Millisecond) {
					if time.Now().After(deadline) {
						ts.Fatalf("not ready after a minute")
					}
				}
			},
			"unready": func(ts *testscript.TestScript, _ bool, args []string) {
				for deadline := time.Now().Add(60 * time.Second); ts.Exec("cdcd", "status", "-c", args[0]) == nil; time.Sleep(50 * time.Millisecond) {
					if time.Now().After(deadline) {
						ts.Fatalf("ready after a minute")
					}
				}
			},
			"looked": func(ts *testscript.TestScript, _ bool, args []string) {
				for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(200 * time.Millisecond) {
					ts.Check(ts.Exec("cdcd", "status", "-c", args[0], "-o", "json"))
					if strings.Contains(ts.ReadFile("stdout"), `"behind_bytes": 0,`) {
						return
					}
					if time.Now().After(deadline) {
						ts.Fatalf("not seen after a minute")
					}
				}
			},
			"shows": func(ts *testscript.TestScript, _ bool, args []string) {
				want := regexp.MustCompile("(?m)" + args[0])
				for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(50 * time.Millisecond) {
					_ = ts.Exec("cdcd", args[1:]...) // what it prints counts
					if want.MatchString(ts.ReadFile("stdout")) {
						return
					}
					if time.Now().After(deadline) {
						ts.Fatalf("not shown after a minute")
					}
				}
			},
			"stopserver": func(ts *testscript.TestScript, _ bool, _ []string) {
				mu.Lock()
				s := servers[ts.Getenv("WORK")]
				mu.Unlock()
				s.Stop(t)
			},
			"startserver": func(ts *testscript.TestScript, _ bool, _ []string) {
				mu.Lock()
				s := servers[ts.Getenv("WORK")]
				mu.Unlock()
				s.Start(t)
			},
			"fetch": func(ts *testscript.TestScript, _ bool, args []string) {
				resp, err := http.Get(args[0])
				ts.Check(err)
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				ts.Check(err)
				ts.Check(os.WriteFile(ts.MkAbs(args[1]), text, 0o644))
			},
			"await": func(ts *testscript.TestScript, _ bool, args []string) {
				for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
					if found, _ := filepath.Glob(ts.MkAbs(args[0])); len(found) > 0 {
						return
					}
					if time.Now().After(deadline) {
						ts.Fatalf("%s is not there after 30 s", args[0])
					}
				}
			},
			"expand": func(ts *testscript.TestScript, _ bool, args []string) { // $NAME in files, for addresses
				for _, name := range args {
					text := os.Expand(ts.ReadFile(name), func(name string) string {
						if v := ts.Getenv(name); v != "" && !strings.Contains(name, "PASSWORD") {
							return v
						}
						return "$" + name
					})
					ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
				}
			},
		},
	})
}

// writeGuest writes a plugin.
func writeGuest(ts *testscript.TestScript, _ bool, args []string) {
	module, err := os.ReadFile(filepath.Join(repository, "wasm", "testdata", "guest.wasm"))
	ts.Check(err)
	module, err = wasm.AppendManifest(module, guestManifest("guest", args[1], args[2]))
	ts.Check(err)
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o755))
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), module, 0o644))
}

// repository is its folder, wherever a transcript runs.
var repository = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()
