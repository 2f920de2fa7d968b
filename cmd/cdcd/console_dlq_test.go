package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/cdcd-project/cdcd/console/api"
)

func TestDeadLettersAreJudgedAgainAndSettledFromTheConsole(t *testing.T) {
	p := deliveredDemo(t)
	h := p.handler()
	const fix = `{"after": {"sold_30d": 300}}`
	wish := func(do string, b body, code string) api.DLQJob {
		t.Helper()
		j := sent[api.DLQJob](t, h, http.MethodPost, "/api/v1/dlq/"+do, b, code)
		if code == "" {
			waitFor(t, do+" to end", func() bool {
				j = asked[api.DLQJob](t, h, "/api/v1/dlq/jobs/"+j.ID)
				return j.State != "running"
			})
		}
		return j
	}
	counts := func(j api.DLQJob) string {
		text, err := json.Marshal(j.Result.Counts)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	list := asked[api.DLQList](t, h, "/api/v1/dlq?feed=acme")
	if len(list.Groups) != 1 || list.Open != 5 || list.Groups[0].Code != "CDCD-2201" || list.Groups[0].Fix == "" || list.Groups[0].Example != "acme/39006" {
		t.Fatalf("got %+v", list)
	}
	group := list.Groups[0].ID
	page := asked[api.DeadLetters](t, h, "/api/v1/dlq/groups/"+group+"?state=open&pass=1&limit=2")
	if page.Of != 5 || page.More != 2 || len(page.Letters) != 2 || !json.Valid([]byte(page.Letters[0].Line)) || page.Letters[0].Errors[0].Code != "CDCD-2201" || page.Letters[0].Event != nil {
		t.Errorf("got %+v", page)
	}
	if j := wish("retest", body{"by": "ann"}, ""); j.State != "done" || counts(j) != `{"fails":5}` || j.Who != "ann" {
		t.Errorf("retest: %+v", j)
	}
	if j := wish("redrive", body{"what": []string{"acme/39006"}, "edit": fix}, ""); counts(j) != `{"matches":1}` || !j.DryRun || len(j.Result.Jobs) != 0 {
		t.Errorf("dry run: %+v", j)
	}
	if j := wish("redrive", body{"what": []string{"acme/39006"}, "edit": fix, "yes": true, "why": "sales were lost"}, ""); counts(j) != `{"matches":1}` || len(j.Result.Jobs) != 1 ||
		len(j.Result.Into) != 1 || j.Progress.Delivered != 1 {
		t.Errorf("redrive: %+v", j)
	}
	some := asked[api.DeadLetters](t, h, "/api/v1/dlq/letters?id=acme%2F39006&id="+group)
	if len(some.Letters) != 5 {
		t.Fatalf("%d letters", len(some.Letters))
	}
	one := some.Letters[0]
	if one.State != "redriven" || one.Why != "sales were lost" || len(one.Edits) != 1 || one.Edits[0].Text != strings.ReplaceAll(fix, " ", "") || !strings.Contains(one.Line, `"sold_30d":0,`) ||
		!strings.Contains(one.Edited, `"sold_30d":300,`) {
		t.Errorf("got %+v", one)
	}
	if j := wish("discard", body{"what": []string{group}, "yes": true, "why": "a test"}, ""); counts(j) != `{"discarded":4,"settled":1}` {
		t.Errorf("discard: %s", counts(j))
	}
	if list := asked[api.DLQList](t, h, "/api/v1/dlq"); len(list.Groups) != 0 {
		t.Errorf("still open: %+v", list)
	}

	for _, c := range []struct {
		do   string
		wish body
		code string
	}{
		{"redrive", body{"yes": true, "why": "x"}, "CDCD-1050"},
		{"redrive", body{"what": []string{group}, "yes": true}, "CDCD-1050"},
		{"retest", body{"what": []string{group}, "yes": true}, "CDCD-1050"},
		{"redrive", body{"what": []string{group}, "edit": fix}, "CDCD-1050"},
		{"retest", body{"what": []string{"acme/39006"}, "edit": "{"}, "CDCD-4602"},
		{"retest", body{"what": []string{"acme/1"}}, "CDCD-4601"},
		{"discard", body{"what": []string{group}, "feeds": []string{"acne"}, "yes": true, "why": "x"}, "CDCD-1001"},
	} {
		wish(c.do, c.wish, c.code)
	}
	sent[api.DLQJob](t, h, http.MethodGet, "/api/v1/dlq/jobs/none", nil, "CDCD-1056")
}
