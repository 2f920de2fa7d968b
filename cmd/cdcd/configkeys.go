package main

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/cdcd-project/cdcd/console/api"
	"github.com/cdcd-project/cdcd/internal/strictyaml"
)

// This file reads the structs of config.go by reflection: defaults, overrides, tags and the list of all settings.

// override is a setting that did not come from the file.
type override struct {
	origin string // "environment variable CDCD_…" or "--set"
}

// configField is one key of a struct.
type configField struct {
	name  string
	value reflect.Value
	tag   reflect.StructTag
}

func configFields(v reflect.Value) []configField {
	var out []configField
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, ok := f.Tag.Lookup("yaml")
		if name == ",inline" {
			out = append(out, configFields(v.Field(i))...)
		} else if ok {
			out = append(out, configField{name, v.Field(i), f.Tag})
		}
	}
	return out
}

// setDefaults fills every zero setting that has a default.
func setDefaults(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			setDefaults(v.Elem())
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			setDefaults(v.MapIndex(key))
		}
	case reflect.Struct:
		for _, f := range configFields(v) {
			text, ok := f.tag.Lookup("default")
			switch {
			case !ok:
				setDefaults(f.value)
			case f.value.IsZero():
				if err := setText(f.value, text); err != nil {
					panic(fmt.Sprintf("default of %s: %v", f.name, err)) // a constant in config.go
				}
			}
		}
	}
}

// setText sets a scalar or a list (separated by commas) from text.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("expected true or false, got '%s'", text)
		}
		v.SetBool(b)
	case reflect.Int:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("expected a whole number, got '%s'", text)
		}
		v.SetInt(n)
	case reflect.Uint32:
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil {
			return fmt.Errorf("expected a whole number up to 4294967295, got '%s'", text)
		}
		v.SetUint(n)
	case reflect.Slice:
		var items []string
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		v.Set(reflect.ValueOf(items))
	case reflect.Interface:
		v.Set(reflect.ValueOf(text))
	default:
		return fmt.Errorf("it has settings of its own; set those")
	}
	return nil
}

// applyOverrides puts the environment and then the flags over the file.
func (c *config) applyOverrides(env, sets []string) strictyaml.Errors {
	var errs strictyaml.Errors
	apply := func(origin, value string, steps []string, exact bool) {
		at, near, err := c.override(steps, value, exact)
		if err != nil {
			e := &strictyaml.Error{File: origin, Code: "CDCD-1014", Msg: err.Error(), Path: strings.Join(at, ".")}
			if near != "" {
				e.Hint("did you mean '%s'?", near)
			}
			errs = append(errs, e)
			return
		}
		c.overrides[strings.Join(at, ".")] = override{origin}
	}
	for _, e := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(e, "=")
		rest, ok := strings.CutPrefix(name, "CDCD_")
		if !ok || !strings.Contains(rest, "__") && !oneOf(rest, "NAME", "DATA", "RULES") {
			continue // such as the variable that password_env names
		}
		apply("environment variable "+name, value, strings.Split(strings.ToLower(rest), "__"), false)
	}
	for _, s := range sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			errs = append(errs, (&strictyaml.Error{File: "--set " + s, Code: "CDCD-1014", Msg: "it has no '='"}).
				Hint("write it like --set bus.embedded.max_bytes=1GiB"))
			continue
		}
		apply("--set "+key, value, strings.Split(key, "."), true)
	}
	return errs
}

// override sets one setting. Unless exact, names in maps match whatever their case and with - for _, because the names
// of environment variables allow no better. It returns the path that was set, and the nearest key to an unknown one.
func (c *config) override(steps []string, value string, exact bool) (at []string, near string, err error) {
	v := reflect.ValueOf(&c.fileConfig).Elem()
	for i, step := range steps {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		switch v.Kind() {
		case reflect.Struct:
			var names []string
			next := reflect.Value{}
			for _, f := range configFields(v) {
				names = append(names, f.name)
				if f.name == step {
					next = f.value
				}
			}
			if !next.IsValid() {
				near, _ := strictyaml.Nearest(step, names)
				return steps, near, fmt.Errorf("there is no setting '%s'", strings.Join(append(at, step), "."))
			}
			v = next
		case reflect.Map:
			step = mapName(v, step, exact)
			key := reflect.ValueOf(step)
			if !v.IsValid() || v.IsNil() {
				v.Set(reflect.MakeMap(v.Type()))
			}
			if m := v.MapIndex(key); !m.IsValid() || m.IsNil() {
				v.SetMapIndex(key, reflect.New(v.Type().Elem().Elem()))
			}
			v = v.MapIndex(key)
		default:
			return steps, "", fmt.Errorf("'%s' has no settings below it", strings.Join(steps[:i], "."))
		}
		at = append(at, step)
	}
	if v.Kind() == reflect.Map || v.Kind() == reflect.Pointer || v.Kind() == reflect.Struct {
		return steps, "", fmt.Errorf("'%s' is not a single setting", strings.Join(at, "."))
	}
	if err := setText(v, value); err != nil {
		return at, "", fmt.Errorf("%s: %s", strings.Join(at, "."), err)
	}
	return at, "", nil
}

func mapName(m reflect.Value, name string, exact bool) string {
	fold := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }
	for _, key := range m.MapKeys() {
		if !exact && fold(key.String()) == fold(name) {
			return key.String()
		}
	}
	return name
}

// checkTags judges what the tags required and enum say.
func (v *validator) checkTags(s reflect.Value, at []any) {
	switch s.Kind() {
	case reflect.Pointer:
		if !s.IsNil() {
			v.checkTags(s.Elem(), at)
		}
	case reflect.Map:
		for _, key := range sortedMapKeys(s) {
			v.checkTags(s.MapIndex(reflect.ValueOf(key)), append(at[:len(at):len(at)], key))
		}
	case reflect.Struct:
		for _, f := range configFields(s) {
			v.checkField(f, append(at[:len(at):len(at)], f.name))
		}
	}
}

func (v *validator) checkField(f configField, at []any) {
	enum := f.tag.Get("enum")
	text := fmt.Sprint(f.value)
	switch {
	case f.tag.Get("required") != "" && f.value.IsZero() && !v.isSet(at):
		e := v.fault(at, "CDCD-1011", "%s is missing", v.doc.At(at...).Path())
		if f.value.Kind() == reflect.Struct || f.value.Kind() == reflect.Map {
			e.Hint("add '%s:' with its settings", f.name)
		} else if enum != "" {
			e.Hint("add '%s: %s'", f.name, enum)
		} else {
			e.Hint("add '%s: …'", f.name)
		}
	case f.tag.Get("required") != "" && f.value.Kind() != reflect.Map && f.value.Kind() != reflect.Struct && isEmpty(f.value):
		v.invalid(at, "%s is empty", v.doc.At(at...).Path())
	case enum != "" && v.isSet(at) && !oneOf(text, strings.Split(enum, ",")...):
		e := v.invalid(at, "%s cannot be '%s'", v.doc.At(at...).Path(), text)
		if near, ok := strictyaml.Nearest(text, strings.Split(enum, ",")); ok {
			e.Hint("did you mean '%s'?", near)
		} else {
			e.Hint("choose one of: %s", strings.ReplaceAll(enum, ",", ", "))
		}
	}
	v.checkTags(f.value, at)
}

func isEmpty(v reflect.Value) bool {
	if v.Kind() == reflect.Slice {
		return v.Len() == 0
	}
	return v.IsZero()
}

// setting is one value of the configuration in force.
type setting struct {
	api.Setting
	steps []string
}

// settings lists every value in force in the order of the structs, secrets redacted, with where it came from.
func (c *config) settings() []setting {
	var out []setting
	var walk func(v reflect.Value, at []string)
	walk = func(v reflect.Value, at []string) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				walk(v.Elem(), at)
			}
		case reflect.Struct:
			for _, f := range configFields(v) {
				walk(f.value, append(at[:len(at):len(at)], f.name))
				if section := c.doc.At(anys(at)...); section.Text() != "" && f.name == strictyaml.Shorthand(v.Type()) && out[len(out)-1].Origin == "default" {
					out[len(out)-1].Origin = section.Pos().String()
				}
			}
		case reflect.Map:
			for _, name := range c.mapNames(v, at) {
				walk(v.MapIndex(reflect.ValueOf(name)), append(at[:len(at):len(at)], name))
			}
		case reflect.Interface:
		default:
			if value := plainValue(v); value != nil {
				place := c.doc.At(anys(at)...)
				out = append(out, setting{api.Setting{Key: place.Path(), Value: value, Origin: c.origin(place)}, at})
			}
		}
	}
	walk(reflect.ValueOf(c.fileConfig), nil)
	return out
}

// mapNames returns the keys of a map in the order of the file, then those that only the environment or a flag made.
func (c *config) mapNames(m reflect.Value, at []string) []string {
	seen := map[string]bool{}
	var names []string
	for _, name := range append(c.doc.At(anys(at)...).Keys(), sortedMapKeys(m)...) {
		if m.MapIndex(reflect.ValueOf(name)).IsValid() && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// plainValue returns a setting as it would be written in the file; nil when there is nothing to write.
func plainValue(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case interface{ Redacted() string }:
		return x.Redacted()
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err != nil {
			panic(err) // durations and sizes always marshal
		}
		if len(text) == 0 {
			return nil
		}
		return string(text)
	}
	if isEmpty(v) && v.Kind() != reflect.Bool {
		return nil
	}
	return v.Interface()
}

func (c *config) origin(p strictyaml.Place) string {
	if o, ok := c.overrides[p.Path()]; ok {
		return o.origin
	}
	if p.Exists() {
		return p.Pos().String()
	}
	return "default"
}

func sortedMapKeys(m reflect.Value) []string {
	var keys []string
	for _, k := range m.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

func anys(steps []string) []any {
	out := make([]any, len(steps))
	for i, s := range steps {
		out[i] = s
	}
	return out
}
