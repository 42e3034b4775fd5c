#include "tls/cert_chain.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct cert_chain {
	atomic_uint refs;
	uint64_t hash;
	pthread_mutex_t lock;  /* for `x509s` */
	STACK_OF(X509) *x509s; /* NULL until it is asked for */
	size_t len;
	uint8_t der[];
};

struct cert_chain_set {
	pthread_mutex_t lock;
	struct cert_chain **slots; /* linear probing, at most half full */
	size_t n, n_slots;
};

static uint64_t hash_bytes(const uint8_t *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return h ^ h >> 32;
}

struct cert_chain *cert_chain_new(const uint8_t *der, size_t len)
{
	struct cert_chain *c = mem_alloc(sizeof(*c) + len);

	atomic_init(&c->refs, 1);
	c->hash = hash_bytes(der, len);
	pthread_mutex_init(&c->lock, NULL);
	c->x509s = NULL;
	c->len = len;
	memcpy(c->der, der, len);
	return c;
}

struct cert_chain *cert_chain_ref(struct cert_chain *c)
{
	if (c)
		atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void cert_chain_unref(struct cert_chain *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	sk_X509_pop_free(c->x509s, X509_free);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

static STACK_OF(X509) *parse(const uint8_t *der, size_t len, struct error *err)
{
	STACK_OF(X509) *x509s = sk_X509_new_null();
	const unsigned char *p = der, *end = der + len;

	while (p < end) {
		X509 *x = d2i_X509(NULL, &p, (long)(end - p));

		if (!x || !sk_X509_push(x509s, x)) {
			error_set(err, "certificate %d of the chain does not parse: %s",
				sk_X509_num(x509s) + 2,
				ERR_reason_error_string(ERR_peek_last_error()));
			ERR_clear_error();
			X509_free(x);
			sk_X509_pop_free(x509s, X509_free);
			return NULL;
		}
		/* Reads the extensions now, so that no two threads meet in it later. */
		X509_check_purpose(x, -1, 0);
	}
	return x509s;
}

STACK_OF(X509) *cert_chain_x509s(struct cert_chain *c, struct error *err)
{
	STACK_OF(X509) *x509s;

	pthread_mutex_lock(&c->lock);
	if (!c->x509s)
		c->x509s = parse(c->der, c->len, err);
	x509s = c->x509s;
	pthread_mutex_unlock(&c->lock);
	return x509s;
}

struct cert_chain_set *cert_chain_set_new(void)
{
	struct cert_chain_set *set = mem_zalloc(sizeof(*set));

	pthread_mutex_init(&set->lock, NULL);
	set->n_slots = 16;
	set->slots = mem_zalloc(set->n_slots * sizeof(*set->slots));
	return set;
}

void cert_chain_set_free(struct cert_chain_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; i < set->n_slots; i++)
		cert_chain_unref(set->slots[i]);
	pthread_mutex_destroy(&set->lock);
	free(set->slots);
	free(set);
}

/* Where `c` stands, or would. */
static struct cert_chain **find_slot(struct cert_chain_set *set, const struct cert_chain *c)
{
	size_t i = c->hash & (set->n_slots - 1);

	while (set->slots[i] && (set->slots[i]->hash != c->hash || set->slots[i]->len != c->len ||
					memcmp(set->slots[i]->der, c->der, c->len) != 0))
		i = (i + 1) & (set->n_slots - 1);
	return &set->slots[i];
}

static void grow(struct cert_chain_set *set)
{
	struct cert_chain **old = set->slots;
	size_t n_old = set->n_slots;

	set->n_slots *= 2;
	set->slots = mem_zalloc(set->n_slots * sizeof(*set->slots));
	for (size_t i = 0; i < n_old; i++) {
		if (old[i])
			*find_slot(set, old[i]) = old[i];
	}
	free(old);
}

struct cert_chain *cert_chain_intern(struct cert_chain_set *set, struct cert_chain *c)
{
	struct cert_chain **slot, *found;

	if (!c)
		return NULL;
	pthread_mutex_lock(&set->lock);
	slot = find_slot(set, c);
	if (!*slot) {
		*slot = cert_chain_ref(c);
		if (++set->n > set->n_slots / 2)
			grow(set);
		found = cert_chain_ref(c);
	} else {
		found = cert_chain_ref(*slot);
	}
	pthread_mutex_unlock(&set->lock);
	cert_chain_unref(c);
	return found;
}
