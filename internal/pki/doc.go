// Package pki makes, renews and inspects the certificates of a tree:
//
//	certs/mcp/ca/               ca.key, ca.crt
//	certs/mcp/gateway/          client.key, client.crt, client.pem, ca.crt
//	certs/mcp/plugins/<Name>/   server.key, server.crt, ca.crt
//
// A [Tree] is such a folder. Making never overwrites: what is there is kept
// and, if something is wrong with it, said. Renewing replaces certificates
// that are due. Checking reads only.
//
// Every change goes through a [keyfile.Disk], in an order that leaves each
// folder complete or absent wherever the process stops; the next run
// completes it. A folder is made beside its place and renamed into it. A
// renewal keeps the key and replaces the certificate by one rename. A new key
// (rekey) is written with its certificate into .next/, copied out, and .next/
// is removed last; [keyfile.ReadPair] takes the pair from there when the one
// outside does not match.
//
// Only the command imports this package: what serves cannot sign.
package pki
