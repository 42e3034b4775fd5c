#include "resolve.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

#define AGAIN_MS      30000
#define ADDRESSES_MAX 64

struct host {
	struct resolver *resolver;
	struct address address;
	struct endpoints found;
	bool wanted, running, failing;
	int64_t asked;     /* ms */
	uint64_t failures; /* of connects, when it was asked */
};

struct resolver {
	struct jobs *jobs;
	void (*changed)(void *arg);
	void *arg;
	struct host **hosts;
	size_t n;
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

static struct host *find(struct resolver *r, const struct address *address)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->hosts[i]->address.text, address->text) == 0)
			return r->hosts[i];
	return NULL;
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

static void start_lookup(struct host *h, uint64_t failures)
{
	struct lookup *l = mem_zalloc(sizeof(*l));

	l->job.run = run_lookup;
	l->job.done = lookup_done;
	l->resolver = h->resolver;
	address_copy(&l->address, &h->address);
	h->asked = clock_mono_ms();
	h->failures = failures;
	h->running = jobs_submit(h->resolver->jobs, &l->job);
	if (!h->running) { /* the next tick tries again */
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

static void free_host(struct host *h)
{
	address_clear(&h->address);
	free(h->found.v);
	free(h);
}

void resolver_free(struct resolver *r)
{
	for (size_t i = 0; i < r->n; i++)
		free_host(r->hosts[i]);
	free(r->hosts);
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
		*(struct host **)mem_grow(&r->hosts, r->n++, sizeof(*r->hosts)) = h;
		start_lookup(h, 0);
	}
	h->wanted = true;
	return &h->found;
}

void resolver_begin(struct resolver *r)
{
	for (size_t i = 0; i < r->n; i++)
		r->hosts[i]->wanted = false;
}

void resolver_end(struct resolver *r)
{
	struct host **old = r->hosts;
	size_t n = r->n;

	r->hosts = NULL;
	r->n = 0;
	for (size_t i = 0; i < n; i++) {
		if (old[i]->wanted)
			*(struct host **)mem_grow(&r->hosts, r->n++, sizeof(*r->hosts)) = old[i];
		else
			free_host(old[i]);
	}
	free(old);
}

void resolver_tick(struct resolver *r, const struct servers *servers)
{
	int64_t now = clock_mono_ms();

	for (size_t i = 0; i < r->n; i++) {
		struct host *h = r->hosts[i];
		uint64_t failures = 0;

		for (size_t j = 0; j < servers->n; j++)
			if (strcmp(servers->v[j]->address.text, h->address.text) == 0)
				failures = atomic_load_explicit(
					&servers->v[j]->failures, memory_order_relaxed);
		if (!h->running &&
			(now - h->asked >= AGAIN_MS || failures != h->failures || h->failing))
			start_lookup(h, failures);
	}
}
