package form

import (
	"strconv"

	"github.com/cdcd-project/cdcd/cdc"
)

// TypeChange is the type of the CloudEvents that tell of changes.
const TypeChange = "cdcd.change.v1"

// cloudEvents writes records as CloudEvents 1.0 in their JSON format. Attributes are those of the specification and its
// extensions partitionkey and sequence; what is cdcd's own begins with cdcd.
type cloudEvents struct {
	buf     []byte
	digests map[*cdc.Table]string
}

// digest returns the digest of a table, which is made once.
func (c *cloudEvents) digest(t *cdc.Table) string {
	if s, ok := c.digests[t]; ok {
		return s
	}
	if c.digests == nil || len(c.digests) > 1000 {
		c.digests = map[*cdc.Table]string{}
	}
	c.digests[t] = t.Digest()
	return c.digests[t]
}

func (c *cloudEvents) append(dst []byte, d *cdc.Delivery) []byte {
	e, t, p := d.Event, d.Event.Table(), d.Event.Position()
	source := e.Batch().Header().Source
	dst = append(dst, `{"specversion":"1.0","id":`...)
	dst = d.AppendID(dst)
	dst = append(dst, `,"source":`...)
	dst = cdc.AppendString(dst, "cdcd/"+source+"/"+d.Feed)
	dst = append(dst, `,"type":"`+TypeChange+`","subject":`...)
	dst = cdc.AppendString(dst, t.String())
	dst = append(dst, `,"time":"`...)
	dst = cdc.AppendInstant(dst, p.CommitTime, 6)
	dst = append(dst, `","datacontenttype":"application/json","dataschema":"urn:cdcd:table:`...)
	dst = append(dst, c.digest(t)...)
	dst = append(dst, `","sequence":"`...)
	dst = appendPadded(dst, e.PartNo())
	dst = append(dst, '"')
	if d.Key != nil {
		c.buf = d.AppendKey(c.buf[:0])
		dst = append(dst, `,"partitionkey":`...)
		dst = cdc.AppendString(dst, string(c.buf))
	}
	dst = append(append(append(dst, `,"cdcdop":"`...), e.Op().String()...), `","cdcdrules":"`...)
	for i, m := range d.Rules {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, m.Name...), '@')
		dst = append(dst, m.Version...)
	}
	dst = append(dst, '"')
	if len(d.Tags) > 0 {
		c.buf = d.AppendTags(c.buf[:0])
		dst = append(dst, `,"cdcdtags":`...)
		dst = cdc.AppendString(dst, string(c.buf))
	}
	if d.Change != "" {
		dst = append(append(append(dst, `,"cdcdchange":"`...), d.Change...), '"')
	}
	if p.GTID != "" {
		dst = append(dst, `,"cdcdgtid":`...)
		dst = cdc.AppendString(dst, p.GTID)
	}
	dst = append(dst, `,"cdcdfile":`...)
	dst = cdc.AppendString(dst, p.File)
	dst = append(strconv.AppendUint(append(dst, `,"cdcdpos":"`...), p.Pos, 10), '"')
	dst = append(strconv.AppendUint(append(dst, `,"cdcdrow":"`...), uint64(p.Row), 10), '"')
	dst = append(strconv.AppendUint(append(dst, `,"cdcdno":"`...), e.No(), 10), '"')
	dst = append(dst, `,"data":{"rules":`...)
	dst = d.AppendRules(dst)
	dst = append(dst, `,"key":`...)
	dst = d.AppendKey(dst)
	dst = append(dst, `,"before":`...)
	dst = cdc.AppendImage(dst, t, d.Columns, d.Before)
	dst = append(dst, `,"after":`...)
	dst = cdc.AppendImage(dst, t, d.Columns, d.After)
	if len(d.Lookups) > 0 {
		dst = d.AppendLookups(append(dst, `,"lookup":`...))
	}
	return append(dst, `}}`...)
}

// appendPadded appends a number so that texts sort as the numbers do.
func appendPadded(dst []byte, n uint64) []byte {
	var digits [20]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, digits[:]...)
}
