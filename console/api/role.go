package api

import "fmt"

// Role is what somebody may do; each may do what those before it may.
type Role int

// The roles.
const (
	Viewer    Role = iota + 1 // looks
	Analyst                   // writes drafts, checks and back-tests
	Publisher                 // publishes rules, and takes them back
	Operator                  // settles dead letters, sends again, and everything else
)

var roles = []string{"nobody", "viewer", "analyst", "publisher", "operator"}

// Roles are their names, from the least on.
var Roles = roles[1:]

// String returns the role's name.
func (r Role) String() string {
	if r < 0 || int(r) >= len(roles) {
		return fmt.Sprintf("role %d", int(r))
	}
	return roles[r]
}

// ParseRole reads a role's name.
func ParseRole(text string) (Role, bool) {
	for i, name := range Roles {
		if name == text {
			return Role(i + 1), true
		}
	}
	return 0, false
}

// MarshalText writes the name.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name.
func (r *Role) UnmarshalText(text []byte) error {
	role, ok := ParseRole(string(text))
	if !ok {
		return fmt.Errorf("there is no role '%s'", text)
	}
	*r = role
	return nil
}
