// Package upstream is the client of one upstream MCP server, over Streamable
// HTTP or as a child process on stdio. It relays: params go out and results
// come back as the bytes they are, with only the envelope read. Of params it
// changes what belongs to the hop: the protocol's own members of _meta, and the
// progress token where several callers share one connection.
//
// # Eras
//
// An upstream is asked for server/discover first. What answers it is modern and
// gets requests that stand alone; everything else is opened with initialize and
// is legacy. What was found is kept until it proves wrong; no call is ever used
// to find out.
//
// # A call is sent once
//
// A tool may have effects, so a call is sent a second time only where the first
// provably was not dispatched: no byte of it left on a pooled connection that
// the server had closed, or the server refused it at the transport (unknown
// session, wrong era). When a process dies or a connection breaks under a call,
// the call fails and the error says that nobody knows whether it ran.
//
// # Errors
//
// A JSON-RPC error is an answer. Everything else is an [*Error] of one of a
// closed list of kinds; its text, with addresses and commands, is for the log.
package upstream
