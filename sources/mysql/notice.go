package mysql

// What a capture does about something that it can go on after. The values are those of the configuration file.
const (
	PolicyWarn       = "warn"
	PolicyHalt       = "halt"
	PolicyDeadLetter = "dead_letter"
)

// Notices counts what a capture goes on after but people should hear of. Each is in the log too: what concerns a table
// once a connection, what stands alone each time. The numbers begin with Run.
type Notices struct {
	RowsGone      uint64 // statements that removed rows of captured tables without delete events (TRUNCATE, DROP)
	PartialImages uint64 // changes whose row image left out columns
	Oversize      uint64 // changes that were captured without their largest values
	BadText       uint64 // values that their character set does not allow
	Statements    uint64 // changes of tables that are not captured, written as statements
	UnknownXA     uint64 // committed XA transactions whose rows were written before the capture began
}

// once reports whether something of that kind is to be logged: the first time on this connection.
func (c *capture) once(kind, subject string) bool {
	key := kind + "\x00" + subject
	if c.told[key] || len(c.told) > 10_000 {
		return false
	}
	if c.told == nil {
		c.told = map[string]bool{}
	}
	c.told[key] = true
	return true
}
