package mysql

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/google/uuid"
)

// gtids is the set of executed transactions. For MySQL that is a set of intervals, for MariaDB the last transaction of
// each domain. A nil *gtids means that the server has no GTIDs.
type gtids struct {
	mysql   *gomysql.MysqlGTIDSet
	mariadb map[uint32]mariaGTID

	text  string // String's result
	valid bool   // text is current
}

// mariaGTID is a MariaDB GTID: domain-server-sequence.
type mariaGTID struct {
	domain, server uint32
	sequence       uint64
}

func (g mariaGTID) String() string {
	var b [48]byte
	s := strconv.AppendUint(b[:0], uint64(g.domain), 10)
	s = strconv.AppendUint(append(s, '-'), uint64(g.server), 10)
	return string(strconv.AppendUint(append(s, '-'), g.sequence, 10))
}

// identity returns "domain-server".
func (g mariaGTID) identity() string { return fmt.Sprintf("%d-%d", g.domain, g.server) }

func parseMariaGTID(s string) (g mariaGTID, err error) {
	parts := strings.Split(strings.TrimSpace(s), "-")
	if len(parts) != 3 {
		return g, fmt.Errorf("GTID %q is not domain-server-sequence", s)
	}
	var n [3]uint64
	for i, bits := range [...]int{32, 32, 64} {
		if n[i], err = strconv.ParseUint(parts[i], 10, bits); err != nil {
			return g, fmt.Errorf("GTID %q: %w", s, err)
		}
	}
	return mariaGTID{uint32(n[0]), uint32(n[1]), n[2]}, nil
}

// parseGTIDs parses a set as the server writes it.
func parseGTIDs(flavor, s string) (*gtids, error) {
	if flavor == FlavorMariaDB {
		g := &gtids{mariadb: map[uint32]mariaGTID{}}
		for _, part := range splitList(s) {
			one, err := parseMariaGTID(part)
			if err != nil {
				return nil, err
			}
			g.mariadb[one.domain] = one
		}
		return g, nil
	}
	set, err := gomysql.ParseMysqlGTIDSet(strings.NewReplacer("\n", "", "\r", "", " ", "").Replace(s))
	if err != nil {
		return nil, fmt.Errorf("GTID set %q: %w", s, err)
	}
	return &gtids{mysql: set.(*gomysql.MysqlGTIDSet)}, nil
}

// String returns the set as the server takes it. It is made once per change.
func (g *gtids) String() string {
	if g == nil {
		return ""
	}
	if g.valid {
		return g.text
	}
	if g.mysql != nil {
		g.text = g.mysql.String()
	} else {
		var b strings.Builder
		for i, one := range g.list() {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(one.String())
		}
		g.text = b.String()
	}
	g.valid = true
	return g.text
}

// list returns the last transaction of each domain, ordered by domain.
func (g *gtids) list() []mariaGTID {
	all := make([]mariaGTID, 0, len(g.mariadb))
	for _, one := range g.mariadb {
		all = append(all, one)
	}
	slices.SortFunc(all, func(a, b mariaGTID) int { return cmp.Compare(a.domain, b.domain) })
	return all
}

// addMySQL adds a transaction.
func (g *gtids) addMySQL(sid uuid.UUID, tag gomysql.Tag, number int64) {
	g.mysql.AddGTIDWithTag(sid, tag, number)
	g.valid = false
}

// hasMySQL reports whether the transaction is in the set.
func (g *gtids) hasMySQL(sid uuid.UUID, tag gomysql.Tag, number int64) bool {
	for _, i := range (*g.mysql)[sid][tag] {
		if number >= i.Start && number < i.Stop {
			return true
		}
	}
	return false
}

// addMariaDB makes the transaction the last of its domain.
func (g *gtids) addMariaDB(one mariaGTID) {
	g.mariadb[one.domain] = one
	g.valid = false
}

// hasMariaDB reports whether the transaction lies at or before the last one of its domain.
func (g *gtids) hasMariaDB(one mariaGTID) bool {
	last, ok := g.mariadb[one.domain]
	return ok && one.sequence <= last.sequence
}
