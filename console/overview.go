package console

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cdcd-project/cdcd/console/api"
)

// What is late, and when somebody should look.
const (
	lateSeconds   = 30.0       // behind the source, or the stream
	littleRoom    = 24 * 3600  // seconds until the server may delete what is needed
	fullSoon      = 6 * 3600.0 // seconds until the stream is full
	silentSeconds = 3.0        // of lag that is not worth a word
)

// overview says in words what a status says in figures.
func overview(s api.Status, rates api.Rates, started time.Time) api.Overview {
	o := api.Overview{Source: s.Source, At: rates.Until, Started: started, Rates: rates, Problems: []api.Problem{}}
	p := problems{&o.Problems}
	o.Stages = []api.Stage{sourceStage(s, rates, p), streamStage(s, rates, p), rulesStage(s, rates, p), deliveryStage(s, rates, p), partnerStage(s, p)}
	slices.SortStableFunc(o.Problems, func(a, b api.Problem) int { return severity(b.Level) - severity(a.Level) })
	o.Level = api.LevelOK
	for _, g := range o.Stages {
		o.Level = worst(o.Level, g.Level)
	}
	o.Verdict = verdict(s, &o)
	return o
}

func severity(l api.Level) int {
	return slices.Index([]api.Level{api.LevelIdle, api.LevelOK, api.LevelWait, api.LevelWarn, api.LevelError}, l)
}

// worst returns the worse of two levels.
func worst(a, b api.Level) api.Level {
	if severity(b) > severity(a) {
		return b
	}
	return a
}

// now returns the rate of the last seconds.
func now(rates []float64) float64 {
	last := rates[max(0, len(rates)-5):]
	if len(last) == 0 {
		return 0
	}
	sum := 0.0
	for _, r := range last {
		sum += r
	}
	return math.Round(10*sum/float64(len(last))) / 10
}

var codeText = regexp.MustCompile(`CDCD-\d{4}`)

// errorIn makes an error of a text that begins with its code, if it has one.
func errorIn(text string) *api.Error {
	if text == "" {
		return nil
	}
	code := codeText.FindString(text)
	e := &api.Error{Code: code, Message: text}
	if code != "" {
		e.Message, e.Docs = strings.Replace(text, code+": ", "", 1), "cdcd errors "+code
	}
	return e
}

// problems is a list of what somebody has to do something about.
type problems struct{ list *[]api.Problem }

func (p problems) add(level api.Level, stage, href, fix string, e *api.Error) {
	if fix == "" && e.Code != "" {
		fix = "cdcd errors " + e.Code + " says what to do"
	}
	*p.list = append(*p.list, api.Problem{Level: level, Stage: stage, Code: e.Code, Message: e.Message, Fix: fix, Href: href})
}

func sourceStage(s api.Status, rates api.Rates, p problems) api.Stage {
	c := s.Capture
	g := api.Stage{ID: "source", Name: "Source", Level: api.LevelOK, Rate: now(rates.Captured), Parts: []api.StagePart{}}
	lag := c.LagSeconds
	g.LagSeconds = &lag
	if c.LastError != "" {
		g.Error, g.ErrorAt = errorIn(c.LastError), c.LastErrorAt
	}
	switch {
	case c.Standby:
		g.Level, g.Text, g.LagSeconds = api.LevelIdle, "standing by: another cdcd captures", nil
	case c.Error != "":
		g.Level, g.Text, g.Error = api.LevelError, "capture is interrupted", errorIn(c.Error)
		p.add(api.LevelError, "source", "/settings", "", g.Error)
	case !c.Connected && c.Rows > 0 && c.Flavor == "":
		g.Level, g.Text, g.LagSeconds = api.LevelIdle, "the files have been read", nil
	case !c.Connected:
		g.Level, g.Text = api.LevelWait, "not connected yet"
	case lag > lateSeconds:
		g.Level, g.Text = api.LevelWarn, since(lag)+" behind"
		p.add(api.LevelWarn, "source", "/live", "see what the server and this machine are busy with; cdcd status says how many bytes are left", &api.Error{Message: "capture is " + since(lag) + " behind the source"})
	case lag > silentSeconds:
		g.Text = since(lag) + " behind"
	default:
		g.Text = "all is read"
	}
	if c.HeadroomSeconds != nil && *c.HeadroomSeconds < littleRoom {
		level := api.LevelWarn
		if *c.HeadroomSeconds < 3600 {
			level = api.LevelError
		}
		g.Level = worst(g.Level, level)
		p.add(level, "source", "/settings", "have the server keep its binlogs longer: "+c.KeepsWhy,
			&api.Error{Message: "the server may delete binlogs that are still needed in " + since(*c.HeadroomSeconds)})
	}
	return g
}

func streamStage(s api.Status, rates api.Rates, p problems) api.Stage {
	t := s.Stream
	g := api.Stage{ID: "stream", Name: "Stream", Level: api.LevelOK, Rate: now(rates.Captured), Parts: []api.StagePart{}}
	g.Text = fmt.Sprintf("%s of %s", size(t.Bytes), size(t.MaxBytes))
	switch {
	case s.Capture.Held != "":
		g.Level, g.Text = api.LevelError, "takes nothing: "+strings.ReplaceAll(s.Capture.Held, "_", " ")
		p.add(api.LevelError, "stream", "/deliveries", "have the feed that is behind deliver, or give the stream more room (bus.…max_bytes)",
			&api.Error{Message: "capture waits for the stream: " + strings.ReplaceAll(s.Capture.Held, "_", " ")})
	case t.MaxBytes == 0:
		g.Level, g.Text = api.LevelError, "cannot be asked"
		p.add(api.LevelError, "stream", "/settings", "", errorIn(s.Why))
	case t.FullIn != nil && *t.FullIn < fullSoon:
		g.Level = api.LevelWarn
		p.add(api.LevelWarn, "stream", "/deliveries", "see why feed "+t.Slowest+" does not deliver, or give the stream more room",
			&api.Error{Message: fmt.Sprintf("the stream is full in %s: feed %s has %s to deliver", since(*t.FullIn), t.Slowest, size(t.Undelivered))})
	}
	return g
}

func rulesStage(s api.Status, rates api.Rates, p problems) api.Stage {
	r := s.Rules
	g := api.Stage{ID: "rules", Name: "Rules", Level: api.LevelOK, Rate: now(rates.Matched), Parts: []api.StagePart{}}
	var modes []string
	for _, mode := range []string{"active", "shadow", "off", "draft"} {
		if n := r.Modes[mode]; n > 0 {
			modes = append(modes, fmt.Sprintf("%d %s", n, mode))
		}
	}
	if g.Text = strings.Join(modes, ", "); g.Text == "" {
		g.Level, g.Text = api.LevelIdle, "no rules are published"
	}
	for _, b := range r.Broken {
		g.Level, g.Error = api.LevelError, errorIn(b.Finding)
		p.add(api.LevelError, "rules", "/rules/"+b.Rule, "mend the rule and publish it",
			&api.Error{Code: g.Error.Code, Message: "rule " + b.Rule + " does not fit its table: " + g.Error.Message})
	}
	if r.Refused != "" {
		g.Level = worst(g.Level, api.LevelWarn)
		e := errorIn(r.Refused)
		p.add(api.LevelWarn, "rules", "/rules", "mend the files, or take the newest with cdcd rules pull", &api.Error{Code: e.Code, Message: "changed rule files are not in force: " + e.Message})
	}
	for _, q := range s.Quarantined {
		g.Level = worst(g.Level, api.LevelWarn)
		e := errorIn(q.Why)
		p.add(api.LevelWarn, "rules", "/plugins", "publish a version that is mended, or cdcd plugin release "+q.Plugin,
			&api.Error{Code: e.Code, Message: fmt.Sprintf("plugin %s of rule %s is in quarantine in feed %s: %s", q.Plugin, q.Rule, q.Feed, e.Message)})
	}
	var behind uint64
	for _, f := range s.Feeds {
		behind = max(behind, f.Behind)
	}
	g.Behind = &behind
	return g
}

func deliveryStage(s api.Status, rates api.Rates, p problems) api.Stage {
	g := api.Stage{ID: "delivery", Name: "Delivery", Level: api.LevelIdle, Rate: now(rates.Records), Parts: []api.StagePart{}}
	late := 0.0
	var behind uint64
	for _, f := range s.Feeds {
		lag, n := max(f.BehindFor, f.AgeSeconds), f.Behind
		late, behind = max(late, lag), max(behind, n)
		part := api.StagePart{Feed: f.Feed, Level: api.LevelOK, LagSeconds: &lag, Behind: &n, Text: fmt.Sprintf("%d objects", f.Ordinal)}
		switch {
		case f.Error != "":
			part.Level, part.Text, part.Error = api.LevelError, "does not deliver", errorIn(f.Error)
			p.add(api.LevelError, "delivery", "/deliveries?feed="+f.Feed, "", &api.Error{Code: part.Error.Code, Message: "feed " + f.Feed + ": " + part.Error.Message})
		case lag > lateSeconds && n > 0:
			part.Level, part.Text = api.LevelWarn, since(lag)+" behind"
			p.add(api.LevelWarn, "delivery", "/deliveries?feed="+f.Feed, "see whether its store takes objects; it goes on by itself", &api.Error{Message: fmt.Sprintf("feed %s is %s behind", f.Feed, since(lag))})
		}
		if f.Mismatches > 0 {
			part.Level = worst(part.Level, api.LevelWarn)
			p.add(api.LevelWarn, "delivery", "/rules", "please report this; the log has the rule and the change",
				&api.Error{Message: fmt.Sprintf("feed %s: the index over the rules judged %d changes otherwise than CEL does; they were judged rightly", f.Feed, f.Mismatches)})
		}
		g.Level = worst(g.Level, part.Level)
		g.Parts = append(g.Parts, part)
		if g.Error == nil {
			g.Error = part.Error
		}
	}
	g.LagSeconds, g.Behind = &late, &behind
	g.Text = summed(g, "feed", "delivers", "deliver")
	return g
}

func partnerStage(s api.Status, p problems) api.Stage {
	g := api.Stage{ID: "partner", Name: "Partner", Level: api.LevelIdle, Text: "nobody is told of objects", Parts: []api.StagePart{}}
	for _, f := range s.Feeds {
		if len(f.Triggers)+len(f.Receipts) == 0 {
			continue
		}
		part := api.StagePart{Feed: f.Feed, Level: api.LevelOK, Text: "told of all objects"}
		var behind uint64
		for _, t := range f.Triggers {
			behind = max(behind, t.Behind)
			switch {
			case t.Disabled != "":
				part.Level, part.Text, part.Error = api.LevelError, "trigger disabled", errorIn(t.Disabled)
				p.add(api.LevelError, "partner", "/deliveries?feed="+f.Feed, "cdcd trigger enable "+f.Feed, &api.Error{Code: part.Error.Code, Message: fmt.Sprintf("the trigger of %s is disabled: %s", t.Chain, part.Error.Message)})
			case t.Error != "":
				part.Level, part.Text, part.Error = worst(part.Level, api.LevelWarn), "is not reached", errorIn(t.Error)
				p.add(api.LevelWarn, "partner", "/deliveries?feed="+f.Feed, "see whether "+t.Place+" answers; it is tried again by itself", &api.Error{Code: part.Error.Code, Message: fmt.Sprintf("the trigger of %s is not taken: %s", t.Chain, part.Error.Message)})
			case t.Behind > 0:
				part.Text = fmt.Sprintf("%d objects to tell of", t.Behind)
			}
		}
		for _, r := range f.Receipts {
			behind = max(behind, r.Unfetched)
			if r.Alarm {
				lag := r.Seconds
				part.LagSeconds, part.Level, part.Text = &lag, worst(part.Level, api.LevelWarn), "does not fetch"
				p.add(api.LevelWarn, "partner", "/deliveries?feed="+f.Feed, "ask the partner of feed "+f.Feed, &api.Error{Message: fmt.Sprintf("%d objects of %s are not fetched, the oldest for %s", r.Unfetched, r.Chain, since(r.Seconds))})
			}
		}
		part.Behind = &behind
		g.Level = worst(g.Level, part.Level)
		g.Parts = append(g.Parts, part)
		if g.Error == nil {
			g.Error = part.Error
		}
	}
	if len(g.Parts) > 0 {
		g.Text = summed(g, "partner", "is told", "are told")
	}
	return g
}

// summed says how many of a stage's parts are well.
func summed(g api.Stage, noun, one, many string) string {
	well := 0
	for _, part := range g.Parts {
		if part.Level == api.LevelOK {
			well++
		}
	}
	switch n := len(g.Parts); {
	case n == 0:
		return "no " + noun + "s"
	case well == n && n == 1:
		return "1 " + noun + " " + one
	case well == n:
		return fmt.Sprintf("%d %ss %s", n, noun, many)
	default:
		return fmt.Sprintf("%d of %d %ss %s", well, n, noun, many)
	}
}

// verdict is one sentence for all of it.
func verdict(s api.Status, o *api.Overview) string {
	failing := []string{}
	for _, g := range o.Stages {
		if g.Level == api.LevelError {
			failing = append(failing, strings.ToLower(g.Name))
		}
	}
	switch {
	case len(failing) > 0:
		return fmt.Sprintf("%s needs you: %s", strings.Join(failing, " and "), o.Problems[0].Message)
	case s.Capture.Standby:
		return "Standing by: another cdcd captures this source."
	case !s.Ready:
		return "Not ready: " + s.Why
	case o.Level == api.LevelWarn:
		return "Running, but " + o.Problems[0].Message
	case len(s.Feeds) > 0 && s.Capture.Connected:
		late := s.Capture.LagSeconds
		for _, f := range s.Feeds {
			late = max(late, f.BehindFor)
		}
		if late < silentSeconds {
			return "All is well: every change is delivered within seconds."
		}
		return "All is well, " + since(late) + " behind."
	}
	return "All is well."
}

// since writes a time for people.
func since(seconds float64) string {
	switch d := time.Duration(seconds * float64(time.Second)); {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.0f h", d.Hours())
	default:
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
}

// size writes a size for people.
func size(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for f >= 1024 && i < len(units)-1 {
		f, i = f/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}
