package plugindist

import (
	"cmp"
	"fmt"
	"net"
	"regexp"
	"strings"

	"oras.land/oras-go/v2/registry"

	"github.com/cdcd-project/cdcd/cdc"
)

// Place is where a plugin is stored.
type Place struct {
	Dir        string // of an OCI layout; "": Registry and Repository say where
	Registry   string // host, with a port if it has one
	Repository string
	Tag        string // "" if there is a digest or none was named
	Digest     string // of the manifest: "sha256:…"
}

const (
	registryScheme = "oci://"
	layoutScheme   = "oci-layout:"
)

var (
	tagPattern    = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	digestPattern = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// ParsePlace reads oci://HOST/REPOSITORY[:TAG][@sha256:…] or oci-layout:FOLDER[:TAG][@sha256:…].
func ParsePlace(s string) (Place, error) {
	bad := func(format string, args ...any) (Place, error) {
		return Place{}, cdc.Errorf("CDCD-2560", "'%s' is not a place of plugins: %s", s, fmt.Sprintf(format, args...)).
			WithFix("write oci://HOST/REPOSITORY:TAG, oci://HOST/REPOSITORY@sha256:… or oci-layout:FOLDER:TAG")
	}
	rest, remote := strings.CutPrefix(s, registryScheme)
	local := false
	if !remote {
		rest, local = strings.CutPrefix(s, layoutScheme)
	}
	if !remote && !local {
		return bad("it begins with neither %s nor %s", registryScheme, layoutScheme)
	}
	var p Place
	rest, p.Digest, _ = strings.Cut(rest, "@")
	if p.Digest != "" && !digestPattern.MatchString(p.Digest) || strings.HasSuffix(s, "@") {
		return bad("behind @ there is no digest: sha256: and 64 hexadecimal digits")
	}
	if colon := strings.LastIndexByte(rest, ':'); colon > strings.LastIndexByte(rest, '/') {
		rest, p.Tag = rest[:colon], rest[colon+1:]
		if !tagPattern.MatchString(p.Tag) {
			return bad("'%s' is not a tag: letters, digits, '_', '.' and '-'", p.Tag)
		}
	}
	if local {
		if p.Dir = rest; rest == "" {
			return bad("it names no folder")
		}
		return p, nil
	}
	p.Registry, p.Repository, _ = strings.Cut(rest, "/")
	ref := registry.Reference{Registry: p.Registry, Repository: p.Repository}
	switch {
	case ref.ValidateRegistry() != nil || p.Registry == "":
		return bad("'%s' is not a host", p.Registry)
	case ref.ValidateRepository() != nil:
		return bad("'%s' is not a repository: lower-case letters, digits and separators", p.Repository)
	}
	return p, nil
}

// Reference is the tag or digest that the place names; "" if none.
func (p Place) Reference() string { return cmp.Or(p.Digest, p.Tag) }

// WithDigest is the place that is the same for ever.
func (p Place) WithDigest(digest string) Place {
	p.Tag, p.Digest = "", digest
	return p
}

func (p Place) String() string {
	s := layoutScheme + p.Dir
	if p.Dir == "" {
		s = registryScheme + p.Registry + "/" + p.Repository
	}
	if p.Tag != "" {
		s += ":" + p.Tag
	}
	if p.Digest != "" {
		s += "@" + p.Digest
	}
	return s
}

// here reports whether the registry is on this machine, where nobody listens on the line.
func (p Place) here() bool {
	host, _, err := net.SplitHostPort(p.Registry)
	if err != nil {
		host = strings.Trim(p.Registry, "[]")
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// TagOf is the tag that a version of a plugin has: the version, without what tags cannot have.
func TagOf(version string) string {
	if tag := strings.ReplaceAll(version, "+", "_"); tagPattern.MatchString(tag) {
		return tag
	}
	return "latest"
}
