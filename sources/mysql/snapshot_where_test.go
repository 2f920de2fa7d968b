package mysql

import "testing"

func TestASnapshotsConditionStaysACondition(t *testing.T) {
	for where, want := range map[string]string{
		"": "", "id > 5": "", "(a = 1 OR b = 2) AND c IN (SELECT id FROM d)": "", "name = 'it''s; (so) -- # /* '": "",
		`name = "a)" AND ` + "`x)` = 1": "", "a - -1 = b": "",
		"TRUE) UNION SELECT id, ssn FROM shop.customers WHERE (TRUE": "it has a ) too many",
		"id IN (1, 2":                            "it has a ( too many",
		"name = 'x":                              "it has a quote that does not end",
		`name = '\') UNION SELECT 1 WHERE (''='`: `it has a \ in a string, which means one thing or another by the server's sql_mode`,
		"id = 1 -- x":                            "it has a comment or a semicolon",
		"id = 1 # x":                             "it has a comment or a semicolon",
		"id = 1 /*! or 1*/":                      "it has a comment or a semicolon",
		"id = 1; DROP":                           "it has a comment or a semicolon",
	} {
		got := ""
		if err := oneCondition(where); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", where, got, want)
		}
	}
}
