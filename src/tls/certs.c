#include "tls/certs.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "tls/certs_load.h"

struct certs {
	atomic_uint refs;
	struct certs_item *items; /* in order of precedence */
	size_t n;
	struct names *names;         /* of struct certs_entry */
	struct certs_entry *entries; /* one for each distinct name */
	struct certs_entry fallback;
	size_t n_kept;
};

static bool is_valid(const struct cert *c, int64_t now)
{
	return c->not_before <= now && now <= c->not_after;
}

/* Whether another certificate was there. */
static bool enter(struct certs_entry *e, struct cert *c, int64_t now)
{
	struct cert **place = &e->by_kind[c->kind], *there = *place;

	if (!there || (!is_valid(there, now) && is_valid(c, now)))
		*place = c;
	return there && there != c;
}

/* Whether there was any clash. */
static bool enter_all(struct certs *t, int64_t now)
{
	size_t total = 0, used = 0;
	bool clash = false;

	for (size_t i = 0; i < t->n; i++)
		total += t->items[i].cert->n_names;
	t->entries = mem_zalloc(total * sizeof(*t->entries));
	for (size_t i = 0; i < t->n; i++) {
		struct cert *c = t->items[i].cert;

		for (size_t j = 0; j < c->n_names; j++) {
			void **slot = names_slot(t->names, c->names[j]);

			if (!*slot)
				*slot = &t->entries[used++];
			clash |= enter(*slot, c, now);
		}
	}
	return clash;
}

/* The first certificate, and beside it those of other kinds that share its first name. */
static void choose_fallback(struct certs *t)
{
	struct cert *first;

	if (!t->n)
		return;
	first = t->items[0].cert;
	if (first->n_names)
		t->fallback = *(struct certs_entry *)*names_slot(t->names, first->names[0]);
	t->fallback.by_kind[first->kind] = first;
}

static struct cert *find_winner(const struct certs *t, const struct cert *c, const char *name)
{
	const struct certs_entry *e = certs_find(t, name);

	return e ? e->by_kind[c->kind] : NULL;
}

/* Says which names of a certificate another one has: once for each loser, and not again at a reload
 * that found both unchanged. */
static void log_clashes(const struct certs *t, const struct certs *before, int64_t now)
{
	for (size_t i = 0; i < t->n; i++) {
		const struct cert *c = t->items[i].cert, *winner = NULL;
		const char *name = NULL;
		size_t lost = 0;
		bool known = before != NULL && t->items[i].kept;

		for (size_t j = 0; j < c->n_names; j++) {
			struct cert *w = find_winner(t, c, c->names[j]);

			if (w == c || (w->leaf_len == c->leaf_len &&
					      memcmp(w->leaf, c->leaf, c->leaf_len) == 0))
				continue;
			if (known && find_winner(before, c, c->names[j]) != w)
				known = false;
			if (lost++ == 0) {
				winner = w;
				name = c->names[j];
			}
		}
		if (lost && !known)
			log_warn("certificate %s: not served for %s%s: %s has the name and the key "
				 "type too and %s",
				c->file, name, lost > 1 ? " and others of its names" : "",
				winner->file,
				is_valid(c, now) == is_valid(winner, now) ? "comes first"
									  : "is the valid one");
	}
}

struct certs *certs_build(const struct certs_source *sources, size_t n, const struct certs *before,
	struct problems *p)
{
	struct certs *t = mem_zalloc(sizeof(*t));
	int64_t now = clock_wall_s();
	bool clash;

	atomic_init(&t->refs, 1);
	t->names = names_new();
	if (certs_load_items(sources, n, before ? before->items : NULL, before ? before->n : 0,
		    &t->items, &t->n, p) < 0) {
		certs_unref(t);
		return NULL;
	}
	for (size_t i = 0; i < t->n; i++)
		t->n_kept += t->items[i].kept;
	clash = enter_all(t, now);
	choose_fallback(t);
	if (clash)
		log_clashes(t, before, now);
	return t;
}

struct certs *certs_ref(struct certs *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void certs_unref(struct certs *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
		return;
	names_free(t->names);
	certs_items_free(t->items, t->n);
	free(t->entries);
	free(t);
}

const struct certs_entry *certs_find(const struct certs *t, const char *name)
{
	return names_find(t->names, name);
}

const struct certs_entry *certs_fallback(const struct certs *t)
{
	return t->n ? &t->fallback : NULL;
}

size_t certs_count(const struct certs *t)
{
	return t->n;
}

struct cert *certs_at(const struct certs *t, size_t i)
{
	return t->items[i].cert;
}

const struct cert *certs_of_file(const struct certs *t, const char *file, size_t n)
{
	for (size_t i = 0; i < n && i < certs_count(t); i++)
		if (strcmp(certs_at(t, i)->file, file) == 0)
			return certs_at(t, i);
	return NULL;
}

void certs_loaded(const struct certs *t, size_t *read, size_t *kept)
{
	*read = t->n - t->n_kept;
	*kept = t->n_kept;
}
