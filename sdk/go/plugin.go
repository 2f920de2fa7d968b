package cdcd

import (
	"strconv"
	"unsafe"
)

// Verdict says what becomes of an event.
type Verdict uint8

// The verdicts.
const (
	Drop   Verdict = 0
	Keep   Verdict = 1
	Failed Verdict = 3 // what [Event.Error] returns

	edited Verdict = 2 // keep, with the edits in the log
)

// String returns the verdict's name.
func (v Verdict) String() string {
	switch v {
	case Drop:
		return "drop"
	case Keep, edited:
		return "keep"
	case Failed:
		return "error"
	}
	return "verdict(" + strconv.Itoa(int(v)) + ")"
}

var (
	judge     func(*Event) Verdict
	configure func([]byte) error
)

// Filter registers the function that judges events. It is called in an init function of the plugin, once.
func Filter(f func(e *Event) Verdict) {
	if judge != nil {
		panic("cdcd: Filter was called before")
	}
	judge = f
}

// Init registers the function that gets the configuration of the rule, a JSON object that fits the schema in the manifest. It is called
// once, before the first event. The text is its own to keep. An error says what is wrong with the configuration.
func Init(f func(config []byte) error) {
	if configure != nil {
		panic("cdcd: Init was called before")
	}
	configure = f
}

// maxEvents is the number of events that a batch has at most.
const maxEvents = 256

// answer is the arena out, as the host reads it.
type answer struct {
	cursor   uint32
	log      uint32
	logBytes uint32
	_        uint32
	verdicts [maxEvents]Verdict
}

// The arenas. The runtime never moves them, and they live as long as these variables name them.
var (
	in  = make([]uint64, 64<<10/8) // words, so that it is aligned
	out answer
)

// One event is judged at a time, so there is one that is moved over the batch.
var event Event

// growInput makes room for so many bytes and returns their place.
func growInput(bytes uint32) unsafe.Pointer {
	if words := (int(bytes) + 7) / 8; words > len(in) {
		in, event.frame = nil, nil // so that the old one is free
		in = make([]uint64, words)
	}
	return unsafe.Pointer(unsafe.SliceData(in))
}

// judgeBatch judges the frame in the arena in.
func judgeBatch() {
	e := &event
	e.frame = unsafe.Pointer(unsafe.SliceData(in))
	e.dictionary = load[uint32](e.frame, 64)
	transactions := load[uint32](e.frame, 56)
	events := load[uint32](e.frame, 68)
	entry := load[uint32](e.frame, 72)
	edits.reset()
	for i := range events {
		out.cursor = i // before anything of the event is looked at: if it traps, it is to blame
		e.number = i
		e.entry = entry
		e.transaction = transactions + 64*load[uint32](e.frame, entry+8)
		e.before = load[uint32](e.frame, entry+20)
		e.after = load[uint32](e.frame, entry+24)
		if e.failure != "" {
			e.failure = ""
		}

		verdict := judge(e)
		switch {
		case verdict == Keep && edits.pending():
			verdict = edited
		case verdict == Drop:
			edits.undo()
		case verdict == Failed:
			edits.undo()
			if e.failure != "" {
				edits.addText(i, editError, e.failure)
			}
		}
		edits.commit()
		out.verdicts[i] = verdict
		entry += 32
	}
	out.cursor = events
}

// configureWith hands over the configuration in the arena in.
func configureWith(bytes uint32) error {
	if judge == nil {
		panic("cdcd: no filter; call cdcd.Filter in an init function")
	}
	if configure == nil {
		return nil
	}
	return configure(append([]byte(nil), input()[:bytes]...))
}

// input returns the arena in as bytes.
func input() []byte { return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(in))), 8*len(in)) }
