// Package plugindist moves plugins between machines, and says who made them: OCI registries, folders in their layout, and
// minisign signatures.
//
//	place, err := plugindist.ParsePlace("oci://ghcr.io/shop/fraud-score:1.2.0")
//	pulled, err := plugindist.Pull(ctx, place, plugindist.Access{})
//	signer, err := plugindist.Verify(pulled.Module, pulled.Signature, pulled.Name, pulled.Version, keys)
//
// A pushed plugin is an OCI image with the module as its one layer, as other programs for WebAssembly store theirs; its
// signature is an annotation of the layer, so that whoever has the manifest has it too. Nothing that comes from a registry is
// believed: what is read is bounded before it is read, and must have the digest that it was asked for by. A plugin is its
// module: rules are pinned to the digest of that, which a registry has no part in.
package plugindist
