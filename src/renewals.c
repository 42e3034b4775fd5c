#include "renewals.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct swap { /* that the reloader works on */
	struct renewals *renewals;
	struct provider *provider;
};

static void on_swapped(void *arg, const struct problems *p)
{
	struct swap *s = arg;

	autocert_swapped(s->renewals->autocert, s->provider, p->n ? p->lines[0] : NULL);
	free(s);
}

static void swap(void *arg, struct provider *p)
{
	struct swap *s = mem_zalloc(sizeof(*s));

	s->renewals = arg;
	s->provider = p;
	reloader_ask(s->renewals->reloader, RELOAD_CERTS, on_swapped, s);
}

static bool serves(void *arg, const struct conf_autocert *a, const struct cert *c)
{
	struct renewals *r = arg;
	const struct cert *served = renewals_cert(r, a);

	return served && served->leaf_len == c->leaf_len &&
	       memcmp(served->leaf, c->leaf, c->leaf_len) == 0;
}

static void on_event(void *arg, const struct autocert_event *e)
{
	struct renewals *r = arg;
	struct autocert_status status;

	for (size_t i = 0; autocert_get(r->autocert, i, &status); i++)
		if (strcmp(status.conf->name, e->provider) == 0)
			notices_event(r->notices, e, status.conf, renewals_cert(r, status.conf));
}

const struct cert *renewals_cert(const struct renewals *r, const struct conf_autocert *a)
{
	return r->certs ? certs_of_file(r->certs, a->cert_path, SIZE_MAX) : NULL;
}

void renewals_init(struct renewals *r, struct jobs *jobs, struct mailbox *home,
	struct reloader *reloader, struct notices *notices)
{
	const struct autocert_owner owner = {r, serves, swap, on_event};

	*r = (struct renewals){.reloader = reloader, .notices = notices};
	r->autocert = autocert_new(jobs, home, &owner);
}

static void find_next_end(struct renewals *r)
{
	int64_t now = clock_wall_s();

	r->next_end = INT64_MAX;
	for (size_t i = 0; i < certs_count(r->certs); i++) {
		int64_t end = certs_at(r->certs, i)->not_after;

		if (end >= now && end < r->next_end)
			r->next_end = end;
	}
}

void renewals_set_certs(struct renewals *r, const struct certs *certs)
{
	if (r->certs == certs) /* ticket keys or addresses are new: 100,000 dates are not */
		return;
	r->certs = certs;
	find_next_end(r);
}

void renewals_configure(struct renewals *r, struct conf *conf)
{
	autocert_configure(r->autocert, conf);
}

void renewals_tick(struct renewals *r)
{
	/* A name's valid certificate beats one that has ended: who comes first is decided anew. */
	if (clock_wall_s() > r->next_end) {
		find_next_end(r);
		reloader_ask(r->reloader, RELOAD_CERTS, NULL, NULL);
	}
	autocert_tick(r->autocert);
}

void renewals_stop(struct renewals *r)
{
	autocert_stop(r->autocert);
}

void renewals_clear(struct renewals *r)
{
	autocert_free(r->autocert);
}
