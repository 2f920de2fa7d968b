package api

import "time"

// AuditEntry is an entry of the audit log, in words.
type AuditEntry struct {
	Index int64     `json:"index" doc:"Of the entry in the log, from 0."`
	Time  time.Time `json:"time" doc:"When it was logged."`
	Kind  string    `json:"kind" doc:"object, rules, trap, or of a note: trigger, receipt, parked, retested, edited, redriven, discarded, replayed, config_changed, erased, key_rotated, released."`
	Feed  string    `json:"feed,omitempty"`
	Who   string    `json:"who,omitempty"`
	Why   string    `json:"why,omitempty"`
	What  string    `json:"what" doc:"Names what it is about."`
	Leaf  string    `json:"leaf" doc:"Its exact bytes, JSON: what is hashed."`
}

// AuditList is some entries, the newest first.
type AuditList struct {
	Entries  []AuditEntry `json:"entries"`
	Size     int64        `json:"size" doc:"Entries of the log."`
	Before   int64        `json:"before" doc:"Ask for what is before this entry to get older ones; 0 when there are none."`
	Searched int64        `json:"searched" doc:"Entries that were looked at for these."`
}

// AuditCheckpoint is the newest statement that the log's key has signed.
type AuditCheckpoint struct {
	Origin     string `json:"origin"`
	Size       int64  `json:"size"`
	Root       string `json:"root" doc:"Hexadecimal."`
	Checkpoint string `json:"checkpoint" doc:"As it is signed."`
	Key        string `json:"key" doc:"The log's public key, as it stands in the .pub file. Compare it with one that you have from elsewhere: who forges a log has a key for it, too."`
}

// AuditProof proves an entry of the log, or a record of the object that it is about, to whoever has the public key.
type AuditProof struct {
	Entry      AuditEntry      `json:"entry"`
	Path       []string        `json:"path" doc:"From the entry to the root of the checkpoint: base64, as in the proof. Hashes are those of RFC 6962."`
	Checkpoint AuditCheckpoint `json:"checkpoint"`
	Record     *AuditRecord    `json:"record,omitempty"`
	Proof      string          `json:"proof" doc:"The .tlog-proof file, which cdcd audit check reads."`
	File       string          `json:"file" doc:"A name for it."`
}

// AuditRecord is the record that is proved.
type AuditRecord struct {
	Number int64    `json:"number" doc:"In its object, from 1."`
	Line   string   `json:"line" doc:"Its exact bytes, in base64."`
	Path   []string `json:"path" doc:"From the record to the root over the object's records, which the entry has as records_root: base64."`
}
