package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cdcd-project/cdcd/cdc"
	"github.com/cdcd-project/cdcd/internal/durable"
	"github.com/cdcd-project/cdcd/internal/plugindist"
	"github.com/cdcd-project/cdcd/internal/wasmbin"
)

// distPatience is how long a registry may take over everything.
const distPatience = 10 * time.Minute

// registryAccess are the flags of the verbs that speak to registries.
type registryAccess struct{ plainHTTP bool }

func (r *registryAccess) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&r.plainHTTP, "plain-http", false, "speak to the registry without TLS; on this machine that is so anyway")
}

func (r *registryAccess) access(a *app) plugindist.Access {
	return plugindist.Access{
		PlainHTTP: r.plainHTTP,
		User:      envValue(a.env, "CDCD_REGISTRY_USER"),
		Password:  envValue(a.env, "CDCD_REGISTRY_PASSWORD"),
		Agent:     "cdcd/" + readVersion().Version,
	}
}

func envValue(env []string, name string) string {
	for _, e := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}

const placesLong = `

A place is oci://HOST/REPOSITORY:TAG in a registry, or oci-layout:FOLDER:TAG, a folder that can be carried to machines
without a network. Passwords of registries are those of ` + "`docker login`" + `, or CDCD_REGISTRY_USER and CDCD_REGISTRY_PASSWORD.`

func newPluginPushCmd(a *app) *cobra.Command {
	var to registryAccess
	cmd := &cobra.Command{
		Use:   "push FILE PLACE",
		Short: "Store a plugin in a registry or a folder",
		Long: `Store a plugin, and its signature if FILE` + plugindist.SignatureSuffix + ` is there, as an OCI image with the module as its one layer. Without
a tag, the plugin's version is it.` + placesLong,
		Example: `  cdcd plugin push plugins/fraud-score.wasm oci://ghcr.io/shop/fraud-score
  cdcd plugin push fraud-score.wasm oci-layout:/media/stick/plugins:1.2.0`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := plugindist.ParsePlace(args[1])
			if err != nil {
				return err
			}
			if place.Digest != "" {
				return usagef("what is pushed gets its digest then; it cannot be named before").WithFix("leave out @%s", place.Digest)
			}
			p, err := readSignedPlugin(args[0])
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), distPatience)
			defer cancel()
			pushed, err := plugindist.Push(ctx, place, *p, to.access(a))
			if err != nil {
				return err
			}
			v := struct {
				Name    string `json:"name"`
				Version string `json:"version"`
				Digest  string `json:"digest"` // of the plugin
				Bytes   int    `json:"bytes"`
				Signed  bool   `json:"signed"`
				Tag     string `json:"tag"`
				Place   string `json:"place"` // with the digest of the manifest
			}{p.Name, p.Version, plugindist.Digest(p.Module), len(p.Module), p.Signature != nil, pushed.Tag, pushed.WithDigest(pushed.Digest).String()}
			return a.ui.result(kind(cmd), v, func(w io.Writer) {
				fmt.Fprintf(w, "%s pushed %s %s (%s), %s\n", a.ui.out(green, "✓"), v.Name, v.Version, signedOrNot(v.Signed), size(int64(v.Bytes)))
				fmt.Fprintf(w, "  tag     %s\n  place   %s\n  plugin  %s\n", v.Tag, v.Place, v.Digest)
			})
		},
	}
	to.flags(cmd)
	return cmd
}

func signedOrNot(signed bool) string {
	if signed {
		return "signed"
	}
	return "not signed"
}

func newPluginPullCmd(a *app) *cobra.Command {
	var from registryAccess
	var dir, file, digest string
	var keys []string
	var replace bool
	cmd := &cobra.Command{
		Use:   "pull PLACE",
		Short: "Fetch a plugin into the folder of plugins",
		Long: `Fetch a plugin as NAME.wasm, NAME being what its manifest says, into the folder of plugins. With --key, or
plugins.trusted_keys in the configuration, it must be signed with one of the keys; its signature is kept beside it.` + placesLong + `

What is behind a tag can change; oci://HOST/REPOSITORY@sha256:… cannot.`,
		Example: `  cdcd plugin pull oci://ghcr.io/shop/fraud-score:1.2.0 --key shop.pub
  cdcd plugin pull oci-layout:/media/stick/plugins:1.2.0 --file fraud-score.wasm`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			place, err := plugindist.ParsePlace(args[0])
			if err != nil {
				return err
			}
			switch cfg, err := a.config(); {
			case err == nil:
				keys = append(keys, cfg.Plugins.TrustedKeys...)
				dir = cmp.Or(dir, cfg.Plugins.Dir)
			case !missingConfig(a):
				return err
			}
			dir = cmp.Or(dir, "plugins")
			trusted, err := trustedKeys(keys)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), distPatience)
			defer cancel()
			pulled, err := plugindist.Pull(ctx, place, from.access(a))
			if err != nil {
				return err
			}
			about, err := readAbout(pulled.Place.String(), pulled.Module)
			if err != nil {
				return err
			}
			got := plugindist.Digest(pulled.Module)
			if digest != "" && digest != got {
				return cdc.Errorf("CDCD-2563", "%s: the plugin has the digest %s, not %s", pulled.Place, got, digest).WithFix("find out which is the right one before you use it")
			}
			v := &pulledPlugin{Name: about.Name, Version: about.Version, Digest: got, Bytes: len(pulled.Module), Signed: pulled.Signature != nil, Place: pulled.Place.WithDigest(pulled.Place.Digest).String()}
			if len(trusted) > 0 {
				if v.Signer, err = plugindist.Verify(pulled.Module, pulled.Signature, about.Name, about.Version, trusted); err != nil {
					return err
				}
			} else if v.Signed {
				a.ui.note("it is signed; whether by somebody whom you trust was not checked: no --key")
			}
			if v.File = file; file == "" {
				v.File = filepath.Join(dir, about.Name+".wasm")
			}
			if err := storePlugin(v, pulled, replace || file != ""); err != nil {
				return err
			}
			return a.ui.result(kind(cmd), v, func(w io.Writer) {
				fmt.Fprintf(w, "%s pulled %s %s, %s\n  file    %s\n  place   %s\n  plugin  %s\n", a.ui.out(green, "✓"), v.Name, v.Version, size(int64(v.Bytes)), v.File, v.Place, v.Digest)
				if v.Signer != nil {
					fmt.Fprintf(w, "  signed  %s (%s)\n", v.Signer.Key, v.Signer.KeyID)
				}
				if v.Replaced != "" {
					fmt.Fprintf(w, "  instead of %s\n", v.Replaced)
				}
			})
		},
	}
	from.flags(cmd)
	cmd.Flags().StringVar(&dir, "dir", "", "folder of plugins (default: plugins.dir of the configuration, or plugins)")
	cmd.Flags().StringVar(&file, "file", "", "file to write instead, whatever is there")
	cmd.Flags().StringVar(&digest, "digest", "", "digest that the plugin itself must have, sha256:…")
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key that is trusted: a file, or the key itself (repeatable)")
	cmd.Flags().BoolVar(&replace, "replace", false, "replace the plugin of that name, if there is one")
	return cmd
}

// pulledPlugin is the answer of pull.
type pulledPlugin struct {
	Name     string             `json:"name"`
	Version  string             `json:"version"`
	Digest   string             `json:"digest"`
	Bytes    int                `json:"bytes"`
	Signed   bool               `json:"signed"`
	Signer   *plugindist.Signer `json:"signer,omitempty"` // absent: not checked
	Place    string             `json:"place"`
	File     string             `json:"file"`
	Replaced string             `json:"replaced,omitempty"` // digest of what was there
}

// storePlugin writes a plugin and its signature. A name is only what a module says of itself, so one that is taken by another
// plugin stays that plugin's until a person says otherwise.
func storePlugin(v *pulledPlugin, p *plugindist.Pulled, replace bool) error {
	switch old, err := os.ReadFile(v.File); {
	case err == nil && bytes.Equal(old, p.Module):
	case err == nil && !replace:
		return cdc.Errorf("CDCD-2566", "%s is there already, with the digest %s", v.File, plugindist.Digest(old)).
			WithFix("replace it with --replace, or write elsewhere with --file")
	case err == nil:
		v.Replaced = plugindist.Digest(old)
	case !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("plugin: %w", err)
	}
	return placePlugin(v.File, p.Module, p.Signature)
}

// placePlugin puts a plugin into a file, and its signature, if it has one, beside it.
func placePlugin(file string, module, signature []byte) error {
	disk := durable.New()
	if err := disk.MakeDir(filepath.Dir(file)); err != nil {
		return fmt.Errorf("folder of plugins: %w", err)
	}
	if signature == nil {
		if err := os.Remove(file + plugindist.SignatureSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("signature of the plugin that was there: %w", err)
		}
	} else if err := disk.Replace(file+plugindist.SignatureSuffix, signature, 0o644); err != nil {
		return fmt.Errorf("signature of the plugin: %w", err)
	}
	if err := disk.Replace(file, module, 0o644); err != nil {
		return fmt.Errorf("plugin: %w", err)
	}
	return nil
}

func newPluginKeygenCmd(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key for signing plugins",
		Long: `Make a key of minisign in FILE, which only you can read, and the public key that belongs to it in FILE.pub, which
is for everybody. The key has no password; ` + "`minisign -G`" + ` makes one that has.`,
		Example: `  cdcd plugin keygen shop`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			private, public, err := plugindist.NewKey()
			if err != nil {
				return err
			}
			v := struct {
				File   string `json:"file"`
				Public string `json:"public"` // file
				Key    string `json:"key"`    // the public one
			}{args[0], args[0] + ".pub", strings.Split(string(public), "\n")[1]}
			disk := durable.New()
			for _, f := range []struct {
				name string
				text []byte
				mode fs.FileMode
			}{{v.File, private, 0o600}, {v.Public, public, 0o644}} {
				if created, err := disk.Create(f.name, f.text, f.mode); err != nil {
					return fmt.Errorf("key for signing: %w", err)
				} else if !created {
					return cdc.Errorf("CDCD-2565", "%s is there already", f.name).WithFix("a key is never replaced: name another file")
				}
			}
			return a.ui.result(kind(cmd), v, func(w io.Writer) {
				fmt.Fprintf(w, "%s made %s, keep it secret, and %s, for everybody:\n%s\n", a.ui.out(green, "✓"), v.File, v.Public, v.Key)
			})
		},
	}
}

func newPluginSignCmd(a *app) *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "sign FILE",
		Short: "Sign a plugin",
		Long: `Write FILE` + plugindist.SignatureSuffix + `, the signature of minisign of a plugin. It signs the name, the version and the digest, too, as its
trusted comment. The password of a key that has one is taken from CDCD_PLUGIN_KEY_PASSWORD.`,
		Example: `  cdcd plugin sign fraud-score.wasm --key shop`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usagef("--key is missing").WithFix("name the file of a key; `cdcd plugin keygen FILE` makes one")
			}
			module, about, err := readPluginFile(args[0])
			if err != nil {
				return err
			}
			private, err := os.ReadFile(key)
			if err != nil {
				return cdc.Errorf("CDCD-2565", "the key for signing: %w", err).WithFix("name a file that `cdcd plugin keygen` or minisign has made")
			}
			signature, err := plugindist.Sign(module, about.Name, about.Version, private, envValue(a.env, "CDCD_PLUGIN_KEY_PASSWORD"))
			if err != nil {
				return err
			}
			v := struct {
				Name      string `json:"name"`
				Version   string `json:"version"`
				Digest    string `json:"digest"`
				Signature string `json:"signature"` // file
			}{about.Name, about.Version, plugindist.Digest(module), args[0] + plugindist.SignatureSuffix}
			if err := durable.New().Replace(v.Signature, signature, 0o644); err != nil {
				return fmt.Errorf("signature: %w", err)
			}
			return a.ui.result(kind(cmd), v, func(w io.Writer) {
				fmt.Fprintf(w, "%s signed %s %s, %s: %s\n", a.ui.out(green, "✓"), v.Name, v.Version, v.Digest, v.Signature)
			})
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "file of the key for signing")
	return cmd
}

func newPluginVerifyCmd(a *app) *cobra.Command {
	var keys []string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check the signature of a plugin",
		Long: `Check FILE` + plugindist.SignatureSuffix + `, the signature of a plugin, against public keys. It exits with 1 when none of them has signed
this plugin.`,
		Example: `  cdcd plugin verify fraud-score.wasm --key shop.pub`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			trusted, err := trustedKeys(keys)
			if err != nil {
				return err
			}
			if len(trusted) == 0 {
				return usagef("--key is missing").WithFix("name the public key of whoever made the plugin")
			}
			p, err := readSignedPlugin(args[0])
			if err != nil {
				return err
			}
			v := struct {
				Name    string             `json:"name"`
				Version string             `json:"version"`
				Digest  string             `json:"digest"`
				Signer  *plugindist.Signer `json:"signer"`
				Problem string             `json:"problem,omitempty"`
			}{Name: p.Name, Version: p.Version, Digest: plugindist.Digest(p.Module)}
			if v.Signer, err = plugindist.Verify(p.Module, p.Signature, p.Name, p.Version, trusted); err != nil {
				v.Problem = err.Error()
			}
			return a.ui.verdict(kind(cmd), v.Signer != nil, v, func(w io.Writer) {
				if v.Signer == nil {
					fmt.Fprintf(w, "%s %s\n", a.ui.out(red, "✗"), v.Problem)
					return
				}
				fmt.Fprintf(w, "%s %s %s, %s\n  signed  %s (%s)\n", a.ui.out(green, "✓"), v.Name, v.Version, v.Digest, v.Signer.Key, v.Signer.KeyID)
			})
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public key that is trusted: a file, or the key itself (repeatable)")
	return cmd
}

// trustedKeys reads public keys: files, or keys themselves.
func trustedKeys(names []string) ([]plugindist.Key, error) {
	var out []plugindist.Key
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "RW") {
			text, err = []byte(name), nil
		}
		if err != nil {
			return nil, cdc.Errorf("CDCD-2565", "the public key: %w", err).WithFix("name a file that ends in .pub, or the line in it that begins with RW")
		}
		key, err := plugindist.ParseKey(name, string(text))
		if err != nil {
			return nil, err
		}
		out = append(out, key)
	}
	return out, nil
}

// readSignedPlugin reads a plugin with the signature beside it, if there is one.
func readSignedPlugin(name string) (*plugindist.Plugin, error) {
	module, about, err := readPluginFile(name)
	if err != nil {
		return nil, err
	}
	signature, err := os.ReadFile(name + plugindist.SignatureSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("signature of the plugin: %w", err)
	}
	return &plugindist.Plugin{Module: module, Signature: signature, Name: about.Name, Version: about.Version, Description: about.Description}, nil
}

func readPluginFile(name string) ([]byte, *pluginAbout, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > plugindist.MaxModule {
		err = fmt.Errorf("%s has %d bytes; at most %d are read", name, info.Size(), plugindist.MaxModule)
	}
	if err != nil {
		return nil, nil, cdc.Errorf("CDCD-2563", "plugin: %w", err).WithFix("name the file that `cdcd plugin build` has made")
	}
	module, err := os.ReadFile(name)
	if err != nil {
		return nil, nil, fmt.Errorf("plugin: %w", err)
	}
	about, err := readAbout(name, module)
	return module, about, err
}

// pluginAbout is what a plugin says of itself.
type pluginAbout struct{ Name, Version, Description string }

// readAbout reads the manifest in a module, which nothing has vetted yet.
func readAbout(where string, module []byte) (*pluginAbout, error) {
	bad := func(format string, args ...any) error {
		return cdc.Errorf("CDCD-2563", "%s is not a plugin: %w", where, fmt.Errorf(format, args...)).WithFix("make it with `cdcd plugin build`")
	}
	m, err := wasmbin.Read(module, wasmbin.DefaultLimits)
	if err != nil {
		return nil, bad("%w", err)
	}
	for _, s := range m.Sections {
		if s.ID != wasmbin.CustomSection || s.Name != "cdc.manifest" {
			continue
		}
		var about pluginAbout
		if err := json.Unmarshal(s.Body, &about); err != nil {
			return nil, bad("its manifest: %w", err)
		}
		if !pluginName.MatchString(about.Name) || about.Version == "" {
			return nil, bad("its manifest has the name '%.100s' and the version '%.100s'", about.Name, about.Version)
		}
		return &about, nil
	}
	return nil, bad("it has no manifest")
}
