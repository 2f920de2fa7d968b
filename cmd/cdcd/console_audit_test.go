package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/proof"
)

func TestTheAuditLogIsSearchedAndProvedFromTheConsole(t *testing.T) {
	p := deliveredDemo(t)
	h := p.handler()
	all := asked[api.AuditList](t, h, "/api/v1/audit?limit=500")
	if int64(len(all.Entries)) != all.Size || all.Before != 0 || all.Searched != all.Size || all.Entries[0].Index != all.Size-1 {
		t.Fatalf("%d of %d entries, before %d, searched %d", len(all.Entries), all.Size, all.Before, all.Searched)
	}
	var paged []api.AuditEntry
	for before := int64(0); ; {
		page := asked[api.AuditList](t, h, fmt.Sprintf("/api/v1/audit?limit=2&before=%d", before))
		paged = append(paged, page.Entries...)
		if before = page.Before; before == 0 {
			break
		}
	}
	if fmt.Sprint(paged) != fmt.Sprint(all.Entries) {
		t.Errorf("by pages: %+v", paged)
	}
	objects := asked[api.AuditList](t, h, "/api/v1/audit?kind=object&feed=acme")
	rules := asked[api.AuditList](t, h, "/api/v1/audit?kind=rules&q=PAID-big")
	parked := asked[api.AuditList](t, h, "/api/v1/audit?kind=rules&kind=trap&who=nobody")
	if len(objects.Entries) != 5 || len(rules.Entries) != 1 || rules.Entries[0].Who == "" || len(parked.Entries) != 0 {
		t.Errorf("got %+v, %+v, %+v", objects, rules, parked)
	}

	c := asked[api.AuditCheckpoint](t, h, "/api/v1/audit/checkpoint")
	if c.Size != all.Size || c.Origin == "" {
		t.Errorf("got %+v", c)
	}
	one := objects.Entries[4]
	byEntry := asked[api.AuditProof](t, h, fmt.Sprintf("/api/v1/audit/entries/%d?record=2", one.Index))
	byObject := asked[api.AuditProof](t, h, "/api/v1/audit/proofs?record=2&object="+url.QueryEscape(one.What))
	if fmt.Sprint(byEntry.Proof) != byObject.Proof || byEntry.Entry != one {
		t.Errorf("got %+v\nand %+v", byEntry, byObject)
	}
	read, err := proof.Parse([]byte(byEntry.Proof))
	if err != nil {
		t.Fatal(err)
	}
	record, err := base64.StdEncoding.DecodeString(byEntry.Record.Line)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := read.Check(proof.Claim{Key: c.Key, Record: record}); err != nil || r.Record != 1 || r.Leaf != one.Leaf {
		t.Errorf("%+v, %v", r, err)
	}
	for path, code := range map[string]string{
		"/api/v1/audit/entries/99999":                                            "CDCD-4510",
		"/api/v1/audit/proofs?object=none":                                       "CDCD-4510",
		"/api/v1/audit/proofs":                                                   "CDCD-1050",
		fmt.Sprintf("/api/v1/audit/entries/%d?record=999999", one.Index):         "CDCD-4511",
		fmt.Sprintf("/api/v1/audit/entries/%d?record=1", rules.Entries[0].Index): "CDCD-4511",
	} {
		sent[api.AuditProof](t, h, http.MethodGet, path, nil, code)
	}
}
