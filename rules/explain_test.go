package rules

import (
	"encoding/json"
	"math/rand/v2"
	"testing"

	"github.com/cdcd-project/cdcd/internal/rulegen"
)

func TestAnExplanationAsData(t *testing.T) {
	tables := mustTables(t, `tables: {a.b: {columns: {x: int not null, y: varchar(10)}}}`)
	set := mustSet(t, `version: 1
rules:
  - {name: r, tables: [a.b], on: [insert], when: "after.x > 1 && (after.y == 'a' || after.y.size() > 3)", to: [acme]}
`)
	e := readEvent(t, tables, `{"op":"insert","after":{"x":1,"y":null}}`)
	x, err := set.Explain(e, "r")
	if err != nil {
		t.Fatal(err)
	}
	x.Version = "sha256:…"
	got, err := json.MarshalIndent(x, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
 "rule": "r",
 "version": "sha256:…",
 "mode": "active",
 "outcome": "no_match",
 "summary": "does not match because after.x is 1, not more than 1",
 "conditions": [
  {
   "key": "when",
   "text": "after.x \u003e 1 \u0026\u0026 (after.y == 'a' || after.y.size() \u003e 3)",
   "because": [
    "after.x is 1, not more than 1"
   ],
   "step": {
    "text": "after.x \u003e 1 \u0026\u0026 (after.y == 'a' || after.y.size() \u003e 3)",
    "from": 0,
    "to": 53,
    "truth": "false",
    "decides": true,
    "steps": [
     {
      "text": "after.x \u003e 1",
      "from": 0,
      "to": 11,
      "truth": "false",
      "decides": true,
      "steps": [
       {
        "text": "after.x",
        "from": 0,
        "to": 7,
        "value": "1"
       }
      ]
     },
     {
      "text": "after.y == 'a' || after.y.size() \u003e 3",
      "from": 16,
      "to": 52,
      "truth": "not needed",
      "steps": [
       {
        "text": "after.y == 'a'",
        "from": 16,
        "to": 30,
        "truth": "false",
        "steps": [
         {
          "text": "after.y",
          "from": 16,
          "to": 23,
          "value": "NULL"
         }
        ]
       },
       {
        "text": "after.y.size() \u003e 3",
        "from": 34,
        "to": 52,
        "truth": "not needed",
        "steps": [
         {
          "text": "after.y.size()",
          "from": 34,
          "to": 48,
          "truth": "not needed",
          "steps": [
           {
            "text": "after.y",
            "from": 34,
            "to": 41,
            "value": "NULL"
           }
          ]
         }
        ]
       }
      ]
     }
    ]
   }
  }
 ]
}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestExplainingARuleThatIsNotThere(t *testing.T) {
	tables := mustTables(t, `tables: {a.b: {columns: {x: int not null}}}`)
	set := mustSet(t, "version: 1\nrules:\n  - {name: paid-orders, tables: [a.b], to: [x]}\n")
	e := readEvent(t, tables, `{"op":"insert","after":{"x":1}}`)
	_, err := set.Explain(e, "paid-order")
	if got, want := err.Error(), "CDCD-2133: there is no rule 'paid-order'"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Whatever a rule and a change look like, what is explained is what was decided, and every part stands where it says.
func TestExplanationsAreOfWhatWasDecided(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	explained := map[Outcome]int{}
	for range 40 {
		seed := make([]byte, 400)
		for i := range seed {
			seed[i] = byte(r.Uint32())
		}
		c := rulegen.New(seed).Case(10, 10)
		rs, _ := Parse("rules.yaml", []byte(c.Source())) // those that can be read
		set, err := New(rs)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c.Events {
			d := set.Decide(e)
			for _, x := range set.ExplainAll(e) {
				checkExplanation(t, set, d, x)
				if len(x.Conditions) > 0 {
					explained[x.Outcome]++
				}
			}
		}
	}
	if explained[Matched] < 50 || explained[NotMatched] < 50 || explained[Failing] < 50 {
		t.Errorf("few were explained: %v", explained)
	}
}
