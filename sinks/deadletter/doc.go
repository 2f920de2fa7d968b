// Package deadletter renders events that could not be judged so that they can be judged again later: the event as
// people read it, why each rule failed, and the frame's own bytes of that one event.
//
// [Append] is what a chain uses instead of the delivered form, and [Parse] its inverse. A dead letter is one JSON object a
// line:
//
//	{"feed":"acme","seq":812,"rule_set":"sha256:…",
//	 "errors":[{"rule":"paid","version":"sha256:…","code":"CDCD-2201","on_error":"dead_letter","error":"…"}],"delivered_by":[],
//	 "event":{"id":"0-1-17/3","op":"update",…},"frame":"base64 of a frame that holds just this event"}
//
// A [Book] reads a feed's letters back and keeps what became of them beside the chain, each written once:
//
//	edits/<number>/000001.json   a correction of a letter, which itself is never changed
//	jobs/00000001.json           a [Job]: letters that are settled, with the bytes of their records
//
// A job is decided when its file is there: a letter that is in one is in no other, and its record has a number in the chain
// of redriven records. So whoever is killed while a job is delivered, its records come once.
package deadletter
