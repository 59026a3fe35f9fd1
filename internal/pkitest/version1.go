package pkitest

import (
	"crypto"
	"crypto/rand"
	_ "crypto/sha256" // for crypto.SHA256.New and its siblings
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
)

// The two shapes of a TBSCertificate. crypto/x509 only writes the second, so
// a v1 certificate, as `openssl x509 -req` without extensions makes it, is
// cut out of one and signed again.
type (
	tbsVersion1 struct {
		Serial    *big.Int
		Algorithm asn1.RawValue
		Issuer    asn1.RawValue
		Validity  asn1.RawValue
		Subject   asn1.RawValue
		PublicKey asn1.RawValue
	}
	tbsVersion3 struct {
		Version    int `asn1:"optional,explicit,default:0,tag:0"`
		Serial     *big.Int
		Algorithm  asn1.RawValue
		Issuer     asn1.RawValue
		Validity   asn1.RawValue
		Subject    asn1.RawValue
		PublicKey  asn1.RawValue
		Extensions asn1.RawValue `asn1:"optional,explicit,tag:3"`
	}
	signedCertificate struct {
		TBS       asn1.RawValue
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
)

// toVersion1 takes version and extensions off the certificate in der and
// signs what is left.
func toVersion1(der []byte, signer crypto.Signer) ([]byte, error) {
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	var whole signedCertificate
	if _, err := asn1.Unmarshal(der, &whole); err != nil {
		return nil, err
	}
	var v3 tbsVersion3
	if _, err := asn1.Unmarshal(cert.RawTBSCertificate, &v3); err != nil {
		return nil, err
	}
	tbs, err := asn1.Marshal(tbsVersion1{v3.Serial, v3.Algorithm, v3.Issuer, v3.Validity, v3.Subject, v3.PublicKey})
	if err != nil {
		return nil, err
	}
	signature, err := sign(signer, cert.SignatureAlgorithm, tbs)
	if err != nil {
		return nil, err
	}
	whole.TBS = asn1.RawValue{FullBytes: tbs}
	whole.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	return asn1.Marshal(whole)
}

func sign(signer crypto.Signer, algorithm x509.SignatureAlgorithm, tbs []byte) ([]byte, error) {
	var hash crypto.Hash
	switch algorithm {
	case x509.PureEd25519:
		return signer.Sign(rand.Reader, tbs, crypto.Hash(0))
	case x509.ECDSAWithSHA384:
		hash = crypto.SHA384
	default: // all else that newKey's keys choose
		hash = crypto.SHA256
	}
	h := hash.New()
	h.Write(tbs)
	return signer.Sign(rand.Reader, h.Sum(nil), hash)
}
