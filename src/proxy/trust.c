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

struct build {
	const struct conf *conf;
	struct problems *problems;
	void *loaded; /* of tsearch() */
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
	struct loaded *const *found = tfind(&key, &b->loaded, compare_loaded), *l;

	if (found)
		return (*found)->anchors;
	l = mem_dup(&key, sizeof(key));
	l->anchors = load_client_anchors(b, route);
	if (!tsearch(l, &b->loaded, compare_loaded))
		abort(); /* out of memory */
	return l->anchors;
}

struct trust *trust_build(const struct conf *c, struct problems *p)
{
	struct trust *t = mem_zalloc(sizeof(*t));
	struct build b = {.conf = c, .problems = p};
	size_t problems = p->n;

	atomic_init(&t->refs, 1);
	t->n_routes = c->n_routes;
	t->clients = mem_zalloc(c->n_routes * sizeof(*t->clients));
	for (size_t i = 0; i < c->n_routes; i++) {
		struct anchors *a = c->routes[i].client_auth.mode == CLIENT_AUTH_NONE
					    ? NULL
					    : get_client_anchors(&b, i);

		t->clients[i] = a ? anchors_ref(a) : NULL;
	}
	tdestroy(b.loaded, free_loaded);
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
	for (size_t i = 0; i < t->n_routes; i++)
		anchors_unref(t->clients[i]);
	free(t->clients);
	free(t);
}
