// Package remote is the client of one plugin server: a [Plugin] whose hooks run
// in another process, which to a pipeline is like any other [plugin.Plugin].
//
// A hook call is one stateless POST in the form of MCP 2026-07-28 over a pool
// of keep-alive HTTP/1.1 connections: nothing to supervise, nothing to lose
// when the server restarts. Servers of the legacy era (ContextForge's, in
// Python) are spoken to through a session of the official SDK, which is
// replaced when the server no longer knows it.
//
// Where the server is a child process ([Stdio]) calls share its pipes, and
// package child keeps it running and knows its era.
//
// # A hook runs once
//
// A guardrail may count, reserve or record, so no layer sends a hook a second
// time on suspicion. It is sent again only where it provably was not
// dispatched: when no byte of it left on a pooled connection that the server
// had closed, or when the server refused it at the transport (unknown session,
// wrong era). Which era a server speaks is found out with get_plugin_config,
// which changes nothing, never with a hook.
//
// # What is known
//
// Which hooks the plugin has is learned from the server ([Plugin.Discover]), and
// that answer is trusted only as long as nothing can have changed it unseen: a
// connection that was open all the time is the sign that it is still the same
// server. A guardrail is never skipped on an answer of the server before.
//
// # Errors
//
// What the plugin itself reports is a [*plugin.Error]. Everything else is an
// [*Error] of one of a closed list of kinds, which is all that an MCP client is
// told; the text, with addresses and subjects, is for logs and operators.
package remote
