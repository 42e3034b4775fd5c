#include "tls/tickets.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define KEYS (1 + TICKETS_LIFETIME_S / TICKETS_ROTATE_S)

struct tickets {
	atomic_uint refs;
	unsigned n;
	struct ticket_key {
		unsigned char name[16], cipher[32], mac[32];
	} keys[KEYS]; /* newest first */
};

/* Fetched once: EVP_aes_256_cbc() would be looked up, under locks, at every ticket. */
static EVP_CIPHER *aes;
static pthread_once_t aes_once = PTHREAD_ONCE_INIT;

static void fetch_aes(void)
{
	aes = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
}

struct tickets *tickets_rotate(const struct tickets *before, struct error *err)
{
	struct tickets *t = mem_zalloc(sizeof(*t));

	pthread_once(&aes_once, fetch_aes);
	atomic_init(&t->refs, 1);
	if (!aes || RAND_bytes((unsigned char *)&t->keys[0], sizeof(t->keys[0])) != 1) {
		error_set(err, "cannot make a ticket key: OpenSSL has no AES-256-CBC or no random "
			       "numbers");
		tickets_unref(t);
		return NULL;
	}
	t->n = 1;
	for (unsigned i = 0; before && i < before->n && t->n < KEYS; i++)
		t->keys[t->n++] = before->keys[i];
	return t;
}

struct tickets *tickets_ref(struct tickets *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void tickets_unref(struct tickets *t)
{
	if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) {
		OPENSSL_cleanse(t->keys, sizeof(t->keys));
		free(t);
	}
}

static int set_mac_key(EVP_MAC_CTX *mac, const struct ticket_key *key)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(
			OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

int tickets_use(const struct tickets *t, SSL *ssl, unsigned char name[16],
	unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
	const struct ticket_key *key = &t->keys[0];

	if (encrypt) {
		memcpy(name, key->name, sizeof(key->name));
		if (RAND_bytes(iv, 16) != 1 ||
			!EVP_EncryptInit_ex(cipher, aes, NULL, key->cipher, iv) ||
			!set_mac_key(mac, key))
			return -1;
		return 1;
	}
	while (memcmp(key->name, name, sizeof(key->name)) != 0)
		if (++key == t->keys + t->n)
			return 0; /* not ours, or too old: a full handshake */
	if (!EVP_DecryptInit_ex(cipher, aes, NULL, key->cipher, iv) || !set_mac_key(mac, key))
		return -1;
	/* 2 = and give a new ticket. In TLS 1.3 always: a client uses each ticket once. */
	return SSL_version(ssl) >= TLS1_3_VERSION || key != t->keys ? 2 : 1;
}
