#include "tls/sessions.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/mem.h"

struct kept_session {
	TAILQ_ENTRY(kept_session) link;
	char *key;
	SSL_SESSION *session;
	int64_t until;
};

struct sessions {
	void *tree;                              /* of tsearch() */
	TAILQ_HEAD(entries, kept_session) order; /* the most recently used first */
	size_t n, max;
};

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct kept_session *)a)->key, ((const struct kept_session *)b)->key);
}

static struct kept_session *find(struct sessions *all, const char *key)
{
	const struct kept_session wanted = {.key = (char *)(uintptr_t)key};
	struct kept_session *const *found = tfind(&wanted, &all->tree, compare);

	return found ? *found : NULL;
}

static void drop(struct sessions *all, struct kept_session *e)
{
	tdelete(e, &all->tree, compare);
	TAILQ_REMOVE(&all->order, e, link);
	all->n--;
	SSL_SESSION_free(e->session);
	free(e->key);
	free(e);
}

struct sessions *sessions_new(size_t max)
{
	struct sessions *all = mem_zalloc(sizeof(*all));

	TAILQ_INIT(&all->order);
	all->max = max;
	return all;
}

void sessions_free(struct sessions *all)
{
	if (!all)
		return;
	while (!TAILQ_EMPTY(&all->order))
		drop(all, TAILQ_FIRST(&all->order));
	free(all);
}

void sessions_put(struct sessions *all, const char *key, SSL_SESSION *session, int64_t until)
{
	struct kept_session *e = find(all, key);

	if (e)
		drop(all, e);
	else if (all->n == all->max)
		drop(all, TAILQ_LAST(&all->order, entries));
	e = mem_zalloc(sizeof(*e));
	e->key = mem_strdup(key);
	e->session = session;
	e->until = until;
	if (!tsearch(e, &all->tree, compare))
		abort(); /* out of memory */
	TAILQ_INSERT_HEAD(&all->order, e, link);
	all->n++;
}

SSL_SESSION *sessions_get(struct sessions *all, const char *key, int64_t now)
{
	struct kept_session *e = find(all, key);

	if (!e)
		return NULL;
	if (e->until <= now) {
		drop(all, e);
		return NULL;
	}
	TAILQ_REMOVE(&all->order, e, link);
	TAILQ_INSERT_HEAD(&all->order, e, link);
	return e->session;
}
