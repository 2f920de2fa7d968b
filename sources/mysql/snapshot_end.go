package mysql

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// A server that is looking for rows does not notice that nobody waits for them any more: it would go on for as long as
// the statement takes. So a statement that is given up is ended by a second connection.

// endTakes bounds how long ending a statement may take: whoever gave it up waits for that.
const endTakes = 3 * time.Second

// sign has all further statements of the connection begin with a comment that no other connection has.
func (s *server) sign() {
	var token [8]byte
	rand.Read(token[:])
	s.signature = "/* cdcd " + hex.EncodeToString(token[:]) + " */ "
}

// hangUp closes the connection, and has the server end what is still being executed for it.
func (s *server) hangUp(cfg *Config) {
	s.close() // the connection ends with its statement
	if !s.busy || s.signature == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), endTakes)
	defer cancel()
	if err := s.endStatement(ctx, cfg); err != nil {
		cfg.Logger.Warn("a statement may still be running on the server", "event", "snapshot.left_running", "connection", s.conn.GetConnectionID(), "err", err)
	}
}

// endStatement looks for the connection among those of the server, until it is gone. After a restart, or behind an address that stands for
// several servers, its number is that of a stranger, whose statement does not have the signature.
func (s *server) endStatement(ctx context.Context, cfg *Config) error {
	second, err := connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer second.close()
	id := s.conn.GetConnectionID()
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		rows, err := second.query(fmt.Sprintf("SELECT COALESCE(INFO, '') FROM information_schema.PROCESSLIST WHERE ID = %d", id))
		switch {
		case err != nil:
			return err
		case len(rows) == 0:
			return nil
		case strings.HasPrefix(rows[0][0], s.signature):
			var my *gomysql.MyError
			_, err := second.query(fmt.Sprintf("KILL QUERY %d", id))
			if err != nil && !(errors.As(err, &my) && my.Code == gomysql.ER_NO_SUCH_THREAD) { // it may have ended by itself
				return err
			}
		case rows[0][0] != "":
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
