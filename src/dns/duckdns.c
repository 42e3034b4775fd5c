/* The provider `duckdns`: DuckDNS, which has a single TXT value for each domain below duckdns.org,
 * shown at the domain and at all names under it. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/api.h"

#define BASE_URL "https://www.duckdns.org"
#define ZONE     "duckdns.org"

enum { TOKEN = DNS_API_OWN_OPTIONS, SEQUENCE_INTERVAL, N_OPTIONS };

static const struct setting options[N_OPTIONS] = {
	DNS_API_OPTIONS("DUCKDNS_", "DUCK_DNS_", {"DUCKDNS_BASE_URL"}),
	[TOKEN] = {.key = "token",
		.env = {"DUCKDNS_TOKEN"},
		.type = SETTING_SECRET,
		.required = true,
		.help = "the account's token, as its page shows it"},
	/* Who validates may go on seeing a value as long as its TTL. */
	[SEQUENCE_INTERVAL] = {.key = "sequence_interval",
		.env = {"DUCKDNS_SEQUENCE_INTERVAL"},
		.type = SETTING_DURATION,
		.fallback = "60s",
		.help = "from the removal of a value to the next one"},
};

/* Always HTTP 200, and a text whose first line says how it went. */
static bool explain(struct http_reply *r)
{
	const char *body = r->http.body ? r->http.body : "";
	size_t len = strcspn(body, "\r\n");
	char *line = mem_strndup(body, len < HTTP_MESSAGE_SIZE ? len : HTTP_MESSAGE_SIZE);
	bool good = strcmp(line, "OK") == 0;

	if (strcmp(line, "KO") == 0) {
		http_reply_explain(
			r, "KO", "the token is wrong, or the domain is none of its account's");
		r->verdict = HTTP_FINAL;
	} else if (!good) {
		http_reply_explain(r, NULL, *line ? line : "neither OK nor KO");
		if (r->http.status == 200)
			r->verdict = HTTP_LATER;
	}
	free(line);
	return !good;
}

static int init(struct dns_provider *p, struct error *err)
{
	struct http_api *api = p->own = mem_zalloc(sizeof(*api));

	api->explain = explain;
	/* No limit is told of; one request a second harms nobody. */
	return dns_api_init(p, api, BASE_URL, dns_value(p, TOKEN), 1, 1000, err);
}

/* The id is the label that the account has: b of _acme-challenge.a.b.duckdns.org. */
static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	const char *label, *end;

	(void)j;
	if (!dns_is_above(ZONE, name) || strlen(name) == strlen(ZONE))
		return error_set(err,
			"%s lies outside of " ZONE ", and DuckDNS has no other names: a CNAME "
			"record there may lead to a domain of the account, such as "
			"mine." ZONE,
			name);
	label = end = name + strlen(name) - strlen("." ZONE);
	while (label > name && label[-1] != '.')
		label--;
	strcpy(z->name, ZONE);
	z->id = mem_strndup(label, (size_t)(end - label));
	return 1;
}

/* With neither `txt` nor `clear` it would set the domain's address to ours, and with `clear` alone
 * remove its addresses. */
static int update(const struct dns_job *j, const struct dns_txt *t, bool present, struct error *err)
{
	struct http_call c = {.method = "GET", .plain = true};

	str_addf(&c.step, "%s the TXT value of %s." ZONE " for %s",
		present ? "setting" : "clearing", t->zone_id, t->fqdn);
	str_addf(&c.path, "/update?");
	http_add_field(&c.path, "domains", t->zone_id);
	http_add_field(&c.path, "token", dns_value(j->provider, TOKEN));
	http_add_field(&c.path, "txt", t->value);
	http_add_field(&c.path, present ? "verbose" : "clear", "true");
	return dns_command(j, &c, err);
}

/* What orders for one domain share. */
static struct http_account *place_of(const struct dns_job *j, const struct dns_txt *t)
{
	const struct http_api *api = j->provider->own;
	char *id = mem_printf("%s\n%s\n%s", api->base, dns_value(j->provider, TOKEN), t->zone_id);
	struct http_account *place = http_account_get(j->provider->name, id, 0, 0);

	http_wipe(id);
	return place;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	const int64_t gap = dns_value_ms(j->provider, SEQUENCE_INTERVAL, 0),
		      begin = clock_mono_ms();
	struct dns_job later = *j;

	(void)n; /* DNS_SINGLE: one */
	if (http_account_take(place_of(j, v[0]), v[0]->value, gap, &j->limits, err) < 0)
		return -1;
	later.limits.deadline_ms += clock_mono_ms() - begin; /* the wait was the others' time */
	return update(&later, v[0], true, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	struct http_account *place = place_of(j, v[0]);
	int rc;

	(void)n;
	if (!http_account_retake(place, v[0]->value))
		return 0; /* another value has taken its place, so that it is gone */
	rc = update(j, v[0], false, err);
	http_account_give(place);
	return rc;
}

const struct dns_ops dns_duckdns = {
	.help = "DuckDNS",
	.options = options,
	.n_options = N_OPTIONS,
	.patience = {.timeout_ms = 60000, .interval_ms = 2000},
	.init = init,
	.clear = dns_api_free,
	.batch = DNS_SINGLE,
	.present = present,
	.cleanup = cleanup,
	.find_zone = find_zone,
};
