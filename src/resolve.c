#include "resolve.h"

#include <netdb.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define AGAIN_MS      30000
#define FAILED_MS     5000 /* a name that did not resolve, and that no connection asks for */
#define ADDRESSES_MAX 64

struct host {
	struct resolver *resolver;
	struct address address;
	struct endpoints found;
	bool wanted, running, failing;
	bool waiting;      /* there was no room for its job */
	int64_t asked;     /* ms */
	uint64_t failures; /* of connects to, and checks of, all servers of that name, now */
	uint64_t known;    /* the same, when it was asked */
};

struct resolver {
	struct jobs *jobs;
	void (*changed)(void *arg);
	void *arg;
	void *hosts; /* by address: of tsearch() */
};

struct lookup {
	struct job job;
	struct resolver *resolver;
	struct address address; /* a copy: the host may be forgotten meanwhile */
	struct endpoints found;
	int error; /* of getaddrinfo */
	bool ran;
};

static void run_lookup(struct job *job)
{
	struct lookup *l = (struct lookup *)job;
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *all = NULL;
	char port[8];

	l->ran = true;
	snprintf(port, sizeof(port), "%u", l->address.port);
	l->error = getaddrinfo(l->address.host, port, &hints, &all);
	if (l->error == EAI_NONAME || l->error == EAI_ADDRFAMILY) {
		/* ADDRCONFIG hides ::1 and 127.0.0.1 where only loopback is configured. */
		hints.ai_flags = 0;
		l->error = getaddrinfo(l->address.host, port, &hints, &all);
	}
	for (struct addrinfo *a = l->error ? NULL : all; a && l->found.n < ADDRESSES_MAX;
		a = a->ai_next) {
		struct endpoint *e = mem_grow(&l->found.v, l->found.n++, sizeof(*l->found.v));

		memcpy(&e->sa, a->ai_addr, a->ai_addrlen);
		e->len = a->ai_addrlen;
	}
	if (all)
		freeaddrinfo(all);
}

static int compare_hosts(const void *a, const void *b)
{
	return strcmp(
		((const struct host *)a)->address.text, ((const struct host *)b)->address.text);
}

static struct host *find(const struct resolver *r, const struct address *address)
{
	const struct host key = {.address = *address};
	struct host *const *found = tfind(&key, &r->hosts, compare_hosts);

	return found ? *found : NULL;
}

/* Resolvers turn the order of addresses round: only another set is a change. */
static bool same_set(const struct endpoints *a, const struct endpoints *b)
{
	for (size_t i = 0; i < a->n; i++) {
		size_t j = 0;

		while (j < b->n && !endpoint_equal(&a->v[i], &b->v[j]))
			j++;
		if (j == b->n)
			return false;
	}
	return a->n == b->n;
}

static void lookup_done(struct job *job)
{
	struct lookup *l = (struct lookup *)job;
	struct host *h = find(l->resolver, &l->address);

	if (h)
		h->running = false;
	if (!h || !l->ran) {
		free(l->found.v);
	} else if (l->error) {
		if (!h->failing)
			log_warn("server %s: its name cannot be resolved: %s%s", h->address.text,
				gai_strerror(l->error),
				h->found.n ? "; the addresses found before stay in use" : "");
		h->failing = true;
	} else {
		bool changed = !same_set(&h->found, &l->found);

		if (h->failing || changed)
			log_info("server %s: its name has %zu address%s", h->address.text,
				l->found.n, l->found.n == 1 ? "" : "es");
		h->failing = false;
		free(h->found.v);
		h->found = l->found;
		if (changed)
			l->resolver->changed(l->resolver->arg);
	}
	address_clear(&l->address);
	free(l);
}

static void start_lookup(struct host *h)
{
	struct lookup *l = mem_zalloc(sizeof(*l));

	l->job.run = run_lookup;
	l->job.done = lookup_done;
	l->resolver = h->resolver;
	address_copy(&l->address, &h->address);
	h->asked = clock_mono_ms();
	h->known = h->failures;
	h->running = jobs_submit(h->resolver->jobs, &l->job);
	h->waiting = !h->running;
	if (h->waiting) { /* the next tick tries again */
		address_clear(&l->address);
		free(l);
	}
}

struct resolver *resolver_new(struct jobs *jobs, void (*changed)(void *arg), void *arg)
{
	struct resolver *r = mem_zalloc(sizeof(*r));

	r->jobs = jobs;
	r->changed = changed;
	r->arg = arg;
	return r;
}

static void free_host(void *host)
{
	struct host *h = host;

	address_clear(&h->address);
	free(h->found.v);
	free(h);
}

void resolver_free(struct resolver *r)
{
	tdestroy(r->hosts, free_host);
	free(r);
}

const struct endpoints *resolver_get(void *resolver, const struct address *address)
{
	struct resolver *r = resolver;
	struct host *h = find(r, address);

	if (!h) {
		h = mem_zalloc(sizeof(*h));
		h->resolver = r;
		address_copy(&h->address, address);
		if (!tsearch(h, &r->hosts, compare_hosts))
			abort(); /* out of memory */
		start_lookup(h);
	}
	h->wanted = true;
	return &h->found;
}

static void unwant(const void *node, VISIT visit, void *arg)
{
	(void)arg;
	if (visit == postorder || visit == leaf)
		(*(struct host *const *)node)->wanted = false;
}

void resolver_begin(struct resolver *r)
{
	twalk_r(r->hosts, unwant, NULL);
}

struct unwanted {
	struct host **v;
	size_t n;
};

static void collect_unwanted(const void *node, VISIT visit, void *arg)
{
	struct host *h = *(struct host *const *)node;
	struct unwanted *u = arg;

	if ((visit == postorder || visit == leaf) && !h->wanted)
		*(struct host **)mem_grow(&u->v, u->n++, sizeof(*u->v)) = h;
}

void resolver_end(struct resolver *r)
{
	struct unwanted u = {0};

	twalk_r(r->hosts, collect_unwanted, &u);
	for (size_t i = 0; i < u.n; i++) {
		tdelete(u.v[i], &r->hosts, compare_hosts);
		free_host(u.v[i]);
	}
	free(u.v);
}

static void forget_failures(const void *node, VISIT visit, void *arg)
{
	(void)arg;
	if (visit == postorder || visit == leaf)
		(*(struct host *const *)node)->failures = 0;
}

static void count_failures(struct resolver *r, const struct routes *routes)
{
	twalk_r(r->hosts, forget_failures, NULL);
	for (size_t i = 0; i < routes->n; i++) {
		for (size_t t = 0; t < routes->v[i].n_targets; t++) {
			const struct server *s = routes->v[i].targets[t].server;
			struct host *h =
				s->address.kind == ADDRESS_NAME ? find(r, &s->address) : NULL;

			if (h)
				h->failures += s->checks_bad + atomic_load_explicit(&s->failures,
								       memory_order_relaxed);
		}
	}
}

static void tick_host(const void *node, VISIT visit, void *arg)
{
	struct host *h = *(struct host *const *)node;
	const int64_t *now = arg;

	if ((visit == postorder || visit == leaf) && !h->running &&
		(h->waiting || h->failures != h->known ||
			*now - h->asked >= (h->failing ? FAILED_MS : AGAIN_MS)))
		start_lookup(h);
}

void resolver_tick(struct resolver *r, const struct routes *routes)
{
	int64_t now = clock_mono_ms();

	if (!r->hosts)
		return;
	count_failures(r, routes);
	twalk_r(r->hosts, tick_host, &now);
}
