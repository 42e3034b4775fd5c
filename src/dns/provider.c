#include "dns/provider.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/ops.h"

#define FILE_MAX    ((size_t)64 << 10)
#define CALL_MS     30000
#define TRIES       4
#define BACKOFF_MS  1000 /* doubles; the wait is a random part of it */
#define BACKOFF_MAX 30000

static const struct dns_ops *const all[] = {
	[PROVIDER_RFC2136] = &dns_rfc2136,
	[PROVIDER_CLOUDFLARE] = &dns_cloudflare,
	[PROVIDER_DIGITALOCEAN] = &dns_digitalocean,
	[PROVIDER_GODADDY] = &dns_godaddy,
	[PROVIDER_DUCKDNS] = &dns_duckdns,
	[PROVIDER_ACMEDNS] = &dns_acmedns,
	[PROVIDER_HTTPREQ] = &dns_httpreq,
	[PROVIDER_OVH] = &dns_ovh,
	[PROVIDER_AZUREDNS] = &dns_azuredns,
	[PROVIDER_ROUTE53] = &dns_route53,
	[PROVIDER_GCLOUD] = &dns_gcloud,
	[PROVIDER_CLOUDDNS_CZ] = &dns_clouddns_cz,
	[PROVIDER_EXEC] = &dns_exec,
};

const struct dns_ops *dns_ops_of(enum conf_provider provider)
{
	return provider < sizeof(all) / sizeof(*all) ? all[provider] : NULL;
}

struct dns_provider *dns_provider_new(
	const struct conf *c, const struct conf_autocert *a, struct problems *problems)
{
	struct dns_provider *p = mem_zalloc(sizeof(*p));
	struct error err;

	p->ops = a->provider == PROVIDER_CLOUDDNS ? dns_clouddns_choose(a, &err) : all[a->provider];
	p->name = conf_provider_name(a);
	p->state_dir = c->state_dir;
	if (!p->ops) {
		dns_options_problem(c, a, p->ops, problems, err.text);
	} else if (dns_options_load(p, c, a, problems) == 0) {
		if (p->ops->init(p, &err) == 0)
			return p;
		dns_options_problem(c, a, p->ops, problems, err.text);
	}
	dns_provider_free(p);
	return NULL;
}

void dns_provider_free(struct dns_provider *p)
{
	if (!p)
		return;
	if (p->own)
		p->ops->clear(p);
	dns_options_clear(p);
	free(p);
}

const char *dns_provider_name(const struct dns_provider *p)
{
	return p->name;
}

void dns_provider_hash(const struct dns_provider *p, unsigned char hash[32])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	if (!md || !EVP_DigestInit_ex(md, EVP_sha256(), NULL))
		abort(); /* out of memory */
	for (size_t row = 0; row < p->ops->n_options; row++) {
		const struct conf_strings *s = &p->values[row].list;

		EVP_DigestUpdate(md, &s->n, sizeof(s->n));
		for (size_t i = 0; i < s->n; i++) {
			EVP_DigestUpdate(md, s->v[i], strlen(s->v[i]) + 1);
			if (p->ops->options[row].type != SETTING_PATH)
				continue;
			file_hash(s->v[i], FILE_MAX, hash);
			EVP_DigestUpdate(md, hash, 32);
		}
	}
	EVP_DigestFinal_ex(md, hash, NULL);
	EVP_MD_CTX_free(md);
}

void dns_txts_clear(struct dns_txt *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].fqdn);
		free(v[i].value);
		free(v[i].name);
		free(v[i].zone);
		free(v[i].zone_id);
		free(v[i].handle);
		free(v[i].domain);
		free(v[i].token);
		free(v[i].authorization);
		v[i] = (struct dns_txt){0};
	}
}

static struct limits limits(const struct dns_job *j)
{
	struct limits l = j->limits;

	if (!l.deadline_ms)
		l.deadline_ms = clock_mono_ms() + CALL_MS;
	return l;
}

/* The job for the provider. What its API is asked may take as long as its records take to be seen.
 */
static struct dns_job with_limits(const struct dns_job *j)
{
	int64_t patience = j->provider->patience.timeout_ms;
	struct dns_job limited = *j;

	limited.limits = limits(j);
	if (!j->limits.deadline_ms && patience > CALL_MS)
		limited.limits.deadline_ms += patience - CALL_MS;
	return limited;
}

size_t dns_at_once(const struct dns_provider *p, size_t n)
{
	return p->ops->batch == DNS_SINGLE ? 1 : n;
}

/* --- where they go --- */

/* Who is asked: the resolvers that are configured; else the provider's own server, which knows its
 * zones best, be they public or not, then the system's. */
static int make_resolvers(const struct dns_job *j, struct dns_servers *resolvers,
	const struct limits *l, struct error *err)
{
	const struct dns_ops *ops = j->provider->ops;

	if (j->autocert->resolvers.n)
		return dns_servers_add(resolvers, &j->autocert->resolvers, l, err);
	if (ops->servers && ops->servers(j->provider, resolvers, l, err) < 0)
		return -1;
	dns_servers_add_system(resolvers, DNS_RESOLV_CONF);
	return 0;
}

/* The provider's own servers first: where they speak with authority the zone is theirs. */
static int find_zone(const struct dns_job *j, const struct dns_servers *resolvers,
	const struct dns_servers *own, const char *name, struct dns_zone *z, struct error *err)
{
	const struct dns_ops *ops = j->provider->ops;
	int rc = ops->find_zone ? ops->find_zone(j, name, z, err) : 0;

	if (rc != 0)
		return rc < 0 ? -1 : 0;
	if (own->n && dns_find_zone(own, true, name, z->name, &j->limits, NULL) == 0)
		return 0;
	return dns_find_zone(resolvers, false, name, z->name, &j->limits, err);
}

static int locate(const struct dns_job *j, struct dns_txt *t, const struct dns_servers *resolvers,
	const struct dns_servers *own, struct error *err)
{
	char fqdn[DNS_NAME_SIZE], name[DNS_NAME_SIZE];
	struct dns_zone zone = {0};
	size_t len = strlen(t->fqdn);

	if (len && t->fqdn[len - 1] == '.')
		len--;
	if (!len || len >= DNS_NAME_SIZE)
		return error_set(err, "\"%.260s\" is no DNS name", t->fqdn);
	memcpy(fqdn, t->fqdn, len);
	fqdn[len] = '\0';
	str_lower(fqdn);
	if (dns_follow(resolvers, fqdn, name, &j->limits, err) < 0 ||
		find_zone(j, resolvers, own, name, &zone, err) < 0) {
		free(zone.id);
		return -1;
	}
	free(t->name);
	t->name = mem_strdup(name);
	t->zone = mem_strdup(zone.name);
	t->zone_id = zone.id;
	return 0;
}

int dns_locate(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err)
{
	const struct dns_ops *ops = j->provider->ops;
	const struct dns_job limited = with_limits(j);
	struct dns_servers resolvers = {0}, own = {0};
	int rc = make_resolvers(j, &resolvers, &limited.limits, err);

	if (rc == 0 && ops->servers)
		rc = ops->servers(j->provider, &own, &limited.limits, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (v[i].zone)
			continue;
		/* A name and its wildcard have one challenge name. */
		if (i && strcmp(v[i].fqdn, v[i - 1].fqdn) == 0) {
			v[i].name = mem_strdup(v[i - 1].name);
			v[i].zone = mem_strdup(v[i - 1].zone);
			v[i].zone_id = mem_strdup(v[i - 1].zone_id);
		} else {
			rc = locate(&limited, &v[i], &resolvers, &own, err);
		}
	}
	dns_servers_clear(&resolvers);
	dns_servers_clear(&own);
	return rc;
}

/* --- zone by zone, or name by name --- */

/* Whether the provider is told of both in one call. */
static bool is_with(enum dns_batch batch, const struct dns_txt *a, const struct dns_txt *b)
{
	if (!a->zone || !b->zone || strcmp(a->zone, b->zone) != 0)
		return false;
	switch (batch) {
	case DNS_PER_ZONE: return true;
	case DNS_PER_NAME: return strcmp(a->name, b->name) == 0;
	case DNS_SINGLE: break;
	}
	return a == b;
}

static bool is_first(enum dns_batch batch, const struct dns_txt *v, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (is_with(batch, &v[j], &v[i]))
			return false;
	return v[i].zone;
}

/* Those that go with v[from]; the present ones only, or all. */
static size_t batch_of(enum dns_batch batch, struct dns_txt *v, size_t n, size_t from,
	bool present_only, struct dns_txt **out)
{
	size_t count = 0;

	for (size_t i = from; i < n; i++)
		if (is_with(batch, &v[i], &v[from]) && (v[i].present || !present_only))
			out[count++] = &v[i];
	return count;
}

/* Back-off with full jitter. False when there is no time for another try. */
static bool wait_to_try_again(unsigned tries, const struct limits *l)
{
	int64_t most = (int64_t)BACKOFF_MS << (tries - 1), wait;
	uint32_t random;

	if (most > BACKOFF_MAX)
		most = BACKOFF_MAX;
	if (RAND_bytes((unsigned char *)&random, sizeof(random)) != 1)
		abort();
	wait = (int64_t)(random % (uint32_t)most) + 1;
	return clock_mono_ms() + wait < l->deadline_ms && !stop_wait(l->stop, wait);
}

typedef int (*operation)(
	const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err);

static int call(const struct dns_job *j, operation op, struct dns_txt *const *v, size_t n,
	struct error *err)
{
	const unsigned most = j->provider->tries ? j->provider->tries : TRIES;

	for (unsigned tries = 1;; tries++) {
		int rc = op(j, v, n, err);

		if (rc == 0)
			return 0;
		if (stop_is_set(j->limits.stop))
			return error_set(err, "stopped");
		if (rc != DNS_AGAIN || tries >= most || !wait_to_try_again(tries, &j->limits))
			return error_prefix(err, "zone %s", v[0]->zone);
	}
}

int dns_present(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err)
{
	struct dns_txt **some = mem_zalloc(n * sizeof(struct dns_txt *));
	const enum dns_batch batch = j->provider->ops->batch;
	const struct dns_job limited = with_limits(j);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t count;

		if (!is_first(batch, v, i))
			continue;
		count = batch_of(batch, v, n, i, false, some);
		for (size_t k = 0; k < count; k++)
			some[k]->present = true;
		rc = call(&limited, j->provider->ops->present, some, count, err);
	}
	free(some);
	return rc;
}

int dns_cleanup(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err)
{
	struct dns_txt **some = mem_zalloc(n * sizeof(struct dns_txt *));
	const enum dns_batch batch = j->provider->ops->batch;
	const struct dns_job limited = with_limits(j);
	struct error why;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		size_t count;

		if (!is_first(batch, v, i))
			continue;
		count = batch_of(batch, v, n, i, true, some);
		if (!count)
			continue;
		if (call(&limited, j->provider->ops->cleanup, some, count, &why) == 0) {
			for (size_t k = 0; k < count; k++)
				some[k]->present = false;
		} else if (rc == 0) {
			rc = error_set(err, "%s", why.text);
		}
	}
	free(some);
	return rc;
}

/* --- until they are everywhere --- */

/* What the configuration sets, else the provider's options or defaults. */
static struct dns_patience patience_of(const struct dns_job *j)
{
	const struct conf_propagation *wanted = &j->autocert->propagation;
	struct dns_patience p = j->provider->patience;

	if (wanted->has_timeout || !p.timeout_ms)
		p.timeout_ms = wanted->timeout_ms;
	if (wanted->has_interval || !p.interval_ms)
		p.interval_ms = wanted->interval_ms;
	return p;
}

static int wait_zone(const struct dns_job *j, const struct dns_servers *resolvers,
	const struct dns_servers *named, const struct dns_txt *const *v, size_t n, int64_t begin,
	struct error *err)
{
	const struct dns_patience patience = patience_of(j);
	const struct limits l = limits(j);
	struct dns_servers servers = {0};
	int rc;

	if (named->n)
		return propagation_wait(j, named, v, n, &patience, begin, err);
	rc = dns_find_servers(resolvers, v[0]->zone, &servers, &l, err);
	if (rc == 0)
		rc = propagation_wait(j, &servers, v, n, &patience, begin, err);
	dns_servers_clear(&servers);
	return rc;
}

int dns_wait(const struct dns_job *j, const struct dns_txt *v, size_t n, struct error *err)
{
	const struct conf_propagation *wanted = &j->autocert->propagation;
	const struct limits l = limits(j);
	struct dns_servers resolvers = {0}, named = {0};
	const struct dns_txt **some;
	int64_t begin = clock_mono_ms();
	int rc;

	if (wanted->disable)
		return 0;
	some = mem_zalloc(n * sizeof(*some));
	rc = wanted->servers.n ? dns_servers_add(&named, &wanted->servers, &l, err)
			       : make_resolvers(j, &resolvers, &l, err);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t count = 0;

		if (!is_first(DNS_PER_ZONE, v, i))
			continue;
		for (size_t k = i; k < n; k++)
			if (is_with(DNS_PER_ZONE, &v[k], &v[i]))
				some[count++] = &v[k];
		rc = wait_zone(j, &resolvers, &named, some, count, begin, err);
	}
	free(some);
	dns_servers_clear(&resolvers);
	dns_servers_clear(&named);
	return rc;
}
