// Package keyfile reads certificates and private keys from PEM files and
// writes them.
//
// Reading is strict and says what is wrong: a wrong password, an algorithm
// that is not known here, a damaged file and a truncated one are different
// errors. [ReadPair] reads a certificate and its key together, so that a
// renewal that happens meanwhile cannot mix an old one with a new one.
// What a certificate is good for is not decided here.
//
// Writing goes through [Disk], which keeps every file and folder whole however
// the process ends.
package keyfile
