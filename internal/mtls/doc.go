// Package mtls holds all TLS policy: who may connect to whom, and on what
// evidence. A Server is the plugin server's side, a Client the gateway's.
//
// Both keep what they were given (certificate, key, trust, policy) in one
// immutable snapshot behind an atomic pointer, so that a handshake sees all
// of an old state or all of a new one.
//
// Three rules of crypto/tls shape the code:
//
//   - VerifyPeerCertificate is skipped on resumed sessions, so identity is
//     decided in VerifyConnection, which never is.
//   - A nil pool means the system's roots, so no nil pool is ever built.
//   - A client that offers static Certificates sends none when the server's
//     list of CAs does not name its issuer; ours answers GetClientCertificate
//     unconditionally, and the server can say what is wrong with it.
//
// On the server Go verifies the chain, so that the client gets the true
// alert (unknown authority, expired); identity failures all become "bad
// certificate", and the reason stands in the server's log. On the client one
// function (Client.config) switches Go's verification off and does it all
// itself, since Go's cannot leave out the host name alone.
//
// In TLS 1.3 a client certificate is refused after the client's handshake has
// ended: the refusal shows at the first read. Client.Explain says what such
// an error proves.
package mtls
