#include <stdint.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "base/mem.h"
#include "tls/cert.h"

/* The parsed form takes some 8 KiB: it is the cache's bound that keeps a worker small. */
struct entry {
	TAILQ_ENTRY(entry) by_use; /* the most recently used first */
	struct entry *next;        /* in its bucket */
	struct cert *cert;
	struct cert_parsed parsed;
};

struct cert_cache {
	TAILQ_HEAD(cert_entries, entry) by_use;
	struct entry **buckets;
	size_t n_buckets, n, max;
};

struct cert_cache *cert_cache_new(size_t max)
{
	struct cert_cache *cache = mem_zalloc(sizeof(*cache));

	TAILQ_INIT(&cache->by_use);
	cache->max = max ? max : 1;
	cache->n_buckets = 16;
	while (cache->n_buckets < cache->max)
		cache->n_buckets *= 2;
	cache->buckets = mem_zalloc(cache->n_buckets * sizeof(struct entry *));
	return cache;
}

/* Where the bucket's pointer to `c`'s entry is, or its end. */
static struct entry **find_place(struct cert_cache *cache, const struct cert *c)
{
	uint64_t hash = (uintptr_t)c * UINT64_C(0x9e3779b97f4a7c15);
	struct entry **p = &cache->buckets[(hash >> 32) & (cache->n_buckets - 1)];

	while (*p && (*p)->cert != c)
		p = &(*p)->next;
	return p;
}

static void drop_last(struct cert_cache *cache)
{
	struct entry *e = TAILQ_LAST(&cache->by_use, cert_entries);

	TAILQ_REMOVE(&cache->by_use, e, by_use);
	*find_place(cache, e->cert) = e->next;
	cert_parsed_clear(&e->parsed);
	cert_unref(e->cert);
	free(e);
	cache->n--;
}

void cert_cache_free(struct cert_cache *cache)
{
	if (!cache)
		return;
	while (cache->n)
		drop_last(cache);
	free(cache->buckets);
	free(cache);
}

const struct cert_parsed *cert_cache_get(
	struct cert_cache *cache, struct cert *c, struct error *err)
{
	struct entry *e = *find_place(cache, c);
	struct cert_parsed parsed;

	if (e) {
		TAILQ_REMOVE(&cache->by_use, e, by_use);
		TAILQ_INSERT_HEAD(&cache->by_use, e, by_use);
		return &e->parsed;
	}
	if (cert_parse(c, &parsed, err) < 0)
		return NULL;
	if (cache->n == cache->max)
		drop_last(cache);
	e = mem_zalloc(sizeof(*e));
	e->cert = cert_ref(c);
	e->parsed = parsed;
	*find_place(cache, c) = e;
	TAILQ_INSERT_HEAD(&cache->by_use, e, by_use);
	cache->n++;
	return &e->parsed;
}
