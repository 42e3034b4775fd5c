/* Keys and certificates for tests, made by OpenSSL at run time; whatever fails ends the test
 * program. One thread. */
#ifndef LINTEL_TESTS_CERTGEN_H
#define LINTEL_TESTS_CERTGEN_H

#include <openssl/x509.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct certgen {
	const char *cn;          /* NULL = an empty subject */
	const char *alt_names;   /* "DNS:a.example,IP:192.0.2.1"; NULL = none */
	const char *access;      /* "caIssuers;URI:http://a.example/ca.crt"; NULL = none */
	int64_t from_s, until_s; /* from now; both 0 = an hour ago till in a day */
	EVP_PKEY *key;
	X509 *issuer; /* NULL = signs itself */
	EVP_PKEY *issuer_key;
};

EVP_PKEY *certgen_key(
	const char *type); /* "P-256", "P-384", "P-521", "ED25519", "RSA:2048", "RSA-PSS" */
X509 *certgen_cert(const struct certgen *g);

/* All return new strings (free). */
char *certgen_cert_pem(X509 *x);
char *certgen_key_pem(EVP_PKEY *key);                            /* PKCS#8 */
char *certgen_key_pem_traditional(EVP_PKEY *key);                /* SEC1 or PKCS#1 */
char *certgen_join(const char *a, const char *b, const char *c); /* NULL = nothing */

void certgen_write(const char *path, const void *data, size_t len, mode_t mode);
void certgen_write_text(const char *path, const char *text, mode_t mode);

/* Writes a self-signed certificate and its key into one new file of `folder`, mode 0600. Returns
 * its path, a new string. */
char *certgen_combined(
	const char *folder, const char *file, const char *type, const char *alt_names);

/* A new directory under $TMPDIR; certgen_remove() takes it away with all that is in it. */
char *certgen_temp(void);
void certgen_remove(char *folder);

#endif
