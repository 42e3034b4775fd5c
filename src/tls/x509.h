/* What lintel needs to know of a certificate and of a private key, read from their DER by our own
 * walk in about a microsecond, where OpenSSL's decoders take a hundred and lock each other out.
 * Everything points into the bytes that were walked. Plain data, any thread. */
#ifndef LINTEL_TLS_X509_H
#define LINTEL_TLS_X509_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "tls/der.h"

enum x509_algorithm {
	X509_OTHER, /* DSA and what else there may be */
	X509_EC,
	X509_RSA,
	X509_RSA_PSS,
	X509_EDDSA,
};

struct x509_facts {
	int64_t not_before, not_after; /* Unix seconds */
	struct der subject;
	struct der alt_names;  /* the subjectAltName's GeneralNames */
	bool has_issuer_place; /* it says where the issuer's certificate is to be had */
	enum x509_algorithm algorithm;
	struct der curve;             /* X509_EC: the named curve's OID; not there for others */
	struct der public_key;        /* the BIT STRING's bytes */
	struct der modulus, exponent; /* X509_RSA */
};

/* False when it is no certificate as RFC 5280, 4.1 lays it out. */
bool x509_read(struct der certificate, struct x509_facts *out);

/* Appends the DNS names as normalised patterns, each with its NUL; the last CN when there is no DNS
 * name among the alternative names. What is no DNS name or wildcard (a.*.x, an IP address) is left
 * out. Returns their number. */
size_t x509_add_names(const struct x509_facts *f, struct str *out);

/* n, e, d, p, q, d mod p-1, d mod q-1, 1/q mod p: PKCS#1's order. */
enum { X509_RSA_NUMBERS = 8 };

struct x509_key {
	enum x509_algorithm algorithm; /* X509_OTHER for all but EC and RSA */
	struct der curve;              /* X509_EC: the named curve's OID, when the key says it */
	struct der secret;             /* X509_EC: big-endian */
	struct der public_key;         /* X509_EC: when the key has it */
	struct der numbers[X509_RSA_NUMBERS];
};

/* PKCS#8 (RFC 5958), SEC1 (RFC 5915) or PKCS#1 (RFC 8017, A.1.2). False when it is none of them. */
bool x509_read_key(struct der key, struct x509_key *out);

/* Whether both are of the usual sort (P-256 or P-384 with the public key in the key's file, RSA)
 * and the key's public half is the certificate's. False says nothing: ask OpenSSL. */
bool x509_key_fits(const struct x509_facts *f, const struct x509_key *k);

#define X509_OID_P256 "\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define X509_OID_P384 "\x2b\x81\x04\x00\x22"

#endif
