#include "proxy/registry.h"

#include <search.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct keyed *)a)->key, ((const struct keyed *)b)->key);
}

void *registry_find(const struct registry *r, const char *key)
{
	const struct keyed wanted = {.key = (char *)(uintptr_t)key};
	struct keyed *const *found = tfind(&wanted, &r->tree, compare);

	return found ? *found : NULL;
}

void *registry_add(struct registry *r, char *key, size_t size)
{
	struct keyed *e = mem_zalloc(size);

	atomic_init(&e->refs, 1);
	e->key = key;
	if (!tsearch(e, &r->tree, compare))
		abort(); /* out of memory */
	return e;
}

void registry_remove(struct registry *r, void *entry, keyed_drop *drop)
{
	tdelete(entry, &r->tree, compare);
	drop(entry);
}

struct unused { /* entries that only the registry refers to */
	struct keyed **v;
	size_t n;
};

static void collect_unused(const void *node, VISIT visit, void *arg)
{
	struct keyed *e = *(struct keyed *const *)node;
	struct unused *u = arg;

	if ((visit == postorder || visit == leaf) &&
		atomic_load_explicit(&e->refs, memory_order_acquire) == 1)
		*(struct keyed **)mem_grow(&u->v, u->n++, sizeof(*u->v)) = e;
}

void registry_sweep(struct registry *r, keyed_drop *drop)
{
	struct unused u = {0};

	twalk_r(r->tree, collect_unused, &u);
	for (size_t i = 0; i < u.n; i++)
		registry_remove(r, u.v[i], drop);
	free(u.v);
}

void registry_clear(struct registry *r, keyed_drop *drop)
{
	tdestroy(r->tree, drop);
	r->tree = NULL;
}
