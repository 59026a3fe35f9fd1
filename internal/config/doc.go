// Package config reads the plugin files and the environment that a plugin
// server and a gateway are configured by, and says of every value where it came
// from.
//
// The files are ContextForge's own schema, read strictly: an unknown key, a
// duplicate key or a value of the wrong sort is an error at its line and
// column, and all errors of a file are reported at once. Values come, per
// field, from a flag, else the environment, else the file, else the default
// (Source says which). What is refused here is what can be refused without
// opening the files that a configuration names: certificates and keys are for
// internal/mtls to read.
//
// One table (tables.go) says which keys there are. The decoder, `config show`
// and the JSON Schema of `config schema` all read that table.
//
// Steps of a load, one file each: template.go finds `{{ env.X }}` in the text;
// document.go parses; decode.go walks the tables over the nodes; server.go and
// client.go merge the environment in and refuse what must be refused.
//
// What is returned is plain data. It is not changed after it was returned and
// may be read by many goroutines.
package config
