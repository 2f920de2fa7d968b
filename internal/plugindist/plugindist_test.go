package plugindist

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"

	"github.com/cdcd-project/cdcd/cdc"
)

var plugin = Plugin{Module: []byte("\x00asm\x01\x00\x00\x00 and so on"), Signature: []byte("untrusted comment: x\nRW\n"), Name: "fraud-score", Version: "1.2.0+b7",
	Description: "Scores orders"}

// newRegistry starts a registry and returns its host. wrap may stand before it.
func newRegistry(t *testing.T, wrap func(http.Handler) http.Handler) (host string) {
	t.Helper()
	handler := registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func place(t *testing.T, format string, args ...any) Place {
	t.Helper()
	p, err := ParsePlace(fmt.Sprintf(format, args...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// code returns the code of an error.
func code(err error) string {
	var coded *cdc.Error
	if errors.As(err, &coded) {
		return coded.Code
	}
	return fmt.Sprint(err)
}

func same(a, b Plugin) bool {
	return bytes.Equal(a.Module, b.Module) && bytes.Equal(a.Signature, b.Signature) && a.Name == b.Name && a.Version == b.Version && a.Description == b.Description
}

func TestWhatWasPushedIsPulled(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host := newRegistry(t, nil)
	folder := filepath.Join(t.TempDir(), "layout")
	for _, base := range []string{"oci://" + host + "/shop/fraud-score", "oci-layout:" + folder} {
		for _, p := range []Plugin{plugin, {Module: []byte{1}, Name: "a", Version: "2"}} {
			pushed, err := Push(t.Context(), place(t, "%s", base), p, Access{})
			if err != nil {
				t.Fatal(err)
			}
			if pushed.Tag != TagOf(p.Version) || pushed.Digest == "" {
				t.Errorf("pushed to %s", pushed)
			}
			for _, from := range []Place{pushed, place(t, "%s:%s", base, pushed.Tag), place(t, "%s@%s", base, pushed.Digest)} {
				pulled, err := Pull(t.Context(), from, Access{})
				if err != nil {
					t.Fatalf("%s: %v", from, err)
				}
				if !same(pulled.Plugin, p) || pulled.Place.Digest != pushed.Digest {
					t.Errorf("%s: got %+v", from, pulled)
				}
			}
			again, err := Push(t.Context(), place(t, "%s:other", base), p, Access{})
			if err != nil || again.Digest != pushed.Digest {
				t.Errorf("pushed again: %s, %v; want the digest of %s", again, err, pushed)
			}
		}
	}
}

func TestAPlaceIsRead(t *testing.T) {
	hex := strings.Repeat("0f", 32)
	for text, want := range map[string]Place{
		"oci://ghcr.io/shop/fraud-score:1.2.0":      {Registry: "ghcr.io", Repository: "shop/fraud-score", Tag: "1.2.0"},
		"oci://localhost:5000/p":                    {Registry: "localhost:5000", Repository: "p"},
		"oci://[::1]:5000/p:x@sha256:" + hex:        {Registry: "[::1]:5000", Repository: "p", Tag: "x", Digest: "sha256:" + hex},
		"oci-layout:/tmp/plugins:1.0":               {Dir: "/tmp/plugins", Tag: "1.0"},
		"oci-layout:../a.b/c":                       {Dir: "../a.b/c"},
		"oci-layout:x@sha256:" + hex:                {Dir: "x", Digest: "sha256:" + hex},
		"ghcr.io/shop/fraud-score":                  {},
		"https://ghcr.io/shop/fraud-score":          {},
		"oci://":                                    {},
		"oci:///shop":                               {},
		"oci://ghcr.io":                             {},
		"oci://ghcr.io/Shop":                        {},
		"oci://user:secret@ghcr.io/shop":            {},
		"oci://ghcr.io/shop@sha256:12":              {},
		"oci://ghcr.io/shop@":                       {},
		"oci://ghcr.io/shop:not/a/tag":              {},
		"oci://ghcr.io/shop:-x":                     {},
		"oci://ghcr.io/../shop":                     {},
		"oci://ghcr.io/shop@sha512:" + hex + hex:    {},
		"oci-layout:":                               {},
		"oci://ghcr.io/shop:1@sha256:" + hex + "00": {},
	} {
		got, err := ParsePlace(text)
		if want == (Place{}) {
			if code(err) != "CDCD-2560" {
				t.Errorf("%s: got %+v, %v", text, got, err)
			}
			continue
		}
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
		if err == nil && got.String() != text {
			t.Errorf("%s: written as %s", text, got)
		}
	}
}

func TestOnlyRegistriesHereAreSpokenToWithoutTLS(t *testing.T) {
	for host, want := range map[string]bool{"localhost": true, "localhost:5000": true, "127.0.0.1:80": true, "[::1]:80": true, "[::1]": true,
		"localhost.example.org": false, "10.0.0.1:5000": false, "registry:5000": false, "127.0.0.1.example.org:80": false} {
		repository, err := Access{}.repository(Place{Registry: host, Repository: "p"})
		if err != nil {
			t.Fatal(err)
		}
		if repository.PlainHTTP != want {
			t.Errorf("%s: without TLS: %v, want %v", host, repository.PlainHTTP, want)
		}
	}
	repository, err := Access{PlainHTTP: true}.repository(Place{Registry: "registry:5000", Repository: "p"})
	if err != nil || !repository.PlainHTTP {
		t.Errorf("asked for, with TLS, or %v", err)
	}
}

func TestARegistryIsGivenItsPassword(t *testing.T) {
	private := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "shop" || password != "secret" {
				w.Header().Set("WWW-Authenticate", `Basic realm="shop"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	host := newRegistry(t, private)
	where := place(t, "oci://%s/p:1", host)
	docker := t.TempDir()
	t.Setenv("DOCKER_CONFIG", docker)
	given := Access{User: "shop", Password: "secret"}
	if _, err := Push(t.Context(), where, plugin, given); err != nil {
		t.Errorf("given: %v", err)
	}
	for name, access := range map[string]Access{"none": {}, "another": {User: "shop", Password: "guess"}} {
		_, err := Pull(t.Context(), where, access)
		if code(err) != "CDCD-2561" || !strings.Contains(fmt.Sprint(err), "does not let us") || strings.Contains(fmt.Sprint(err), "guess") {
			t.Errorf("%s: %v", name, err)
		}
	}
	auths := fmt.Sprintf(`{"auths":{%q:{"auth":"c2hvcDpzZWNyZXQ="}}}`, host)
	if err := os.WriteFile(filepath.Join(docker, "config.json"), []byte(auths), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Pull(t.Context(), where, Access{}); err != nil {
		t.Errorf("from docker's file: %v", err)
	}
}

// image stores an image made by hand and returns its place.
func image(t *testing.T, base string, mediaType string, layers ...ocispec.Descriptor) Place {
	t.Helper()
	target, err := Access{}.target(t.Context(), place(t, "%s", base))
	if err != nil {
		t.Fatal(err)
	}
	empty := ocispec.DescriptorEmptyJSON
	manifest, err := json.Marshal(ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: mediaType, Config: empty, Layers: layers})
	if err != nil {
		t.Fatal(err)
	}
	d := content.NewDescriptorFromBytes(mediaType, manifest)
	blobs := []ocispec.Descriptor{empty, d}
	for i, b := range append([][]byte{empty.Data, manifest}, blobsOf(layers)...) {
		if i >= 2 {
			blobs = append(blobs, layers[i-2])
		}
		if there, err := target.Exists(t.Context(), blobs[i]); err != nil || there || b == nil {
			continue
		}
		if i == 1 {
			continue // last
		}
		if err := target.Push(t.Context(), blobs[i], bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	if err := target.Push(t.Context(), d, bytes.NewReader(manifest)); err != nil {
		t.Fatal(err)
	}
	return place(t, "%s@%s", base, d.Digest)
}

func blobsOf(layers []ocispec.Descriptor) (out [][]byte) {
	for i := range layers {
		out = append(out, layers[i].Data)
		layers[i].Data = nil
	}
	return out
}

// layer describes a blob, which goes along in Data until the image is stored.
func layer(mediaType string, b []byte) ocispec.Descriptor {
	d := content.NewDescriptorFromBytes(mediaType, b)
	d.Data = b
	return d
}

// archive packs files as layers of images are.
func archive(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	a := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		if err := a.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(a, files[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(a.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestImagesOfOtherProgramsAreReadIfTheyHaveAModule(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	const oci, docker = ocispec.MediaTypeImageManifest, "application/vnd.docker.distribution.manifest.v2+json"
	const gz = "application/vnd.oci.image.layer.v1.tar+gzip"
	zeros := strings.Repeat("\x00", 2*MaxModule)
	base := "oci://" + newRegistry(t, nil) + "/p"
	for _, row := range []struct {
		name, mediaType string
		layers          []ocispec.Descriptor
		want            string // the module, or a part of the error
	}{
		{"a layer for WebAssembly beside another", oci, []ocispec.Descriptor{layer("text/plain", []byte("readme")), layer(layerType, []byte("module"))}, "module"},
		{"Envoy's own type", oci, []ocispec.Descriptor{layer("application/vnd.module.wasm.content.layer.v1+wasm", []byte("module"))}, "module"},
		{"Envoy's compatible image", docker, []ocispec.Descriptor{layer("application/vnd.docker.image.rootfs.diff.tar.gzip", archive(t, "x", "y", "./plugin.wasm", "module"))}, "module"},
		{"an image without a module", oci, []ocispec.Descriptor{layer(gz, archive(t, "bin/sh", "y"))}, "there is no plugin.wasm in it"},
		{"an image of several layers", oci, []ocispec.Descriptor{layer(gz, archive(t)), layer(gz, archive(t))}, "none of its layers is of the type application/wasm"},
		{"no layers", oci, nil, "none of its layers"},
		{"what only looks compressed", oci, []ocispec.Descriptor{layer(gz, []byte("zip"))}, "its layer"},
		{"a bomb before the module", oci, []ocispec.Descriptor{layer(gz, archive(t, "zeros", zeros, "plugin.wasm", "x"))}, "unpacked it is larger than"},
		{"a bomb as the module", oci, []ocispec.Descriptor{layer(gz, archive(t, "plugin.wasm", zeros))}, "plugin.wasm has 33554432 bytes"},
		{"a module that is said to be huge", oci, []ocispec.Descriptor{{MediaType: layerType, Digest: ocispec.DescriptorEmptyJSON.Digest, Size: 1 << 62}}, "has 4611686018427387904 bytes"},
		{"a module that is said to be smaller than nothing", oci, []ocispec.Descriptor{{MediaType: layerType, Digest: ocispec.DescriptorEmptyJSON.Digest, Size: -1}}, "has -1 bytes"},
		{"a module of another size", oci, []ocispec.Descriptor{{MediaType: layerType, Digest: ocispec.DescriptorEmptyJSON.Digest, Size: 1}}, "mismatch Content-Length"},
		{"a digest that is a path", oci, []ocispec.Descriptor{{MediaType: layerType, Digest: "sha256:../../etc/passwd", Size: 2}}, "the digest"},
		{"a signature of a megabyte", oci, []ocispec.Descriptor{func() ocispec.Descriptor {
			d := layer(layerType, []byte("module"))
			d.Annotations = map[string]string{signatureAnnotation: strings.Repeat("x", maxSignature+1)}
			return d
		}()}, "its signature has 4097 bytes"},
	} {
		where := image(t, base, row.mediaType, row.layers...)
		got, err := Pull(t.Context(), where, Access{})
		switch {
		case err == nil && string(got.Module) != row.want:
			t.Errorf("%s: got %.40q, want %s", row.name, got.Module, row.want)
		case err != nil && !strings.Contains(err.Error(), row.want), err != nil && row.want == "module":
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
}

func TestOfAnIndexTheOneForWebAssemblyIsRead(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	base := "oci://" + newRegistry(t, nil) + "/p"
	target, err := Access{}.target(t.Context(), place(t, "%s", base))
	if err != nil {
		t.Fatal(err)
	}
	image1, image2 := image(t, base, ocispec.MediaTypeImageManifest, layer(layerType, []byte("one"))), image(t, base, ocispec.MediaTypeImageManifest, layer(layerType, []byte("two")))
	of := func(p Place, architecture string) ocispec.Descriptor {
		d, err := target.Resolve(t.Context(), p.Digest)
		if err != nil {
			t.Fatal(err)
		}
		d.Platform = &ocispec.Platform{OS: "wasip1", Architecture: architecture}
		return d
	}
	for want, images := range map[string][]ocispec.Descriptor{
		"two": {of(image1, "amd64"), of(image2, "wasm")},
		"one": {of(image1, "amd64")},
		"it is an index of 2 images, of which 2 are for the architecture wasm": {of(image1, "wasm"), of(image2, "wasm")},
		"it is an index of 2 images, of which 0 are for the architecture wasm": {of(image1, "amd64"), of(image2, "arm64")},
	} {
		text, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: images})
		if err != nil {
			t.Fatal(err)
		}
		d := content.NewDescriptorFromBytes(ocispec.MediaTypeImageIndex, text)
		if err := target.Push(t.Context(), d, bytes.NewReader(text)); err != nil {
			t.Fatal(err)
		}
		got, err := Pull(t.Context(), place(t, "%s@%s", base, d.Digest), Access{})
		if err == nil && string(got.Module) != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %+v, %v; want %s", got, err, want)
		}
	}
}

// A registry that lies is found out, and costs no more than what may be read.
func TestARegistryIsNotBelieved(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	lie := ""
	liar := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			blob, manifest := r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/sha256:"), strings.Contains(r.URL.Path, "/manifests/")
			switch {
			case lie == "another module" && blob:
				_, _ = w.Write(bytes.Repeat([]byte{'x'}, len(plugin.Module)))
			case lie == "a module without end" && blob:
				for r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 1<<16)); err != nil {
						return
					}
				}
			case lie == "a module that breaks off" && blob:
				w.Header().Set("Content-Length", fmt.Sprint(len(plugin.Module)))
				_, _ = w.Write(plugin.Module[:3])
			case lie == "another manifest" && manifest:
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				_, _ = w.Write([]byte(`{"schemaVersion":2}`))
			case lie == "a manifest without end" && manifest && r.Method == http.MethodGet:
				w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
				for r.Context().Err() == nil {
					if _, err := w.Write(make([]byte, 1<<16)); err != nil {
						return
					}
				}
			case lie == "a page of HTML" && manifest:
				w.Header().Set("Content-Type", "text/html")
				_, _ = w.Write([]byte("<html>log in</html>"))
			default:
				next.ServeHTTP(w, r)
			}
		})
	}
	host := newRegistry(t, liar)
	pushed, err := Push(t.Context(), place(t, "oci://%s/p:1", host), plugin, Access{})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ lie, code string }{
		{"another module", "CDCD-2563"},
		{"a module without end", "CDCD-2563"},
		{"a module that breaks off", "CDCD-2561"},
		{"another manifest", "CDCD-2563"},
		{"a manifest without end", "CDCD-2563"},
		{"a page of HTML", "CDCD-2563"},
	} {
		lie = row.lie
		_, err := Pull(t.Context(), pushed, Access{})
		if code(err) != row.code {
			t.Errorf("%s: %v, want %s", row.lie, err, row.code)
		}
	}
}

func TestWhatIsNotThereIsSaid(t *testing.T) {
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	host := newRegistry(t, nil)
	closed := httptest.NewServer(nil)
	closed.Close()
	folder := t.TempDir()
	for where, want := range map[string]string{
		"oci://" + host + "/p:1":                                      "CDCD-2562",
		"oci://" + host + "/p@sha256:" + strings.Repeat("00", 32):     "CDCD-2562",
		"oci-layout:" + folder + "/nowhere:1":                         "CDCD-2562",
		"oci://" + strings.TrimPrefix(closed.URL, "http://") + "/p:1": "CDCD-2561",
	} {
		if _, err := Pull(t.Context(), place(t, "%s", where), Access{}); code(err) != want {
			t.Errorf("%s: %v, want %s", where, err, want)
		}
	}
}
