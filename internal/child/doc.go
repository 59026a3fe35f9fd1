// Package child keeps an MCP server running as a child process and speaks with
// it over its standard input and output.
//
// The process gets a small environment and a group of its own, with which it
// ends. What it writes to standard error goes to the log, bounded and masked.
// When it ends it is started again, after pauses that grow.
//
// # Eras
//
// A new process is asked first, in the modern form, what changes nothing
// ([Probe]). What answers that is modern and gets requests that stand alone;
// everything else is opened with initialize and is legacy. No request of a
// caller is ever used to find out.
//
// # A request is sent once
//
// When a process ends under a request, that request fails, and the error says
// that nobody knows whether it was carried out. It never goes to the next one.
package child
