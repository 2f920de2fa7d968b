package trigger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Types of events.
const (
	TypeObject = "cdcd.object.v1" // an object is there
	TypeTest   = "cdcd.test.v1"   // somebody tries whether events arrive
)

// Event is a CloudEvent 1.0 in its JSON format.
type Event struct {
	SpecVersion string    `json:"specversion"` // "1.0"
	ID          string    `json:"id"`          // the same as often as the event is sent
	Source      string    `json:"source"`      // cdcd/<source>/<feed>
	Type        string    `json:"type"`
	Subject     string    `json:"subject"` // the object's key
	Time        time.Time `json:"time"`    // of the commit of the object's last change
	ContentType string    `json:"datacontenttype"`
	Data        *Data     `json:"data"`
}

// Data tells of an object what its partner needs to find it, to know it whole, and to notice that an event is missing.
type Data struct {
	Chain       string `json:"chain"`
	Ordinal     uint64 `json:"ordinal"`
	Store       string `json:"store"`
	Key         string `json:"key"`
	Size        int64  `json:"size"`
	SHA256      string `json:"sha256"`
	Records     int    `json:"records"`
	RecordsRoot string `json:"records_root"`
	FirstPartNo uint64 `json:"first_part_no"`
	LastPartNo  uint64 `json:"last_part_no"`
	PrevKey     string `json:"prev_key,omitempty"`    // of the chain's previous object, if it is still there
	PrevSHA256  string `json:"prev_sha256,omitempty"` // "" for the first object
	Checkpoint  string `json:"checkpoint,omitempty"`  // of the audit log, signed, with this object under it
	URL         string `json:"url,omitempty"`         // to fetch it for some time; a secret
}

// ID returns the id of an object's event: the chain, the ordinal, and a piece of the object's hash, because a chain that
// begins anew in another place has the same name.
func ID(o cdc.Object) string {
	return fmt.Sprintf("%s/%d/%.12s", o.Chain, o.Ordinal, o.SHA256)
}

// ObjectEvent returns the event of an object.
func ObjectEvent(o cdc.Object, prevKey, checkpoint, url string) Event {
	return Event{SpecVersion: "1.0", ID: ID(o), Source: sourceOf(o.Chain), Type: TypeObject, Subject: o.Key, Time: o.LastCommit.UTC(),
		ContentType: "application/json", Data: &Data{Chain: o.Chain, Ordinal: o.Ordinal, Store: o.Store, Key: o.Key, Size: o.Bytes, SHA256: o.SHA256,
			Records: o.Records, RecordsRoot: o.RecordsRoot, FirstPartNo: o.FirstPartNo, LastPartNo: o.LastPartNo,
			PrevKey: prevKey, PrevSHA256: o.Prev, Checkpoint: checkpoint, URL: url}}
}

// TryEvent returns an event that tells of nothing.
func TryEvent(source, feed, id string, now time.Time) Event {
	return Event{SpecVersion: "1.0", ID: "test/" + id, Source: "cdcd/" + source + "/" + feed, Type: TypeTest, Subject: feed, Time: now.UTC(),
		ContentType: "application/json"}
}

// sourceOf leaves the partition out of a chain's name.
func sourceOf(chain string) string {
	for i := len(chain) - 1; i >= 0; i-- {
		if chain[i] == '/' {
			return "cdcd/" + chain[:i]
		}
	}
	return "cdcd/" + chain
}

// JSON returns the event's bytes.
func (e Event) JSON() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		panic(err) // a time beyond the year 9999; commit times of servers end in 2106
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
