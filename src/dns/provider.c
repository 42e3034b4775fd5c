#include "dns/provider.h"

#include <ctype.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/value.h"
#include "dns/ops.h"

#define CALL_MS    30000
#define SECRET_MAX (64 << 10)
#define TTL_MAX    86400
#define DAY_MS     INT64_C(86400000)

/* Every provider has these, behind its own. */
enum { COMMON_TTL, COMMON_TIMEOUT, COMMON_INTERVAL, COMMON_N };

static const char *const common_keys[COMMON_N] = {
	[COMMON_TTL] = "ttl",
	[COMMON_TIMEOUT] = "propagation_timeout",
	[COMMON_INTERVAL] = "polling_interval",
};

static const struct dns_ops *find_ops(const struct conf_autocert *a)
{
	switch (a->provider) {
	case PROVIDER_RFC2136: return &dns_rfc2136;
	case PROVIDER_LOCAL:
	case PROVIDER_PSEUDO: break;
	}
	return NULL;
}

const char *dns_value(const struct dns_provider *p, size_t row)
{
	return p->values[row].n ? p->values[row].v[0] : NULL;
}

const char *dns_provider_name(const struct dns_provider *p)
{
	return p->ops->name;
}

/* ---- options ---- */

/* Letter case and underscores are ignored. */
static bool same_key(const char *a, const char *b)
{
	for (;;) {
		while (*a == '_')
			a++;
		while (*b == '_')
			b++;
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
}

static bool is_key_of(const struct dns_option *row, const char *key)
{
	if (same_key(row->key, key))
		return true;
	for (size_t i = 0; i < DNS_ENV_MAX && row->env[i]; i++)
		if (same_key(row->env[i], key))
			return true;
	return false;
}

/* The row of a key; *from_file: it is a secret's KEY_file. */
static size_t find_row(const struct dns_ops *ops, const char *key, bool *from_file)
{
	size_t len = strlen(key);
	char *without = len > 4 && strcasecmp(key + len - 4, "file") == 0
				? mem_strndup(key, len - 4)
				: NULL;
	size_t row = 0;

	*from_file = false;
	for (; row < ops->n_options; row++) {
		if (is_key_of(&ops->options[row], key))
			break;
		if (without && (ops->options[row].flags & DNS_SECRET) &&
			is_key_of(&ops->options[row], without)) {
			*from_file = true;
			break;
		}
	}
	free(without);
	return row;
}

struct loader {
	struct dns_provider *p;
	const struct conf *conf;
	const struct conf_autocert *autocert;
	struct problems *problems;
	const char *given[DNS_OPTIONS_MAX]; /* the spelling that was there before */
	const char *common[COMMON_N];
};

__attribute__((format(printf, 3, 4))) static void problem(
	struct loader *l, const struct conf_option *o, const char *fmt, ...)
{
	char what[ERROR_MAX], path[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "autocert%s%s.options%s%.100s",
		strcmp(l->autocert->name, "main") == 0 ? "" : ".",
		strcmp(l->autocert->name, "main") == 0 ? "" : l->autocert->name, o ? "." : "",
		o ? o->key : "");
	conf_problem(l->problems, l->conf, o ? o->place : l->autocert->place, path, "%s", what);
}

static char *read_secret(struct loader *l, const struct conf_option *o, const char *path)
{
	char *resolved = file_resolve(l->conf->state_dir, path);
	struct error err;
	size_t len;
	char *text = file_read(resolved, SECRET_MAX, &len, &err);

	if (!text)
		problem(l, o, "%s", err.text);
	while (text && len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	free(resolved);
	return text;
}

static void add_value(struct conf_strings *to, char *text)
{
	*(char **)mem_grow(&to->v, to->n++, sizeof(*to->v)) = text;
}

static void unknown_option(struct loader *l, const struct conf_option *o)
{
	const char *keys[DNS_OPTIONS_MAX + COMMON_N], *near;
	size_t n = 0;

	for (size_t i = 0; i < l->p->ops->n_options; i++)
		keys[n++] = l->p->ops->options[i].key;
	for (size_t i = 0; i < COMMON_N; i++)
		keys[n++] = common_keys[i];
	near = str_nearest(o->key, keys, n);
	if (near)
		problem(l, o, "the provider %s has no such option, did you mean \"%s\"?",
			l->p->ops->name, near);
	else
		problem(l, o, "the provider %s has no such option", l->p->ops->name);
}

static bool take_common(struct loader *l, const struct conf_option *o)
{
	for (size_t i = 0; i < COMMON_N; i++) {
		if (!same_key(common_keys[i], o->key))
			continue;
		l->common[i] = o->values.n ? o->values.v[0] : "";
		return true;
	}
	return false;
}

static void take_option(struct loader *l, const struct conf_option *o)
{
	const struct dns_ops *ops = l->p->ops;
	bool from_file;
	size_t row = find_row(ops, o->key, &from_file);

	if (row == ops->n_options) {
		if (!take_common(l, o))
			unknown_option(l, o);
		return;
	}
	if (l->given[row]) {
		problem(l, o, "%s is given too: keep one of them", l->given[row]);
		return;
	}
	l->given[row] = o->key;
	if (o->values.n != 1 && !(ops->options[row].flags & DNS_LIST)) {
		problem(l, o, "takes a single value");
		return;
	}
	for (size_t i = 0; i < o->values.n; i++) {
		char *text =
			from_file ? read_secret(l, o, o->values.v[i]) : mem_strdup(o->values.v[i]);

		if (text && !*text)
			problem(l, o, "is empty");
		if (text)
			add_value(&l->p->values[row], text);
	}
}

/* What the options leave out. */
static void take_environment(struct loader *l)
{
	const struct dns_ops *ops = l->p->ops;

	for (size_t row = 0; row < ops->n_options; row++) {
		const struct dns_option *o = &ops->options[row];
		const char *value = NULL;

		if (l->given[row])
			continue;
		for (size_t i = 0; i < DNS_ENV_MAX && o->env[i] && !value; i++) {
			value = getenv(o->env[i]);
			value = value && *value ? value : NULL;
		}
		if (!value)
			value = o->fallback;
		if (value)
			add_value(&l->p->values[row], mem_strdup(value));
		else if (o->flags & DNS_REQUIRED)
			problem(l, NULL, "%s is missing: the provider %s needs it%s%s", o->key,
				ops->name, o->env[0] ? ", here or in the environment as " : "",
				o->env[0] ? o->env[0] : "");
	}
}

static void read_common(struct loader *l)
{
	struct error err;
	int64_t n;

	l->p->ttl = l->p->ops->ttl;
	if (l->common[COMMON_TTL]) {
		if (value_int(l->common[COMMON_TTL], 1, TTL_MAX, &n, &err) < 0)
			problem(l, NULL, "ttl: %s", err.text);
		else
			l->p->ttl = (long)n;
	}
	l->p->patience = l->p->ops->patience;
	if (l->common[COMMON_TIMEOUT] && value_duration(l->common[COMMON_TIMEOUT], 1, DAY_MS,
						 &l->p->patience.timeout_ms, &err) < 0)
		problem(l, NULL, "propagation_timeout: %s", err.text);
	if (l->common[COMMON_INTERVAL] && value_duration(l->common[COMMON_INTERVAL], 1, DAY_MS,
						  &l->p->patience.interval_ms, &err) < 0)
		problem(l, NULL, "polling_interval: %s", err.text);
}

struct dns_provider *dns_provider_new(
	const struct conf *c, const struct conf_autocert *a, struct problems *problems)
{
	struct loader l = {.conf = c, .autocert = a, .problems = problems};
	size_t before = problems->n;
	struct error err;

	l.p = mem_zalloc(sizeof(*l.p));
	l.p->ops = find_ops(a);
	for (size_t i = 0; i < a->n_options; i++)
		take_option(&l, &a->options[i]);
	take_environment(&l);
	read_common(&l);
	if (problems->n == before && l.p->ops->init && l.p->ops->init(l.p, &err) < 0)
		problem(&l, NULL, "%s", err.text);
	if (problems->n == before)
		return l.p;
	dns_provider_free(l.p);
	return NULL;
}

void dns_provider_free(struct dns_provider *p)
{
	if (!p)
		return;
	if (p->own)
		p->ops->clear(p);
	for (size_t row = 0; row < DNS_OPTIONS_MAX; row++) {
		for (size_t i = 0; i < p->values[row].n; i++) {
			OPENSSL_cleanse(p->values[row].v[i], strlen(p->values[row].v[i]));
			free(p->values[row].v[i]);
		}
		free(p->values[row].v);
	}
	free(p);
}

/* ---- records ---- */

void dns_txts_clear(struct dns_txt *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].fqdn);
		free(v[i].value);
		free(v[i].name);
		free(v[i].zone);
		free(v[i].handle);
		v[i] = (struct dns_txt){0};
	}
}

static struct dns_limits limits(const struct dns_job *j)
{
	return (struct dns_limits){
		.stop = j->stop,
		.deadline_ms = j->deadline_ms ? j->deadline_ms : clock_mono_ms() + CALL_MS,
	};
}

/* Who knows about names, and who about zones. */
static int make_resolvers(const struct dns_job *j, struct dns_servers *names,
	struct dns_servers *zones, struct error *err)
{
	const struct dns_provider *p = j->provider;

	if (p->ops->zone_servers && p->ops->zone_servers(p, zones, err) < 0)
		return -1;
	if (j->autocert->resolvers.n)
		return dns_servers_add(names, &j->autocert->resolvers, err);
	/* A provider's own server knows its names best, be they public or not. */
	for (size_t i = 0; i < zones->n; i++)
		dns_servers_add_one(names, &zones->v[i], zones->names[i]);
	dns_servers_add_system(names);
	return 0;
}

static int locate(const struct dns_job *j, struct dns_txt *t, const struct dns_servers *names,
	const struct dns_servers *zones, const struct dns_limits *l, struct error *err)
{
	const struct dns_ops *ops = j->provider->ops;
	char name[DNS_NAME_SIZE], zone[DNS_NAME_SIZE];
	const char *given;

	if (dns_follow(names, t->fqdn, name, l, err) < 0)
		return -1;
	given = ops->find_zone ? ops->find_zone(j->provider, name) : NULL;
	if (!given && dns_find_zone(zones->n ? zones : names, name, zone, l, err) < 0)
		return -1;
	free(t->name);
	t->name = mem_strdup(name);
	t->zone = mem_strdup(given ? given : zone);
	return 0;
}

int dns_locate(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err)
{
	const struct dns_limits l = limits(j);
	struct dns_servers names = {0}, zones = {0};
	int rc = make_resolvers(j, &names, &zones, err);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (v[i].zone)
			continue;
		if (i && v[i - 1].zone && strcmp(v[i].fqdn, v[i - 1].fqdn) == 0) {
			v[i].name = mem_strdup(v[i - 1].name);
			v[i].zone = mem_strdup(v[i - 1].zone);
		} else {
			rc = locate(j, &v[i], &names, &zones, &l, err);
		}
	}
	dns_servers_clear(&names);
	dns_servers_clear(&zones);
	return rc;
}

/* Those of `v` that lie in the zone of v[from] and pass `wanted`. */
static size_t of_zone(
	struct dns_txt *v, size_t n, size_t from, bool present_only, struct dns_txt **out)
{
	size_t count = 0;

	for (size_t i = from; i < n; i++)
		if (v[i].zone && strcmp(v[i].zone, v[from].zone) == 0 &&
			(v[i].present || !present_only))
			out[count++] = &v[i];
	return count;
}

static bool is_first_of_zone(const struct dns_txt *v, size_t i)
{
	if (!v[i].zone)
		return false;
	for (size_t j = 0; j < i; j++)
		if (v[j].zone && strcmp(v[j].zone, v[i].zone) == 0)
			return false;
	return true;
}

int dns_present(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err)
{
	struct dns_txt **some = mem_zalloc(n * sizeof(struct dns_txt *));
	const struct dns_limits l = limits(j);
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t count;

		if (!is_first_of_zone(v, i))
			continue;
		count = of_zone(v, n, i, false, some);
		for (size_t k = 0; k < count; k++)
			some[k]->present = true;
		if (j->provider->ops->present(j, some, count, &l, err) < 0)
			rc = error_prefix(err, "setting the TXT record of %s in zone %s", v[i].name,
				v[i].zone);
	}
	free(some);
	return rc;
}

int dns_cleanup(const struct dns_job *j, struct dns_txt *v, size_t n, struct error *err)
{
	struct dns_txt **some = mem_zalloc(n * sizeof(struct dns_txt *));
	const struct dns_limits l = limits(j);
	struct error why;
	int rc = 0;

	for (size_t i = 0; i < n; i++) {
		size_t count;

		if (!is_first_of_zone(v, i))
			continue;
		count = of_zone(v, n, i, true, some);
		if (!count)
			continue;
		if (j->provider->ops->cleanup(j, some, count, &l, &why) == 0) {
			for (size_t k = 0; k < count; k++)
				some[k]->present = false;
		} else if (rc == 0) {
			rc = error_set(err, "removing the TXT record of %s in zone %s: %.700s",
				v[i].name, v[i].zone, why.text);
		}
	}
	free(some);
	return rc;
}

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

static int wait_zone(const struct dns_job *j, const char *zone, const struct dns_txt *const *v,
	size_t n, struct error *err)
{
	const struct conf_propagation *wanted = &j->autocert->propagation;
	const struct dns_patience patience = patience_of(j);
	struct dns_servers servers = {0}, names = {0}, zones = {0};
	const struct dns_limits l = limits(j);
	int rc;

	if (wanted->servers.n) {
		rc = dns_servers_add(&servers, &wanted->servers, err);
	} else {
		rc = make_resolvers(j, &names, &zones, err);
		if (rc == 0)
			rc = dns_find_servers(&names, zone, &servers, &l, err);
	}
	if (rc == 0)
		rc = propagation_wait(j, &servers, v, n, &patience, err);
	dns_servers_clear(&servers);
	dns_servers_clear(&names);
	dns_servers_clear(&zones);
	return rc;
}

int dns_wait(const struct dns_job *j, const struct dns_txt *v, size_t n, struct error *err)
{
	const struct dns_txt **some;
	int rc = 0;

	if (j->autocert->propagation.disable)
		return 0;
	some = mem_zalloc(n * sizeof(*some));
	for (size_t i = 0; rc == 0 && i < n; i++) {
		size_t count = 0;

		if (!is_first_of_zone(v, i))
			continue;
		for (size_t k = i; k < n; k++)
			if (v[k].zone && strcmp(v[k].zone, v[i].zone) == 0)
				some[count++] = &v[k];
		rc = wait_zone(j, v[i].zone, some, count, err);
	}
	free(some);
	return rc;
}
