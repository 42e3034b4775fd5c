/* The provider `rfc2136`: dynamic updates (RFC 2136) signed with TSIG (RFC 8945), over TCP. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/ops.h"
#include "dns/tsig.h"

#define TIMEOUT_MS 10000 /* of one update, unless dns_timeout is given */

enum {
	NAMESERVER = DNS_OWN_OPTIONS,
	TSIG_KEY,
	TSIG_SECRET,
	TSIG_ALGORITHM,
	TSIG_FILE,
	ZONES,
	DNS_TIMEOUT,
	SEQUENCE_INTERVAL,
	N_OPTIONS,
};

#define ENV(name) DNS_ENV("DNSUPDATE_", "RFC2136_", name)
static const struct setting options[N_OPTIONS] = {
	DNS_COMMON_OPTIONS("DNSUPDATE_", "RFC2136_"),
	[NAMESERVER] = {.key = "nameserver",
		.env = ENV("NAMESERVER"),
		.required = true,
		.help = "the zone's primary server: HOST or HOST:PORT, an IPv6 address in "
			"brackets"},
	[TSIG_KEY] = {.key = "tsig_key", .env = ENV("TSIG_KEY"), .help = "the name of the key"},
	[TSIG_SECRET] = {.key = "tsig_secret",
		.env = ENV("TSIG_SECRET"),
		.type = SETTING_SECRET,
		.help = "the key, base64"},
	[TSIG_ALGORITHM] = {.key = "tsig_algorithm",
		.env = ENV("TSIG_ALGORITHM"),
		.help = "of the key: hmac-sha256, hmac-sha512 or hmac-sha1, which is the default"},
	[TSIG_FILE] = {.key = "tsig_file",
		.env = ENV("TSIG_FILE"),
		.type = SETTING_PATH,
		.help = "instead of these three: a file as tsig-keygen writes it"},
	[ZONES] = {.key = "zones",
		.env = ENV("ZONES"),
		.type = SETTING_LIST,
		.help = "zones that are not looked for"},
	[DNS_TIMEOUT] = {.key = "dns_timeout",
		.env = ENV("DNS_TIMEOUT"),
		.type = SETTING_DURATION,
		.help = "for one update, 10s unless it is given"},
	[SEQUENCE_INTERVAL] = {.key = "sequence_interval",
		.env = ENV("SEQUENCE_INTERVAL"),
		.type = SETTING_DURATION,
		.help = "taken for configurations that have it: no record waits for another here"},
};

struct own {
	struct tsig_key key; /* name NULL: updates are not signed */
	char *server;        /* as sentences call it: host:port */
	int64_t timeout_ms;
};

/* --- options --- */

static int read_server(const struct dns_provider *p, struct own *own, struct error *err)
{
	struct address a;

	if (address_parse_default(&a, dns_value(p, NAMESERVER), DNS_PORT, err) < 0)
		return error_prefix(err, "nameserver");
	own->server = mem_strdup(a.text);
	address_clear(&a);
	return 0;
}

static int read_key(const struct dns_provider *p, struct own *own, struct error *err)
{
	const char *file = dns_value(p, TSIG_FILE), *name = dns_value(p, TSIG_KEY),
		   *secret = dns_value(p, TSIG_SECRET), *algorithm = dns_value(p, TSIG_ALGORITHM);

	if (file && (name || secret || algorithm))
		return error_set(err,
			"tsig_file stands beside %s, which it holds too: keep one of them",
			name     ? "tsig_key"
			: secret ? "tsig_secret"
				 : "tsig_algorithm");
	if (file)
		return tsig_key_read(&own->key, file, err) < 0 ? error_prefix(err, "tsig_file") : 0;
	if (!name != !secret)
		return error_set(err,
			"%s is missing: a TSIG key has both, tsig_key and tsig_secret",
			name ? "tsig_secret" : "tsig_key");
	if (!name)
		return algorithm ? error_set(err, "tsig_algorithm is given, but no tsig_key") : 0;
	return tsig_key_set(&own->key, name, algorithm ? algorithm : "hmac-sha1", secret, err);
}

/* Lower case, no dot at the end. */
static int read_zones(struct dns_provider *p, struct error *err)
{
	for (size_t i = 0; i < p->values[ZONES].list.n; i++) {
		char *zone = p->values[ZONES].list.v[i];
		size_t len = strlen(zone);

		if (zone[len - 1] == '.')
			zone[len - 1] = '\0';
		str_lower(zone);
		if (!*zone || len >= DNS_NAME_SIZE)
			return error_set(err, "zones: entry %zu is no name of a zone", i + 1);
	}
	return 0;
}

static void clear(struct dns_provider *p)
{
	struct own *own = p->own;

	tsig_key_clear(&own->key);
	free(own->server);
	free(own);
}

static int init(struct dns_provider *p, struct error *err)
{
	struct own *own = p->own = mem_zalloc(sizeof(*own));

	own->timeout_ms = dns_value_ms(p, DNS_TIMEOUT, TIMEOUT_MS);
	if (read_server(p, own, err) < 0 || read_key(p, own, err) < 0)
		return -1;
	return read_zones(p, err);
}

/* --- the server --- */

/* One that is given by its name is looked up each time. */
static int servers(const struct dns_provider *p, struct dns_servers *out, const struct limits *l,
	struct error *err)
{
	const struct own *own = p->own;
	const struct conf_strings list = {.v = (char *[]){own->server}, .n = 1};

	return dns_servers_add(out, &list, l, err) < 0 ? error_prefix(err, "nameserver") : 0;
}

/* The longest of `zones` that the name lies in. */
static int find_zone(
	const struct dns_job *j, const char *name, struct dns_zone *z, struct error *err)
{
	const struct conf_strings *zones = &j->provider->values[ZONES].list;
	const char *best = NULL;

	for (size_t i = 0; i < zones->n; i++)
		if (dns_is_above(zones->v[i], name) &&
			(!best || strlen(zones->v[i]) > strlen(best)))
			best = zones->v[i];
	(void)err;
	if (best)
		snprintf(z->name, sizeof(z->name), "%s", best);
	return best != NULL;
}

/* --- updates --- */

/* All records into one message. Where a CNAME stands a server would ignore a TXT record that is
 * added, and say that all is well. */
static ldns_pkt *make_update(
	struct dns_txt *const *v, size_t n, uint32_t ttl, bool add, struct error *err)
{
	ldns_pkt *p = dns_update_new(v[0]->zone, err);

	for (size_t i = 0; p && i < n; i++) {
		if (add && (!i || strcmp(v[i]->name, v[i - 1]->name) != 0))
			dns_update_want_no_cname(p, v[i]->name);
		if (add)
			dns_update_add(p, v[i]->name, v[i]->value, ttl);
		else
			dns_update_delete(p, v[i]->name, v[i]->value);
	}
	return p;
}

/* The first record stands for all of them. */
static int explain(
	const struct own *own, const ldns_pkt *p, const struct dns_txt *t, struct error *err)
{
	char rcode[DNS_RCODE_SIZE];

	switch (ldns_pkt_get_rcode(p)) {
	case LDNS_RCODE_NOERROR: return 0;
	case LDNS_RCODE_REFUSED:
		if (own->key.name)
			return error_set(err,
				"answers REFUSED: the key \"%s\" may not change %s there: grant "
				"it (in BIND: update-policy or allow-update of the zone)",
				own->key.name, t->name);
		return error_set(err,
			"answers REFUSED: it takes no unsigned update of %s: set tsig_key and "
			"tsig_secret",
			t->name);
	case LDNS_RCODE_NOTAUTH:
		return error_set(err,
			"answers NOTAUTH: it is not the primary server of the zone %s: nameserver "
			"must be, and zones, where it is set, must be right",
			t->zone);
	case LDNS_RCODE_NOTZONE:
		return error_set(err, "answers NOTZONE: %s does not lie in the zone %s there",
			t->name, t->zone);
	case LDNS_RCODE_YXRRSET:
		return error_set(err,
			"answers YXRRSET: a CNAME stands at %s there that the resolvers did not "
			"show: the record must go where that leads",
			t->name);
	case LDNS_RCODE_NOTIMPL:
		return error_set(err, "answers NOTIMPL: it takes no dynamic updates");
	case LDNS_RCODE_SERVFAIL:
		error_set(err, "answers SERVFAIL: its log says why (a zone file that it cannot "
			       "write, often)");
		return DNS_AGAIN;
	default:
		return error_set(
			err, "answers %s to the update of %s", dns_rcode_name(p, rcode), t->name);
	}
}

static int check_answer(const struct own *own, const uint8_t *wire, size_t len,
	const ldns_pkt *update, const ldns_rdf *mac, const struct dns_txt *t, struct error *err)
{
	ldns_pkt *p = dns_answer_read(wire, len, update);
	int rc = 0;

	if (!p)
		return error_set(err, "answers something else than the update");
	if (own->key.name)
		rc = tsig_check(&own->key, p, wire, len, mac, clock_wall_s(), err);
	if (rc == 0)
		rc = explain(own, p, t, err);
	ldns_pkt_free(p);
	return rc;
}

static uint8_t *send_update(const struct dns_job *j, const uint8_t *wire, size_t len,
	size_t *answer_len, bool *again, struct error *err)
{
	const struct own *own = j->provider->own;
	struct dns_servers list = {0};
	uint8_t *answer = NULL;

	*again = true;
	if (servers(j->provider, &list, &j->limits, err) == 0)
		answer = dns_server_exchange(
			&list.v[0], wire, len, answer_len, own->timeout_ms, &j->limits, again, err);
	dns_servers_clear(&list);
	return answer;
}

static int update(
	const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add, struct error *err)
{
	const struct own *own = j->provider->own;
	ldns_pkt *p = make_update(v, n, j->provider->ttl, add, err);
	uint8_t *wire = NULL, *answer = NULL;
	size_t len, answer_len;
	ldns_rdf *mac = NULL;
	bool again;
	int rc = -1;

	if (!p)
		return -1;
	if (own->key.name) {
		mac = tsig_sign(&own->key, p, err);
		if (!mac)
			goto out;
	}
	if (ldns_pkt2wire(&wire, p, &len) != LDNS_STATUS_OK) {
		error_set(err, "the update cannot be written as a message");
		goto out;
	}
	answer = send_update(j, wire, len, &answer_len, &again, err);
	if (answer)
		rc = check_answer(own, answer, answer_len, p, mac, v[0], err);
	else
		rc = again ? DNS_AGAIN : -1;
	if (rc < 0)
		error_prefix(err, "name server %s%s", own->server, answer ? "" : " over TCP");
	if (!answer)
		error_append(err, "is nameserver right, and can this machine reach it there?");
out:
	free(answer);
	free(wire);
	ldns_rdf_deep_free(mac);
	ldns_pkt_free(p);
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return update(j, v, n, true, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n, struct error *err)
{
	return update(j, v, n, false, err);
}

const struct dns_ops dns_rfc2136 = {
	.help = "a name server that takes dynamic updates (RFC 2136), signed with TSIG",
	.options = options,
	.n_options = N_OPTIONS,
	.ttl = 120,
	.patience = {.timeout_ms = 60000, .interval_ms = 2000},
	.init = init,
	.clear = clear,
	.present = present,
	.cleanup = cleanup,
	.servers = servers,
	.find_zone = find_zone,
};
