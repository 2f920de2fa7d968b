package mysql

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/cdcd-project/cdcd/internal/testenv"
)

// A read view does not fix which table a name means: rows that are read behind a rename are another table's. The log must
// tell of the rename before they may be emitted.
func TestARenameBeforeTheReadIsInTheLogBeforeHigh(t *testing.T) {
	t.Parallel()
	testenv.Each(t, func(t *testing.T, s *testenv.Server) {
		for _, key := range []string{"id INT PRIMARY KEY", "id INT"} {
			s.Exec(t, "CREATE DATABASE IF NOT EXISTS shop", "DROP TABLE IF EXISTS shop.t, shop._t_old, shop._t_new",
				"CREATE TABLE shop.t ("+key+")", "CREATE TABLE shop._t_new ("+key+")", "INSERT INTO shop.t VALUES (1)", "INSERT INTO shop._t_new VALUES (2)")
			source, err := New(Config{Addr: s.Addr, User: testenv.User, Password: testenv.Password, Tables: []string{"shop.*"}})
			if err != nil {
				t.Fatal(err)
			}
			cfg := source.cfg
			r := &snapshotReader{cfg: &cfg, flavor: s.Flavor, selected: source.selected.clone(), treatments: source.treated, poke: func() {}}
			r.ctx, r.end = context.WithCancel(t.Context())
			defer r.end()
			sv, err := connect(t.Context(), &cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer sv.close()
			if r.identity, err = sv.identity(); err != nil {
				t.Fatal(err)
			}
			file, pos, set, err := sv.end(&cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.connect(); err != nil {
				t.Fatal(err)
			}
			defer r.disconnect()
			table, err := r.describe("shop", "t")
			if err != nil {
				t.Fatal(err)
			}
			n, err := strconv.ParseUint(pos, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			q := &request{ctx: t.Context(), table: table, taken: mark{file, n}, takenSet: set, room: 1 << 20}
			cfg.Now = func() time.Time { // it is asked for between the read view and the read
				s.Exec(t, "RENAME TABLE shop.t TO shop._t_old, shop._t_new TO shop.t")
				cfg.Now = time.Now
				return time.Now()
			}
			read := r.chunk
			if table.key == nil {
				read = r.view
			}
			a, err := read(q)
			if err != nil {
				t.Fatal(err)
			}
			if !q.taken.before(a.high) {
				t.Errorf("%s: high is %v, before the rename behind %v", key, a.high, q.taken)
			}
		}
	})
}
