/* Makes certificates by the thousand, faster than the openssl command would:
 *
 *     make_certs DIRECTORY NUMBER CA.crt CA.key
 *
 * writes DIRECTORY/h0.pem to h<NUMBER-1>.pem, each with a P-256 key, a leaf for h<i>.example and
 * the CA's certificate. */
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static void check(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "make_certs: %s\n", what);
	exit(1);
}

static X509 *make_leaf(const char *name, EVP_PKEY *key, long serial, X509 *ca, EVP_PKEY *ca_key)
{
	X509_EXTENSION *san;
	X509 *x = X509_new();
	char value[80];

	check(x && X509_set_version(x, X509_VERSION_3), "X509_new");
	ASN1_INTEGER_set(X509_get_serialNumber(x), serial);
	X509_set_issuer_name(x, X509_get_subject_name(ca));
	X509_gmtime_adj(X509_getm_notBefore(x), -86400);
	X509_gmtime_adj(X509_getm_notAfter(x), 30 * 86400);
	X509_set_pubkey(x, key);
	snprintf(value, sizeof(value), "DNS:%s", name);
	san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, value);
	check(san && X509_add_ext(x, san, -1), "subjectAltName");
	X509_EXTENSION_free(san);
	check(X509_sign(x, ca_key, EVP_sha256()), "X509_sign");
	return x;
}

static void write_leaf(const char *dir, long i, X509 *ca, EVP_PKEY *ca_key)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char name[64], path[4096];
	X509 *leaf;
	FILE *f;

	check(key != NULL, "EVP_EC_gen");
	snprintf(name, sizeof(name), "h%ld.example", i);
	leaf = make_leaf(name, key, i + 1, ca, ca_key);
	snprintf(path, sizeof(path), "%s/h%ld.pem", dir, i);
	f = fopen(path, "w");
	check(f && PEM_write_PKCS8PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) &&
			PEM_write_X509(f, leaf) && PEM_write_X509(f, ca) && fclose(f) == 0,
		path);
	X509_free(leaf);
	EVP_PKEY_free(key);
}

int main(int argc, char **argv)
{
	EVP_PKEY *ca_key;
	FILE *crt, *key;
	X509 *ca;

	check(argc == 5, "usage: make_certs DIRECTORY NUMBER CA.crt CA.key");
	umask(077);
	crt = fopen(argv[3], "r");
	key = fopen(argv[4], "r");
	check(crt && key, "cannot open the CA's files");
	ca = PEM_read_X509(crt, NULL, NULL, NULL);
	ca_key = PEM_read_PrivateKey(key, NULL, NULL, NULL);
	check(ca && ca_key, "cannot read the CA's files");
	fclose(crt);
	fclose(key);
	for (long i = 0; i < atol(argv[2]); i++)
		write_leaf(argv[1], i, ca, ca_key);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	return 0;
}
