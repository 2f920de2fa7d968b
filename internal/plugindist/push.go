package plugindist

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/errdef"
)

// The media types of WebAssembly in registries, as the CNCF's working group has settled them.
const (
	configType = "application/vnd.wasm.config.v0+json"
	layerType  = "application/wasm"
)

// signatureAnnotation is the annotation of the layer that has the signature.
const signatureAnnotation = "io.cdcd.plugin.minisig"

// Plugin is a plugin on its way.
type Plugin struct {
	Module    []byte
	Signature []byte // text of its minisign signature; nil: it is not signed

	// What its manifest says; they are for people who look at the registry.
	Name, Version, Description string
}

// config is what the media type of the configuration asks for.
type config struct {
	Architecture string   `json:"architecture"`
	OS           string   `json:"os"`
	LayerDigests []string `json:"layerDigests"`
}

// Push stores a plugin and returns the place with the digest of the manifest. The same plugin makes the same manifest,
// whenever it is pushed.
func Push(ctx context.Context, place Place, p Plugin, access Access) (Place, error) {
	if place.Reference() == "" {
		place.Tag = TagOf(p.Version)
	}
	target, err := access.target(ctx, place)
	if err != nil {
		return Place{}, err
	}
	layer := content.NewDescriptorFromBytes(layerType, p.Module)
	layer.Annotations = map[string]string{ocispec.AnnotationTitle: p.Name + ".wasm"}
	if p.Signature != nil {
		layer.Annotations[signatureAnnotation] = string(p.Signature)
	}
	settings, err := json.Marshal(config{"wasm", "wasip1", []string{layer.Digest.String()}})
	if err != nil {
		return Place{}, err
	}
	about := map[string]string{ocispec.AnnotationTitle: p.Name, ocispec.AnnotationVersion: p.Version}
	if p.Description != "" {
		about[ocispec.AnnotationDescription] = p.Description
	}
	manifest, err := json.Marshal(ocispec.Manifest{
		Versioned:   specs.Versioned{SchemaVersion: 2},
		MediaType:   ocispec.MediaTypeImageManifest,
		Config:      content.NewDescriptorFromBytes(configType, settings),
		Layers:      []ocispec.Descriptor{layer},
		Annotations: about,
	})
	if err != nil {
		return Place{}, err
	}
	for _, blob := range []struct {
		mediaType string
		bytes     []byte
	}{{layerType, p.Module}, {configType, settings}, {ocispec.MediaTypeImageManifest, manifest}} {
		d := content.NewDescriptorFromBytes(blob.mediaType, blob.bytes)
		if there, err := target.Exists(ctx, d); err != nil {
			return Place{}, problem(place, err)
		} else if there {
			continue
		}
		if err := target.Push(ctx, d, bytes.NewReader(blob.bytes)); err != nil && !errors.Is(err, errdef.ErrAlreadyExists) {
			return Place{}, problem(place, err)
		}
	}
	d := content.NewDescriptorFromBytes(ocispec.MediaTypeImageManifest, manifest)
	if err := target.Tag(ctx, d, place.Tag); err != nil {
		return Place{}, problem(place, err)
	}
	place.Digest = d.Digest.String()
	return place, nil
}
