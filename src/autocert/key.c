#include "autocert/key.h"

#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tls/error.h"

EVP_PKEY *key_make(enum conf_key_type type, struct error *err)
{
	EVP_PKEY *key = NULL;

	switch (type) {
	case KEY_EC256: key = EVP_EC_gen("P-256"); break;
	case KEY_EC384: key = EVP_EC_gen("P-384"); break;
	case KEY_RSA2048: key = EVP_RSA_gen(2048); break;
	case KEY_RSA3072: key = EVP_RSA_gen(3072); break;
	case KEY_RSA4096: key = EVP_RSA_gen(4096); break;
	}
	if (!key)
		tls_error_set(err, "cannot make a key");
	return key;
}

EVP_PKEY *key_parse(const void *pem, size_t len, struct error *err)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;

	if (!key)
		tls_error_set(err, "is no private key");
	BIO_free(bio);
	return key;
}

char *key_pem(EVP_PKEY *key, struct error *err)
{
	BIO *bio = BIO_new(BIO_s_secmem()); /* wiped when freed */
	char *data, *pem = NULL;
	long len;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
		len = BIO_get_mem_data(bio, &data);
		pem = mem_strndup(data, (size_t)len);
	} else {
		tls_error_set(err, "cannot write a key as PEM");
	}
	BIO_free(bio);
	return pem;
}

void key_pem_free(char *pem)
{
	if (pem)
		OPENSSL_cleanse(pem, strlen(pem));
	free(pem);
}
