package plugindist

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
	"oras.land/oras-go/v2/registry/remote/errcode"
	"oras.land/oras-go/v2/registry/remote/retry"

	"github.com/cdcd-project/cdcd/cdc"
)

// Access says how registries are spoken to.
type Access struct {
	PlainHTTP      bool   // without TLS, also to other machines
	User, Password string // of the registry; "": what docker's configuration file has
	Agent          string // what we say who we are
}

// source is what plugins are read from.
func (a Access) source(ctx context.Context, place Place) (oras.ReadOnlyTarget, error) {
	if place.Dir == "" {
		return a.repository(place)
	}
	folder, err := oci.NewFromFS(ctx, os.DirFS(place.Dir))
	if err != nil {
		return nil, problem(place, err)
	}
	return folder, nil
}

// target is what plugins are stored in.
func (a Access) target(ctx context.Context, place Place) (oras.Target, error) {
	if place.Dir == "" {
		return a.repository(place)
	}
	folder, err := oci.NewWithContext(ctx, place.Dir)
	if err != nil {
		return nil, problem(place, err)
	}
	return folder, nil
}

func (a Access) repository(place Place) (*remote.Repository, error) {
	repository, err := remote.NewRepository(place.Registry + "/" + place.Repository)
	if err != nil {
		return nil, cdc.Errorf("CDCD-2560", "%s: %w", place, err)
	}
	credential, err := a.credential(place)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 30 * time.Second
	repository.PlainHTTP = a.PlainHTTP || place.here()
	repository.MaxMetadataBytes = maxManifest
	repository.Client = &auth.Client{
		Client:     &http.Client{Transport: retry.NewTransport(transport)},
		Header:     http.Header{"User-Agent": {a.Agent}},
		Cache:      auth.NewCache(),
		Credential: credential,
	}
	return repository, nil
}

// credential says with which name and password registries are to be asked.
func (a Access) credential(place Place) (auth.CredentialFunc, error) {
	if a.User != "" || a.Password != "" {
		given := auth.Credential{Username: a.User, Password: a.Password}
		return auth.StaticCredential(place.Registry, given), nil
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return nil, cdc.Errorf("CDCD-2561", "docker's configuration file, for the registry's password: %w", err).
			WithFix("mend or remove it, or set CDCD_REGISTRY_USER and CDCD_REGISTRY_PASSWORD")
	}
	return credentials.Credential(store), nil
}

// problem explains what a registry or a folder answered.
func problem(place Place, err error) error {
	var answer *errcode.ErrorResponse
	var dial *net.OpError
	var path *fs.PathError
	switch {
	case errors.Is(err, auth.ErrBasicCredentialNotFound),
		errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return cdc.Errorf("CDCD-2561", "%s: the registry does not let us: %w", place, err).
			WithFix("log in with `docker login %s` or `oras login %s`, or set CDCD_REGISTRY_USER and CDCD_REGISTRY_PASSWORD", place.Registry, place.Registry)
	case errors.Is(err, errdef.ErrNotFound), errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		fix := "name a tag or digest that is there"
		if place.Digest != "" {
			fix = "behind @ stands the digest of the manifest, which `cdcd plugin push` prints; that of the plugin itself goes into --digest"
		}
		return cdc.Errorf("CDCD-2562", "%s is not there: %w", place, err).WithFix("%s", fix)
	case errors.As(err, &path) && errors.Is(err, fs.ErrNotExist):
		return cdc.Errorf("CDCD-2562", "%s is not there: %w", place, err).WithFix("name a folder that `cdcd plugin push oci-layout:…` has made")
	case errors.As(err, &dial):
		return cdc.Errorf("CDCD-2561", "%s: the registry cannot be reached: %w", place, err).
			WithFix("check the address and the way there (proxies are taken from HTTPS_PROXY)")
	}
	return cdc.Errorf("CDCD-2561", "%s: %w", place, err).
		WithFix("a registry without TLS on another machine needs --plain-http")
}
