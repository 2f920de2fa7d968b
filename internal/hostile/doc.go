// Package hostile has, as tests, the plugins that somebody would write who wants to harm the program that runs them: to end it, to
// take its memory, to keep its processors, to make it say what is not true. Each is refused, or stopped within its limit and with
// its kind, while others go on as before.
//
//	go test ./internal/hostile -v
//
// It is the list to add to when somebody has a new idea.
package hostile
