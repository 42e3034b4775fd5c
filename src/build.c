#include "build.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acme/client.h"
#include "autocert/store.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dns/provider.h"
#include "notify/notify.h"
#include "tls/handshake.h"

static void listener_problem(
	struct problems *p, const struct conf *c, size_t i, const struct error *err)
{
	char path[64];

	snprintf(path, sizeof(path), "listen[%zu].address", i);
	conf_problem(p, c, c->listens[i].place, path, "%s", err->text);
}

int build_listeners(struct built *b, const struct listeners *before, struct problems *p)
{
	const struct conf *c = b->conf;
	bool *is_free = mem_zalloc(c->n_listens * sizeof(*is_free));
	size_t problems = p->n;
	struct error err;

	b->listeners = listeners_new(c->n_listens);
	for (size_t i = 0; i < c->n_listens; i++)
		listener_set_rules(&b->listeners->rules[i], &c->listens[i]);
	for (size_t i = 0; i < c->n_listens; i++) {
		struct listener *kept = listeners_find(before, &c->listens[i].address);

		if (kept)
			b->listeners->v[i] = listener_ref(kept);
		else if (listener_check_free(&c->listens[i].address, before, &err) == 0)
			is_free[i] = true;
		else
			listener_problem(p, c, i, &err);
	}
	for (size_t i = 0; i < c->n_listens; i++) {
		if (!is_free[i])
			continue;
		b->listeners->v[i] =
			listener_open(&c->listens[i].address, (size_t)c->workers, &err);
		if (!b->listeners->v[i])
			listener_problem(p, c, i, &err);
	}
	free(is_free);
	return p->n == problems ? 0 : -1;
}

/* The list of where certificates come from, main first. Strings are the list's own. */
struct sources {
	struct certs_source *v;
	size_t n;
};

static void add_source(struct sources *s, const struct conf *c, struct conf_place place,
	const char *path, const struct certs_source *source)
{
	struct certs_source *to = mem_grow(&s->v, s->n++, sizeof(*s->v));

	*to = *source;
	to->place = mem_printf("%s:%d:%d: %s", c->file, place.line, place.column, path);
}

static void clear_sources(struct sources *s)
{
	for (size_t i = 0; i < s->n; i++)
		free((char *)(uintptr_t)s->v[i].place);
	free(s->v);
}

/* What is not there and nobody said that it would be is no problem. */
static bool is_absent(const struct conf_autocert *a)
{
	return !a->has_paths && (access(a->cert_path, F_OK) < 0 || access(a->key_path, F_OK) < 0);
}

/* What is in a state_dir that is missing will be in one that is the user's own. */
static int check_folder_dry(const struct conf *c, const char *path, struct error *err)
{
	size_t len = strlen(c->state_dir);

	if (strncmp(path, c->state_dir, len) == 0 && path[len] == '/' &&
		access(c->state_dir, F_OK) < 0)
		return 0;
	return store_would_check_folder(path, err);
}

static int check_folder(const struct conf *c, const char *path, bool dry, struct error *err)
{
	return dry ? check_folder_dry(c, path, err) : store_check_folder(path, err);
}

/* The roots that the CA is talked to by. */
static void check_ca_certs(const struct conf *c, const struct conf_autocert *a, struct problems *p)
{
	struct error err;
	size_t len;

	for (size_t i = 0; i < a->ca_certs.n; i++) {
		char *pem = file_read(a->ca_certs.v[i], ACME_ROOTS_MAX, &len, &err);

		if (!pem)
			conf_problem(p, c, a->place, NULL, "autocert: %s: ca_certs: %s", a->name,
				err.text);
		free(pem);
	}
}

/* What an order will need: found now, by whoever changes the configuration, and not at night.
 * `dry`: nothing on disk is made or mended. */
static void check_provider(
	const struct conf *c, const struct conf_autocert *a, bool dry, struct problems *p)
{
	struct error err;

	if (a->provider == PROVIDER_LOCAL)
		return;
	if (conf_is_acme(a)) {
		dns_provider_free(dns_provider_new(c, a, p));
		check_ca_certs(c, a, p);
	}
	if (!dry && store_repair_pair(a->cert_path, a->key_path, &err) < 0)
		log_warn("autocert: %s: %s", a->name, err.text);
	if (check_folder(c, a->cert_path, dry, &err) < 0 ||
		check_folder(c, a->key_path, dry, &err) < 0 ||
		(conf_is_acme(a) && check_folder(c, a->acme_key_path, dry, &err) < 0))
		conf_problem(p, c, a->place, NULL, "autocert: %s: %s", a->name, err.text);
}

static void add_provider(
	struct sources *s, const struct conf *c, const struct conf_autocert *a, bool keep)
{
	bool local = a->provider == PROVIDER_LOCAL;
	struct certs_source source = {
		.cert = a->cert_path,
		.key = a->key_path,
		.optional = !local, /* what is missing or broken is obtained */
		.keep = local && keep,
	};
	char path[64];

	if (local && !keep && is_absent(a))
		return;
	snprintf(path, sizeof(path), "autocert: %s", a->name);
	add_source(s, c, a->place, path, &source);
}

static bool is_whole(const struct conf_certificate *c)
{
	return c->pem || c->dir || (c->cert && c->key);
}

static void add_certificates(struct sources *s, const struct conf *c, bool keep)
{
	for (size_t i = 0; i < c->tls.n_certificates; i++) {
		const struct conf_certificate *from = &c->tls.certificates[i];
		struct certs_source source = {
			.cert = from->pem ? from->pem : from->cert,
			.key = from->key,
			.dir = from->dir,
			.keep = keep,
		};
		char path[64];

		if (!is_whole(from)) /* refused already */
			continue;
		snprintf(path, sizeof(path), "tls.certificates[%zu]", i);
		add_source(s, c, from->place, path, &source);
	}
}

/* `keep`: what nobody renews is taken over as it is served. */
static void add_sources(struct sources *s, const struct conf *c, bool keep)
{
	for (size_t i = 0; i < c->n_providers; i++)
		add_provider(s, c, &c->providers[i], keep);
	add_certificates(s, c, keep);
}

/* With all of s, which is freed. */
static struct certs *build_certs(struct sources *s, const struct certs *before, struct problems *p)
{
	struct certs *certs;

	store_hold_pairs();
	certs = certs_build(s->v, s->n, before, p);
	store_release_pairs();
	clear_sources(s);
	return certs;
}

static void warn_without_certificates(const struct built *b)
{
	bool needed = false;

	for (size_t i = 0; i < b->conf->n_routes; i++)
		needed = needed || b->conf->routes[i].tls == ROUTE_TERMINATE;
	for (size_t i = 0; i < b->conf->n_providers; i++)
		if (b->conf->providers[i].provider != PROVIDER_LOCAL)
			return; /* it is on its way */
	if (needed && certs_count(b->certs) == 0)
		log_warn("there is no certificate: every handshake will be refused; "
			 "tls.certificates names some, autocert others");
}

/* Of a configuration that is refused anything may be missing; but whoever mends it sees at once
 * what else is wrong. */
static int check_files(const struct conf *c, const struct certs *before, struct problems *p)
{
	struct sources s = {0};

	add_certificates(&s, c, false);
	certs_unref(build_certs(&s, before, p));
	return -1;
}

int build_tls(struct built *b, const struct certs *before, bool dry, struct problems *p)
{
	const struct conf *c = b->conf;
	struct sources s = {0};
	size_t problems = p->n;
	struct error err;

	if (c->refused)
		return check_files(c, before, p);
	b->ctx = tls_context_new(&c->tls, &err);
	if (!b->ctx)
		conf_problem(p, c, c->tls.place, NULL, "%s", err.text);
	b->trust = trust_build(c, p);
	notify_check(c, p);
	for (size_t i = 0; i < c->n_providers; i++)
		check_provider(c, &c->providers[i], dry, p);
	add_sources(&s, c, false);
	b->certs = build_certs(&s, before, p);
	if (b->certs)
		warn_without_certificates(b);
	return p->n == problems ? 0 : -1;
}

int build_all(
	struct built *b, const char *file, const struct build_before *before, struct problems *p)
{
	*b = (struct built){.conf = conf_load_refused(file, p)};
	if (!b->conf)
		return -1;
	if (!b->conf->refused)
		conf_check_reload(before->conf, b->conf, p);
	if (b->conf->workers_auto) /* whatever CPUs there are now */
		b->conf->workers = before->conf->workers;
	if (p->n) {
		check_files(b->conf, before->certs, p);
	} else {
		/* Both, so that all problems are seen at once. */
		build_listeners(b, before->listeners, p);
		build_tls(b, before->certs, false, p);
	}
	if (p->n) {
		if (b->listeners)
			listeners_unlink_gone(b->listeners, before->listeners);
		built_clear(b);
		return -1;
	}
	return 0;
}

void built_clear(struct built *b)
{
	listeners_unref(b->listeners);
	SSL_CTX_free(b->ctx);
	certs_unref(b->certs);
	trust_unref(b->trust);
	conf_unref(b->conf);
	*b = (struct built){0};
}

int build_autocert(struct built *b, const struct build_before *before, struct problems *p)
{
	struct sources s = {0};

	add_sources(&s, before->conf, true);
	b->certs = build_certs(&s, before->certs, p);
	return b->certs ? 0 : -1;
}
