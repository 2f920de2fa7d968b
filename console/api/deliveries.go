package api

import (
	"time"

	"github.com/cdcd-project/cdcd/cdc"
)

// Delivery is an object that a feed's partner can pull, as the audit log has it.
type Delivery struct {
	Leaf   int64      `json:"leaf" doc:"Number of its entry in the audit log, from 0: it names the delivery."`
	Feed   string     `json:"feed"`
	Logged time.Time  `json:"logged" doc:"When it was there, and entered in the log."`
	Object cdc.Object `json:"object"`
	Told   []Told     `json:"told" doc:"Who is told of it: one for each place that the feed's trigger names."`
	Fetch  string     `json:"receipt,omitempty" enum:"received,missing" doc:"Whether the partner has signed that it has the object; absent when it is not asked to."`

	Found []DeliveredRecord `json:"found,omitempty" doc:"Records that were searched for, the first ones."`
}

// Told is whether somebody has been told of an object.
type Told struct {
	By       string     `json:"by" enum:"webhook,nats"`
	Place    string     `json:"place"`
	State    string     `json:"state" enum:"told,waiting,failing,disabled"`
	At       *time.Time `json:"at,omitempty" doc:"When it was taken."`
	Attempts int        `json:"attempts,omitempty" doc:"Until then."`
	Error    string     `json:"error,omitempty" doc:"Of the last attempt, while it fails."`
}

// DeliveredRecord is a record as it was delivered.
type DeliveredRecord struct {
	Number int64  `json:"number" doc:"In its object, from 1."`
	Line   string `json:"line" doc:"As it was delivered: JSON, or a row of CSV. Numbers have all their digits."`
}

// DeliveryList is some deliveries, the newest first.
type DeliveryList struct {
	Deliveries []Delivery `json:"deliveries"`
	Before     int64      `json:"before" doc:"Ask for what is before this entry to get older ones; 0 when there are none."`
	Searched   int        `json:"searched" doc:"Objects that were looked at for these."`
	Faults     []string   `json:"faults,omitempty" doc:"Objects that could not be read while records were searched for, and why."`
}

// DeliveryDetail is a delivery with its records.
type DeliveryDetail struct {
	Delivery
	Records []DeliveredRecord `json:"records"`
	More    int64             `json:"more" doc:"Records behind the last of these."`
	Fault   string            `json:"fault,omitempty" doc:"Why it has no records that can be shown: it is gone, or altered, or has none by themselves."`
}

// Resent is who has been told of an object once more.
type Resent struct {
	Leaf int64     `json:"leaf"`
	Feed string    `json:"feed"`
	Key  string    `json:"key"`
	Sent []Attempt `json:"sent"`
}

// Attempt is one event that was sent.
type Attempt struct {
	By    string  `json:"by"`
	Place string  `json:"place"`
	Taken bool    `json:"taken"`
	Took  float64 `json:"took_seconds"`
	Error string  `json:"error,omitempty"`
}

// OK reports whether everybody has taken it.
func (r Resent) OK() bool {
	for _, a := range r.Sent {
		if !a.Taken {
			return false
		}
	}
	return true
}
