// Package wire frames MCP messages for every hop: between client and gateway,
// gateway and plugin server, gateway and upstream server.
//
// # Messages
//
// A message is one JSON-RPC 2.0 object. [Parse] decodes the envelope only:
// params, result and error data stay the bytes that arrived, so that what is
// forwarded keeps its numbers, its order and its unknown fields. Before that
// the whole text has been read strictly ([Check]): duplicate member names,
// invalid UTF-8, trailing bytes and absurd nesting are refused, because two
// parsers that read such a text differently would let one side decide on
// something else than the other side acts on. Lone surrogate escapes, as
// JavaScript sends them for a cut emoji, are legal JSON and pass untouched.
//
// After that check the accessors of this package ([Members], [String]) only
// skim the bytes; they must not be given text that has not been checked.
//
// # Eras
//
// Revisions up to 2025-11-25 are legacy: a client opens with initialize. From
// 2026-07-28 on MCP is modern: each request stands alone, carries revision and
// client capabilities in params._meta, and over HTTP repeats them and its
// method and name in headers, which must agree with the body. [EraOf] tells
// the two apart, [CheckModern] applies the modern rules.
//
// # Framing
//
// Over HTTP a message is a body, or the data of one server-sent event
// ([Events], [AppendEvent]); over stdio it is one line ([Lines], [AppendLine]).
package wire
