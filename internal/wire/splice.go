package wire

import "slices"

// SetMember appends to dst the JSON object raw with one member set to value:
// the first of that name is replaced, an absent one is added in front. A nil
// value removes the member. All other bytes stay as they are. raw must be
// checked and value valid JSON; what is not an object counts as an empty one.
func SetMember(dst, raw []byte, name string, value []byte) []byte {
	if Kind(raw) != '{' {
		raw = []byte("{}")
	}
	open := skipSpace(raw, 0) + 1
	key, start, end, found := locate(raw, name)
	switch {
	case found && value != nil:
		return append(append(append(dst, raw[:start]...), value...), raw[end:]...)
	case found:
		from, to := withComma(raw, key, end)
		return append(append(dst, raw[:from]...), raw[to:]...)
	case value == nil:
		return append(dst, raw...)
	}
	dst = slices.Grow(dst, len(raw)+len(name)+len(value)+4)
	dst = append(dst, raw[:open]...)
	dst = append(append(AppendString(dst, name), ':'), value...)
	if next := skipSpace(raw, open); next < len(raw) && raw[next] != '}' {
		dst = append(dst, ',')
	}
	return append(dst, raw[open:]...)
}

// locate finds a member: where its name starts, and its value.
func locate(raw []byte, name string) (key, start, end int, found bool) {
	i := skipSpace(raw, 0)
	for i = skipSpace(raw, i+1); i < len(raw) && raw[i] == '"'; i = skipSpace(raw, i+1) {
		key = i
		after := skipString(raw, i)
		start = skipSpace(raw, skipSpace(raw, after)+1)
		if end = skipValue(raw, start); end > len(raw) || start > end {
			return 0, 0, 0, false
		}
		if string(unquoted(raw[key:after])) == name {
			return key, start, end, true
		}
		if i = skipSpace(raw, end); i == len(raw) || raw[i] != ',' {
			break
		}
	}
	return 0, 0, 0, false
}

// withComma widens the member raw[key:end] by the comma that goes with it: the
// one after it, or for the last member the one before.
func withComma(raw []byte, key, end int) (from, to int) {
	if i := skipSpace(raw, end); i < len(raw) && raw[i] == ',' {
		return key, skipSpace(raw, i+1)
	}
	i := key - 1
	for i > 0 && (raw[i] == ' ' || raw[i] == '\n' || raw[i] == '\r' || raw[i] == '\t') {
		i--
	}
	if raw[i] == ',' {
		return i, end
	}
	return key, end
}
