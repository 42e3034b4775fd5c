/* Keys of certificates. Any thread; nothing of files. */
#ifndef LINTEL_AUTOCERT_KEY_H
#define LINTEL_AUTOCERT_KEY_H

#include <openssl/evp.h>

#include "base/error.h"
#include "conf/conf.h"

/* A new key; an RSA key of 4096 bits takes a second. NULL with a sentence. */
EVP_PKEY *key_make(enum conf_key_type type, struct error *err);
/* One that key_pem() has written. NULL with a sentence. */
EVP_PKEY *key_parse(const void *pem, size_t len, struct error *err);
/* PKCS#8 PEM (RFC 5958). A new string, for key_pem_free(). */
char *key_pem(EVP_PKEY *key, struct error *err);
void key_pem_free(char *pem); /* wipes; NULL is fine */

#endif
