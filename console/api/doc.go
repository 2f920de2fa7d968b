// Package api has the words of cdcd's HTTP API: what requests hold and what is answered, a file for each noun. They are JSON, and
// the verbs of the command line print the same with -o json:
//
//	var answer api.Answer[api.Status]
//	err := json.Unmarshal(body, &answer)
//
// Names and meanings of fields are a contract: they may be added to, and are not taken away.
package api
