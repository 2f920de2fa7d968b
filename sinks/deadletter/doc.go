// Package deadletter renders events that could not be judged so that they can be judged again later: the event as
// people read it, why each rule failed, and the frame's own bytes of that one event.
//
// It has two functions: [Append], which a chain uses instead of the delivered form, and [Parse], its inverse. A dead
// letter is one JSON object a line:
//
//	{"feed":"acme","seq":812,"rule_set":"sha256:…","errors":[{"rule":"paid","version":"sha256:…","error":"…"}],
//	 "event":{"id":"0-1-17/3","op":"update",…},"frame":"base64 of a frame that holds just this event"}
package deadletter
