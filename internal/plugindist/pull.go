package plugindist

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"

	"github.com/cdcd-project/cdcd/cdc"
)

const (
	// MaxModule is how large a module may be that is pulled.
	MaxModule = 16 << 20
	// maxManifest is how large a manifest may be.
	maxManifest = 1 << 20
	// maxSignature is how large a signature may be.
	maxSignature = 4 << 10
)

// Pulled is a plugin that has been read from a place.
type Pulled struct {
	Plugin // Name, Version and Description are what the registry says; the module's own manifest is what counts

	Place Place // with the digest that the tag had
}

// Pull reads a plugin. Images of which the module is a file named plugin.wasm in a compressed layer, as Envoy has them, are
// read, too.
func Pull(ctx context.Context, place Place, access Access) (*Pulled, error) {
	if place.Reference() == "" {
		place.Tag = "latest"
	}
	source, err := access.source(ctx, place)
	if err != nil {
		return nil, err
	}
	d, err := source.Resolve(ctx, place.Reference())
	if err != nil {
		return nil, problem(place, err)
	}
	place.Digest = d.Digest.String()
	image, err := readImage(ctx, source, place, d)
	if err != nil {
		return nil, err
	}
	layer, packed, err := moduleLayer(place, image)
	if err != nil {
		return nil, err
	}
	module, err := fetch(ctx, source, place, layer, MaxModule)
	if err != nil {
		return nil, err
	}
	if packed {
		if module, err = unpack(module); err != nil {
			return nil, notAPlugin(place, "its layer %s: %w", layer.Digest, err)
		}
	}
	out := &Pulled{Place: place, Plugin: Plugin{
		Module: module, Name: image.Annotations[ocispec.AnnotationTitle],
		Version: image.Annotations[ocispec.AnnotationVersion], Description: image.Annotations[ocispec.AnnotationDescription],
	}}
	if signature := layer.Annotations[signatureAnnotation]; len(signature) > maxSignature {
		return nil, notAPlugin(place, "its signature has %d bytes; at most %d are read", len(signature), maxSignature)
	} else if signature != "" {
		out.Signature = []byte(signature)
	}
	return out, nil
}

// readImage reads the manifest; of an index, that of the one image in it that is for WebAssembly.
func readImage(ctx context.Context, source content.Fetcher, place Place, d ocispec.Descriptor) (*ocispec.Manifest, error) {
	if d.MediaType == ocispec.MediaTypeImageIndex || d.MediaType == "application/vnd.docker.distribution.manifest.list.v2+json" {
		text, err := fetch(ctx, source, place, d, maxManifest)
		if err != nil {
			return nil, err
		}
		var index ocispec.Index
		if err := json.Unmarshal(text, &index); err != nil {
			return nil, notAPlugin(place, "its index: %w", err)
		}
		found := 0
		for _, m := range index.Manifests {
			if len(index.Manifests) == 1 || m.Platform != nil && m.Platform.Architecture == "wasm" {
				d = m
				found++
			}
		}
		if found != 1 {
			return nil, notAPlugin(place, "it is an index of %d images, of which %d are for the architecture wasm", len(index.Manifests), found)
		}
	}
	if d.MediaType != ocispec.MediaTypeImageManifest && d.MediaType != "application/vnd.docker.distribution.manifest.v2+json" {
		return nil, notAPlugin(place, "it is of the type %s", d.MediaType)
	}
	text, err := fetch(ctx, source, place, d, maxManifest)
	if err != nil {
		return nil, err
	}
	var image ocispec.Manifest
	if err := json.Unmarshal(text, &image); err != nil {
		return nil, notAPlugin(place, "its manifest: %w", err)
	}
	return &image, nil
}

// moduleLayer finds the layer that has the module; packed says that it is a file in an archive.
func moduleLayer(place Place, image *ocispec.Manifest) (d ocispec.Descriptor, packed bool, err error) {
	var types []string
	for _, layer := range image.Layers {
		switch layer.MediaType {
		case layerType, "application/vnd.wasm.content.layer.v1+wasm", "application/vnd.module.wasm.content.layer.v1+wasm":
			return layer, false, nil
		}
		types = append(types, layer.MediaType)
	}
	if len(image.Layers) == 1 && strings.HasSuffix(types[0], "gzip") {
		return image.Layers[0], true, nil
	}
	return d, false, notAPlugin(place, "none of its layers is of the type %s, but they are [%s]", layerType, strings.Join(types, ", "))
}

// unpack finds plugin.wasm in a compressed archive. What it reads is bounded, however well it is compressed.
func unpack(layer []byte) ([]byte, error) {
	plain, err := gzip.NewReader(bytes.NewReader(layer))
	if err != nil {
		return nil, err
	}
	bounded := &io.LimitedReader{R: plain, N: 2 * MaxModule}
	archive := tar.NewReader(bounded)
	for {
		header, err := archive.Next()
		switch {
		case bounded.N <= 0:
			return nil, fmt.Errorf("unpacked it is larger than %d bytes", 2*MaxModule)
		case errors.Is(err, io.EOF):
			return nil, fmt.Errorf("there is no plugin.wasm in it")
		case err != nil:
			return nil, err
		}
		if header.Typeflag != tar.TypeReg || path.Base(header.Name) != "plugin.wasm" {
			continue
		}
		if header.Size > MaxModule {
			return nil, fmt.Errorf("plugin.wasm has %d bytes; at most %d are read", header.Size, MaxModule)
		}
		return io.ReadAll(archive)
	}
}

// fetch reads what a descriptor names: not more than it says, not more than most, and exactly what has that digest.
func fetch(ctx context.Context, source content.Fetcher, place Place, d ocispec.Descriptor, most int64) ([]byte, error) {
	if d.Size < 0 || d.Size > most {
		return nil, notAPlugin(place, "%s has %d bytes; at most %d are read", d.Digest, d.Size, most)
	}
	if err := d.Digest.Validate(); err != nil {
		return nil, notAPlugin(place, "the digest '%.100s': %w", d.Digest, err)
	}
	b, err := content.FetchAll(ctx, source, d)
	if errors.Is(err, content.ErrMismatchedDigest) || errors.Is(err, content.ErrTrailingData) {
		return nil, notAPlugin(place, "what it has as %s is something else: %w", d.Digest, err)
	}
	if err != nil {
		return nil, problem(place, err)
	}
	return b, nil
}

func notAPlugin(place Place, format string, args ...any) error {
	return cdc.Errorf("CDCD-2563", "%s: %w", place, fmt.Errorf(format, args...)).
		WithFix("look at it with: oras manifest fetch %s", strings.TrimPrefix(place.String(), registryScheme))
}
