package config

import (
	"fmt"
	"strconv"
	"strings"
)

// The environment (and a flag, where there is one) beats the file, per field.

// origin is one setting's names in the three sources: the flag's and the
// variable's, empty where there is none, and the key in file.
type origin struct {
	flag, env string
	file      *value
	key       string // full path, for messages: "server_settings.port"
}

// outside returns the value that a flag or the environment gives.
func (l *loader) outside(o origin) (string, Source, bool) {
	if o.flag != "" {
		if v, ok := l.o.flag(o.flag); ok {
			return v, Source{Flag: o.flag}, true
		}
	}
	if o.env != "" {
		if v, ok := l.o.env(o.env); ok {
			return v, Source{Env: o.env}, true
		}
	}
	return "", Source{}, false
}

// name is how messages call a setting that came from src. Where it stands in
// the file, the message's position says.
func (o origin) name(src Source) string {
	switch {
	case src.Flag != "":
		return "--" + src.Flag
	case src.Env != "":
		return "env " + src.Env
	case src.File == "" && o.key != "":
		return o.key + " (default)"
	}
	return o.key
}

// merged reads one setting by its shape: from outside, else from the file. The
// result is nil when nobody set it or it is at fault.
func (l *loader) merged(o origin, s *shape) (*value, Source) {
	if text, src, ok := l.outside(o); ok {
		v := &value{text: text, ok: true}
		if problem := s.read(v); problem != "" {
			l.fail(src, fmt.Sprintf("%s: %s, got %q", o.name(src), problem, text), "")
			return nil, src
		}
		return v, src
	}
	if o.file != nil && o.file.ok {
		return o.file, o.file.source()
	}
	return nil, Source{}
}

func (l *loader) text(o origin, s *shape, def string) Value[string] {
	v, src := l.merged(o, s)
	if v == nil || v.text == "" {
		return Value[string]{V: def}
	}
	return Value[string]{v.text, src}
}

func (l *loader) int(o origin, s *shape, def int) Value[int] {
	v, src := l.merged(o, s)
	if v == nil {
		return Value[int]{V: def}
	}
	return Value[int]{int(v.number), src}
}

func (l *loader) bool(o origin, def bool) Value[bool] {
	v, src := l.merged(o, booleanShape)
	if v == nil {
		return Value[bool]{V: def}
	}
	return Value[bool]{v.flag, src}
}

func (l *loader) secret(o origin) Value[Secret] {
	v, src := l.merged(o, secretShape)
	if v == nil || v.text == "" {
		return Value[Secret]{}
	}
	return Value[Secret]{NewSecret(v.text), src}
}

// pair reads a certificate and its key. Who gives one gives the other: never a
// certificate from one source and a key from another (refusal 3).
func (l *loader) pair(cert, key origin) (c, k Value[string]) {
	_, certSrc, certOutside := l.outside(cert)
	_, keySrc, keyOutside := l.outside(key)
	if certOutside || keyOutside {
		cert.file, key.file = nil, nil
	}
	if certOutside && keyOutside && (certSrc.Flag == "") != (keySrc.Flag == "") {
		// A flag beats the environment as a pair, too.
		if certSrc.Flag != "" {
			key.env, keySrc = "", Source{}
		} else {
			cert.env, certSrc = "", Source{}
		}
	}
	c, k = l.text(cert, pathShape, ""), l.text(key, pathShape, "")
	same := "certificate and key come from one source, flag, environment or file"
	switch {
	case c.V != "" && k.V == "":
		l.fail(c.Source, fmt.Sprintf("%s names a certificate and there is no key beside it: %s is not set", cert.name(c.Source), key.sibling(c.Source)),
			fmt.Sprintf("set %s too: %s", key.sibling(c.Source), same))
	case k.V != "" && c.V == "":
		l.fail(k.Source, fmt.Sprintf("%s names a key and there is no certificate beside it: %s is not set", key.name(k.Source), cert.sibling(k.Source)),
			fmt.Sprintf("set %s too: %s", cert.sibling(k.Source), same))
	}
	return c, k
}

// sibling is o's name in the source that src is of.
func (o origin) sibling(src Source) string {
	switch {
	case src.Flag != "":
		return "--" + o.flag
	case src.Env != "":
		return o.env
	}
	return o.key
}

// fail reports an error at src: at its place when it is in the file, else
// naming the variable or flag, against the file as a whole.
func (l *loader) fail(src Source, message, hint string) {
	l.add(l.place(src), message, hint)
}

func (l *loader) place(src Source) Position {
	if src.Line > 0 {
		return Position{src.File, src.Line, src.Column}
	}
	return Position{File: l.file}
}

// weaker warns that a value from outside weakens what the file says. It is
// applied all the same: the environment has the last word.
func (l *loader) weaker(o origin, src Source, now, file string) {
	l.warn(l.place(Source{}), fmt.Sprintf("%s=%s weakens %s, which is %s in the file%s", o.name(src), now, o.key, file, l.where(o)), "")
}

func (l *loader) where(o origin) string {
	if o.file == nil {
		return " by default"
	}
	return " (" + o.file.pos.String() + ")"
}

// weakerBool warns when src turns off what the file's block has on.
func (l *loader) weakerBool(o origin, v Value[bool], block bool) {
	inFile := o.file == nil || o.file.ok && o.file.flag
	if block && !v.V && inFile && (v.Source.Env != "" || v.Source.Flag != "") {
		l.weaker(o, v.Source, strconv.FormatBool(v.V), "true")
	}
}

// texts reads a list that only the file can give.
func listOf(v *value) Value[[]string] {
	if v == nil || !v.ok {
		return Value[[]string]{}
	}
	out := make([]string, 0, len(v.items))
	for _, item := range v.items {
		out = append(out, item.text)
	}
	return Value[[]string]{out, v.source()}
}

// isSet lists which of the variables are set, as text for messages.
func (l *loader) isSet(names []string) string {
	var set []string
	for _, name := range names {
		if _, ok := l.o.env(name); ok {
			set = append(set, name)
		}
	}
	return strings.Join(set, ", ")
}
