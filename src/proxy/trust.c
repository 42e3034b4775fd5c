#include "proxy/trust.h"

#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Files that were loaded, while a trust is built. */
struct loaded {
	const char *ca, *crl;
	struct anchors *anchors; /* NULL: the problem has been told */
};

/* A distinct `tls` block. */
struct block {
	const struct conf_server_tls *conf;
	struct outbound *outbound; /* NULL: the problem has been told */
};

struct build {
	const struct conf *conf;
	struct problems *problems;
	/* Of tsearch(): struct loaded for clients and for servers, struct block. */
	void *clients, *roots, *blocks;
};

static int compare_loaded(const void *a, const void *b)
{
	const struct loaded *x = a, *y = b;
	int order = strcmp(x->ca, y->ca);

	return order ? order : strcmp(x->crl ? x->crl : "", y->crl ? y->crl : "");
}

static void free_loaded(void *node)
{
	struct loaded *l = node;

	anchors_unref(l->anchors);
	free(l);
}

__attribute__((format(printf, 4, 5))) static void client_problem(
	const struct build *b, size_t route, const char *key, const char *fmt, ...)
{
	char path[64], what[ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "routes[%zu].client_auth.%s", route, key);
	conf_problem(
		b->problems, b->conf, b->conf->routes[route].client_auth.place, path, "%s", what);
}

static struct anchors *load_client_anchors(const struct build *b, size_t route)
{
	const struct conf_client_auth *conf = &b->conf->routes[route].client_auth;
	struct error err;
	struct anchors *a = anchors_load(conf->ca, &err);
	char name[TLS_NAME_SIZE];
	int no_ca;

	if (!a) {
		client_problem(b, route, "ca", "%s", err.text);
		return NULL;
	}
	no_ca = anchors_find_no_ca(a);
	if (no_ca >= 0) {
		client_problem(b, route, "ca",
			"%s: its certificate %d, %s, is no CA's: it takes those of the CAs that "
			"issue the clients' certificates",
			conf->ca, no_ca + 1,
			tls_name_text(name, X509_get_subject_name(sk_X509_value(a->certs, no_ca))));
	} else if (conf->crl && anchors_add_crls(a, conf->crl, &err) < 0) {
		client_problem(b, route, "crl", "%s", err.text);
	} else {
		anchors_warn_expired(a, conf->ca);
		return a;
	}
	anchors_unref(a);
	return NULL;
}

/* Borrowed from `b`. */
static struct anchors *get_client_anchors(struct build *b, size_t route)
{
	const struct conf_client_auth *conf = &b->conf->routes[route].client_auth;
	const struct loaded key = {.ca = conf->ca, .crl = conf->crl};
	struct loaded *const *found = tfind(&key, &b->clients, compare_loaded), *l;

	if (found)
		return (*found)->anchors;
	l = mem_dup(&key, sizeof(key));
	l->anchors = load_client_anchors(b, route);
	if (!tsearch(l, &b->clients, compare_loaded))
		abort(); /* out of memory */
	return l->anchors;
}

/* --- servers --- */

struct server_place { /* of a server in the configuration */
	size_t route, server;
};

__attribute__((format(printf, 3, 4))) static void server_problem(
	const struct build *b, struct server_place at, const char *fmt, ...)
{
	char path[64], what[ERROR_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "routes[%zu].backends[%zu].tls", at.route, at.server);
	conf_problem(b->problems, b->conf, b->conf->routes[at.route].servers[at.server].tls.place,
		path, "%s", what);
}

/* Borrowed from `b`; NULL when they cannot be loaded. */
static struct anchors *get_roots(struct build *b, struct server_place at, const char *ca)
{
	const struct loaded key = {.ca = ca ? ca : ""};
	struct loaded *const *found = tfind(&key, &b->roots, compare_loaded), *l;
	struct error err;

	if (found)
		return (*found)->anchors;
	l = mem_dup(&key, sizeof(key));
	l->anchors = ca ? anchors_load(ca, &err) : anchors_load_system(&err);
	if (!l->anchors)
		server_problem(b, at, "ca: %s", err.text);
	else if (ca)
		anchors_warn_expired(l->anchors, ca);
	if (!tsearch(l, &b->roots, compare_loaded))
		abort(); /* out of memory */
	return l->anchors;
}

static int compare_texts(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "");
}

static int compare_blocks(const void *a, const void *b)
{
	const struct conf_server_tls *x = ((const struct block *)a)->conf;
	const struct conf_server_tls *y = ((const struct block *)b)->conf;
	int order = x->verify - y->verify;

	order = order ? order : compare_texts(x->ca, y->ca);
	order = order ? order : compare_texts(x->server_name, y->server_name);
	order = order ? order : compare_texts(x->cert, y->cert);
	return order ? order : compare_texts(x->key, y->key);
}

static void free_block(void *node)
{
	struct block *block = node;

	outbound_unref(block->outbound);
	free(block);
}

/* Borrowed from `b`. */
static struct outbound *get_outbound(struct build *b, struct server_place at)
{
	const struct conf_server_tls *conf = &b->conf->routes[at.route].servers[at.server].tls;
	const struct block key = {.conf = conf};
	struct block *const *found = tfind(&key, &b->blocks, compare_blocks), *block;
	struct anchors *roots;
	struct error err;

	if (found)
		return (*found)->outbound;
	block = mem_dup(&key, sizeof(key));
	roots = conf->verify ? get_roots(b, at, conf->ca) : NULL;
	if (roots || !conf->verify) {
		block->outbound = outbound_new(conf, roots, &err);
		if (!block->outbound)
			server_problem(b, at, "%s", err.text);
	}
	if (!tsearch(block, &b->blocks, compare_blocks))
		abort(); /* out of memory */
	return block->outbound;
}

static void build_servers(struct build *b, size_t route, struct trust_servers *out)
{
	out->n = b->conf->routes[route].n_servers;
	out->v = mem_zalloc(out->n * sizeof(struct outbound *));
	for (size_t i = 0; i < out->n; i++) {
		struct outbound *o = b->conf->routes[route].servers[i].tls.set
					     ? get_outbound(b, (struct server_place){route, i})
					     : NULL;

		out->v[i] = o ? outbound_ref(o) : NULL;
	}
}

struct trust *trust_build(const struct conf *c, struct problems *p)
{
	struct trust *t = mem_zalloc(sizeof(*t));
	struct build b = {.conf = c, .problems = p};
	size_t problems = p->n;

	atomic_init(&t->refs, 1);
	t->n_routes = c->n_routes;
	t->clients = mem_zalloc(c->n_routes * sizeof(*t->clients));
	t->servers = mem_zalloc(c->n_routes * sizeof(*t->servers));
	for (size_t i = 0; i < c->n_routes; i++) {
		struct anchors *a = c->routes[i].client_auth.mode == CLIENT_AUTH_NONE
					    ? NULL
					    : get_client_anchors(&b, i);

		t->clients[i] = a ? anchors_ref(a) : NULL;
		build_servers(&b, i, &t->servers[i]);
	}
	tdestroy(b.clients, free_loaded);
	tdestroy(b.blocks, free_block);
	tdestroy(b.roots, free_loaded);
	if (p->n == problems)
		return t;
	trust_unref(t);
	return NULL;
}

struct trust *trust_ref(struct trust *t)
{
	atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
	return t;
}

void trust_unref(struct trust *t)
{
	if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < t->n_routes; i++) {
		anchors_unref(t->clients[i]);
		for (size_t s = 0; s < t->servers[i].n; s++)
			outbound_unref(t->servers[i].v[s]);
		free(t->servers[i].v);
	}
	free(t->clients);
	free(t->servers);
	free(t);
}
