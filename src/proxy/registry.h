/* Control's registries: things that have a key, outlast reloads by it, and are there for as long as
 * somebody refers to them. The registry is one of those who do until it is swept. References are
 * taken and given back by any thread; the registry is control's. */
#ifndef LINTEL_PROXY_REGISTRY_H
#define LINTEL_PROXY_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct keyed { /* stands first in what is registered */
	atomic_uint refs;
	char *key;
};

/* Gives a reference back; with the last one it frees all of it, the key too. */
typedef void keyed_drop(void *entry);

struct registry {
	void *tree; /* of tsearch() */
};

/* NULL = there is none. Borrowed. */
void *registry_find(const struct registry *r, const char *key);
/* A zeroed entry of `size` bytes, which the registry refers to. Takes the key. Borrowed. */
void *registry_add(struct registry *r, char *key, size_t size);
void registry_remove(struct registry *r, void *entry, keyed_drop *drop);
/* Removes what nobody else refers to. */
void registry_sweep(struct registry *r, keyed_drop *drop);
void registry_clear(struct registry *r, keyed_drop *drop);

static inline void keyed_ref(struct keyed *e)
{
	atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
}

/* True when it was the last reference: free it. */
static inline bool keyed_unref(struct keyed *e)
{
	return atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) == 1;
}

#endif
