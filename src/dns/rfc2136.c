/* The provider `rfc2136`: dynamic updates (RFC 2136) signed with TSIG (RFC 8945), over TCP. */
#include <ctype.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "dns/ops.h"

#define FUDGE_S    300 /* RFC 8945, 10 */
#define FILE_MAX   (64 << 10)
#define STRING_MAX 255 /* bytes of one string of a TXT record */

enum { NAMESERVER, TSIG_KEY, TSIG_SECRET, TSIG_ALGORITHM, TSIG_FILE, ZONES, ROWS };

static const struct dns_option options[ROWS] = {
	[NAMESERVER] = {"nameserver", {"DNSUPDATE_NAMESERVER", "RFC2136_NAMESERVER"}, DNS_REQUIRED,
		NULL},
	[TSIG_KEY] = {"tsig_key", {"DNSUPDATE_TSIG_KEY", "RFC2136_TSIG_KEY"}, 0, NULL},
	[TSIG_SECRET] = {"tsig_secret", {"DNSUPDATE_TSIG_SECRET", "RFC2136_TSIG_SECRET"},
		DNS_SECRET, NULL},
	[TSIG_ALGORITHM] = {"tsig_algorithm",
		{"DNSUPDATE_TSIG_ALGORITHM", "RFC2136_TSIG_ALGORITHM"}, 0, NULL},
	[TSIG_FILE] = {"tsig_file", {"DNSUPDATE_TSIG_FILE", "RFC2136_TSIG_FILE"}, 0, NULL},
	[ZONES] = {"zones", {"DNSUPDATE_ZONES", "RFC2136_ZONES"}, DNS_LIST, NULL},
};

struct own {
	struct endpoint server;
	char server_text[ENDPOINT_TEXT_SIZE];
	char *key_name, *secret; /* the latter base64; NULL = updates are not signed */
	char *algorithm;         /* as ldns wants it: "hmac-sha256." */
};

/* ---- options ---- */

static int read_server(struct own *own, const char *text, struct error *err)
{
	struct conf_strings list = {(char *[]){NULL}, 1};
	struct dns_servers servers = {0};
	struct address a;
	char *with_port = NULL;
	int rc = 0;

	if (address_parse(&a, text, NULL) < 0)
		with_port = strchr(text, ':') && *text != '[' ? mem_printf("[%s]:53", text)
							      : mem_printf("%s:53", text);
	else
		address_clear(&a);
	list.v[0] = with_port ? with_port : (char *)(uintptr_t)text;
	if (address_parse(&a, list.v[0], err) < 0)
		rc = -1;
	else if (a.kind != ADDRESS_IP && a.kind != ADDRESS_NAME)
		rc = error_set(err, "\"%.200s\" is no host:port", text);
	if (rc == 0) {
		if (a.kind == ADDRESS_IP)
			rc = dns_servers_add(&servers, &list, err);
		snprintf(own->server_text, sizeof(own->server_text), "%s", list.v[0]);
		if (servers.n)
			own->server = servers.v[0];
		address_clear(&a);
	}
	dns_servers_clear(&servers);
	free(with_port);
	return rc < 0 ? error_prefix(err, "nameserver") : 0;
}

/* A value of tsig-keygen's form, with or without quotes, behind `word`. A new string or NULL. */
static char *value_behind(const char *text, const char *word)
{
	const char *p = text;
	size_t len;

	while ((p = strstr(p, word))) {
		bool whole =
			p == text || isspace((unsigned char)p[-1]) || p[-1] == '{' || p[-1] == ';';

		p += strlen(word);
		if (!whole || !isspace((unsigned char)*p))
			continue;
		while (isspace((unsigned char)*p) || *p == '"')
			p++;
		len = strcspn(p, "\"; \t\r\n{");
		return len ? mem_strndup(p, len) : NULL;
	}
	return NULL;
}

static int read_tsig_file(struct own *own, const char *path, char **algorithm, struct error *err)
{
	size_t len;
	char *text = file_read(path, FILE_MAX, &len, err);

	if (!text)
		return error_prefix(err, "tsig_file");
	own->key_name = value_behind(text, "key");
	*algorithm = value_behind(text, "algorithm");
	own->secret = value_behind(text, "secret");
	OPENSSL_cleanse(text, len);
	free(text);
	if (own->key_name && own->secret && *algorithm)
		return 0;
	return error_set(err,
		"tsig_file: %s is not of tsig-keygen's form: key \"NAME\" { algorithm NAME; secret "
		"\"...\"; };",
		path);
}

static int read_algorithm(struct own *own, const char *text, struct error *err)
{
	static const char *const known[] = {"hmac-sha256", "hmac-sha512", "hmac-sha1"};
	size_t len = strlen(text);

	if (len && text[len - 1] == '.')
		len--;
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (strlen(known[i]) == len && strncasecmp(known[i], text, len) == 0) {
			own->algorithm = mem_printf("%s.", known[i]);
			return 0;
		}
	}
	return error_set(err,
		"tsig_algorithm: \"%.60s\" is unknown, possible: hmac-sha256, hmac-sha512, "
		"hmac-sha1",
		text);
}

static int check_secret(const char *secret, struct error *err)
{
	size_t len = strlen(secret);
	unsigned char *bytes = mem_alloc(len / 4 * 3 + 3);
	int n = EVP_DecodeBlock(bytes, (const unsigned char *)secret, (int)len);

	OPENSSL_cleanse(bytes, len / 4 * 3);
	free(bytes);
	return n > 0 ? 0 : error_set(err, "tsig_secret is no base64");
}

static char *own_copy(const struct dns_provider *p, size_t row)
{
	return mem_strdup(dns_value(p, row));
}

static int read_key(struct dns_provider *p, struct own *own, struct error *err)
{
	const char *file = dns_value(p, TSIG_FILE);
	char *algorithm = NULL;
	int rc = 0;

	if (file && (dns_value(p, TSIG_KEY) || dns_value(p, TSIG_SECRET)))
		return error_set(err, "tsig_file stands beside tsig_key or tsig_secret: keep one "
				      "way of saying it");
	if (file) {
		rc = read_tsig_file(own, file, &algorithm, err);
	} else {
		own->key_name = own_copy(p, TSIG_KEY);
		own->secret = own_copy(p, TSIG_SECRET);
		algorithm = own_copy(p, TSIG_ALGORITHM);
		if (!own->key_name != !own->secret)
			rc = error_set(err,
				"%s is missing: a TSIG key is both, tsig_key and "
				"tsig_secret",
				own->key_name ? "tsig_secret" : "tsig_key");
	}
	if (rc == 0)
		rc = read_algorithm(own, algorithm ? algorithm : "hmac-sha256", err);
	if (rc == 0 && own->secret)
		rc = check_secret(own->secret, err);
	free(algorithm);
	return rc;
}

static void clear(struct dns_provider *p)
{
	struct own *own = p->own;

	if (own->secret)
		OPENSSL_cleanse(own->secret, strlen(own->secret));
	free(own->secret);
	free(own->key_name);
	free(own->algorithm);
	free(own);
}

static int init(struct dns_provider *p, struct error *err)
{
	struct own *own = p->own = mem_zalloc(sizeof(*own));

	return read_server(own, dns_value(p, NAMESERVER), err) < 0 || read_key(p, own, err) < 0 ? -1
												: 0;
}

/* ---- the server ---- */

/* One that is given by its name is looked up each time. */
static int find_server(const struct own *own, struct endpoint *e, struct error *err)
{
	struct conf_strings list = {(char *[]){(char *)(uintptr_t)own->server_text}, 1};
	struct dns_servers servers = {0};
	int rc = 0;

	if (own->server.len) {
		*e = own->server;
		return 0;
	}
	if (dns_servers_add(&servers, &list, err) < 0)
		rc = -1;
	else if (!servers.n)
		rc = error_set(err, "the name server %s has no address", own->server_text);
	else
		*e = servers.v[0];
	dns_servers_clear(&servers);
	return rc;
}

static int zone_servers(const struct dns_provider *p, struct dns_servers *out, struct error *err)
{
	const struct own *own = p->own;
	struct endpoint e;

	if (find_server(own, &e, err) < 0)
		return -1;
	dns_servers_add_one(out, &e, own->server_text);
	return 0;
}

/* The longest of `zones` that the name lies in. */
static const char *find_zone(const struct dns_provider *p, const char *name)
{
	const struct conf_strings *zones = &p->values[ZONES];
	const char *best = NULL;

	for (size_t i = 0; i < zones->n; i++)
		if (dns_is_above(zones->v[i], name) &&
			(!best || strlen(zones->v[i]) > strlen(best)))
			best = zones->v[i];
	return best;
}

/* ---- the update ---- */

/* Adds the record, or deletes just this one (RFC 2136, 2.5.4). */
static ldns_rr *make_rr(const struct dns_txt *t, long ttl, bool add)
{
	ldns_rr *rr = ldns_rr_new();
	size_t left = strlen(t->value);
	const char *at = t->value;

	if (!rr)
		abort(); /* out of memory */
	ldns_rr_set_owner(rr, ldns_dname_new_frm_str(t->name));
	ldns_rr_set_type(rr, LDNS_RR_TYPE_TXT);
	ldns_rr_set_class(rr, add ? LDNS_RR_CLASS_IN : LDNS_RR_CLASS_NONE);
	ldns_rr_set_ttl(rr, add ? (uint32_t)ttl : 0);
	do {
		uint8_t bytes[STRING_MAX + 1];
		size_t n = left < STRING_MAX ? left : STRING_MAX;

		bytes[0] = (uint8_t)n;
		memcpy(bytes + 1, at, n);
		ldns_rr_push_rdf(rr, ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, n + 1, bytes));
		at += n;
		left -= n;
	} while (left);
	return rr;
}

static ldns_pkt *make_update(
	struct dns_txt *const *v, size_t n, long ttl, bool add, struct error *err)
{
	ldns_rr_list *records = ldns_rr_list_new();
	ldns_rdf *zone = ldns_dname_new_frm_str(v[0]->zone); /* the packet takes it */
	uint16_t id = 0;
	ldns_pkt *p;

	for (size_t i = 0; i < n; i++)
		ldns_rr_list_push_rr(records, make_rr(v[i], ttl, add));
	p = zone ? ldns_update_pkt_new(zone, LDNS_RR_CLASS_IN, NULL, records, NULL) : NULL;
	ldns_rr_list_deep_free(records);
	if (!p) {
		error_set(err, "the update cannot be made");
		return NULL;
	}
	RAND_bytes((unsigned char *)&id, sizeof(id));
	ldns_pkt_set_id(p, id);
	return p;
}

enum { TSIG_TIME = 1, TSIG_MAC = 3, TSIG_ERROR = 5, TSIG_OTHER = 6 }; /* RFC 8945, 4.2 */
enum { BADSIG = 16, BADKEY = 17, BADTIME = 18 };

static int64_t read_time(const ldns_rdf *rdf)
{
	const uint8_t *d = rdf && ldns_rdf_size(rdf) >= 6 ? ldns_rdf_data(rdf) : NULL;
	int64_t t = 0;

	for (int i = 0; d && i < 6; i++)
		t = t << 8 | d[i];
	return t;
}

static int explain_tsig(const struct own *own, const ldns_rr *tsig, struct error *err)
{
	const ldns_rdf *code = ldns_rr_rdf(tsig, TSIG_ERROR), *other;
	int64_t theirs;

	switch (code ? ldns_rdf2native_int16(code) : 0) {
	case 0: return 0;
	case BADSIG:
		return error_set(err,
			"%s answers BADSIG: tsig_secret is not that of the key \"%s\" there",
			own->server_text, own->key_name);
	case BADKEY:
		return error_set(err,
			"%s answers BADKEY: it has no key \"%s\" of the algorithm %s; check "
			"tsig_key and tsig_algorithm",
			own->server_text, own->key_name, own->algorithm);
	case BADTIME:
		other = ldns_rr_rdf(tsig, TSIG_OTHER);
		/* A length of two bytes, then its time. */
		theirs = other && ldns_rdf_size(other) >= 8
				 ? read_time(&(ldns_rdf){
					   ._size = 6, ._data = ldns_rdf_data(other) + 2})
				 : 0;
		return error_set(err,
			"%s answers BADTIME: its clock and this one's differ by more than %d s%s; "
			"set "
			"the wrong one right",
			own->server_text, FUDGE_S, theirs > clock_wall_s() ? " (it is ahead)" : "");
	default:
		return error_set(err, "%s answers with the TSIG error %d", own->server_text,
			ldns_rdf2native_int16(code));
	}
}

static int explain_rcode(
	const struct own *own, const ldns_pkt *p, const struct dns_txt *t, struct error *err)
{
	char rcode[16];

	switch (ldns_pkt_get_rcode(p)) {
	case LDNS_RCODE_NOERROR: return 0;
	case LDNS_RCODE_REFUSED:
		return error_set(err,
			"%s answers REFUSED: the key \"%s\" may not change %s there (allow-update, "
			"update-policy)",
			own->server_text, own->key_name ? own->key_name : "(none)", t->name);
	case LDNS_RCODE_NOTAUTH:
		return error_set(err,
			"%s answers NOTAUTH: it is not the primary server of the zone %s",
			own->server_text, t->zone);
	case LDNS_RCODE_NOTZONE:
		return error_set(err, "%s answers NOTZONE: %s does not lie in the zone %s",
			own->server_text, t->name, t->zone);
	default: return error_set(err, "%s answers %s", own->server_text, dns_rcode_name(p, rcode));
	}
}

/* library-facts: the error first, then the signature, then the time, which ldns does not look at.
 */
static int check_tsig(const struct own *own, ldns_pkt *p, const uint8_t *wire, size_t len,
	const ldns_rdf *request_mac, struct error *err)
{
	ldns_rr *tsig = ldns_pkt_tsig(p);
	int64_t off;
	bool good;

	if (!tsig) /* REFUSED may come without one: nothing is believed, but it is told */
		return ldns_pkt_get_rcode(p) != LDNS_RCODE_NOERROR
			       ? 0
			       : error_set(err, "%s has not signed its answer", own->server_text);
	if (explain_tsig(own, tsig, err) < 0)
		return -1;
	off = read_time(ldns_rr_rdf(tsig, TSIG_TIME)) - clock_wall_s();
	good = ldns_pkt_tsig_verify(p, wire, len, own->key_name, own->secret, request_mac);
	if (!ldns_pkt_tsig(p)) /* a failed verification can lose it */
		ldns_rr_free(tsig);
	if (!good)
		return error_set(err, "the answer of %s is not signed with the key \"%s\"",
			own->server_text, own->key_name);
	if (off > FUDGE_S || off < -FUDGE_S)
		return error_set(err, "the answer of %s was signed %" PRId64 " s %s",
			own->server_text, off < 0 ? -off : off, off < 0 ? "ago" : "in the future");
	return 0;
}

static int check_answer(const struct own *own, const uint8_t *wire, size_t len, uint16_t id,
	const ldns_rdf *request_mac, const struct dns_txt *t, struct error *err)
{
	ldns_pkt *p = NULL;
	int rc;

	if (ldns_wire2pkt(&p, wire, len) != LDNS_STATUS_OK)
		return error_set(err, "the answer of %s is no DNS message", own->server_text);
	if (!ldns_pkt_qr(p) || ldns_pkt_id(p) != id || ldns_pkt_get_opcode(p) != LDNS_PACKET_UPDATE)
		rc = error_set(err, "the answer of %s is not to this update", own->server_text);
	else
		rc = own->secret ? check_tsig(own, p, wire, len, request_mac, err) : 0;
	if (rc == 0)
		rc = explain_rcode(own, p, t, err);
	ldns_pkt_free(p);
	return rc;
}

static int update(const struct dns_job *j, struct dns_txt *const *v, size_t n, bool add,
	const struct dns_limits *l, struct error *err)
{
	const struct own *own = j->provider->own;
	ldns_pkt *p = make_update(v, n, j->provider->ttl, add, err);
	uint8_t *wire = NULL, *answer = NULL;
	size_t len, answer_len;
	ldns_rdf *mac = NULL;
	struct endpoint server;
	int rc = -1;

	if (!p || find_server(own, &server, err) < 0)
		goto out;
	if (own->secret) {
		if (ldns_pkt_tsig_sign(p, own->key_name, own->secret, FUDGE_S, own->algorithm,
			    NULL) != LDNS_STATUS_OK) {
			error_set(err, "the update cannot be signed with the key \"%s\"",
				own->key_name);
			goto out;
		}
		mac = ldns_rdf_clone(ldns_rr_rdf(ldns_pkt_tsig(p), TSIG_MAC));
	}
	if (ldns_pkt2wire(&wire, p, &len) != LDNS_STATUS_OK) {
		error_set(err, "the update cannot be written as a message");
		goto out;
	}
	answer = dns_exchange(&server, wire, len, &answer_len, l, err);
	if (answer)
		rc = check_answer(own, answer, answer_len, ldns_pkt_id(p), mac, v[0], err);
out:
	free(answer);
	free(wire);
	ldns_rdf_deep_free(mac);
	ldns_pkt_free(p);
	return rc;
}

static int present(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct dns_limits *l, struct error *err)
{
	return update(j, v, n, true, l, err);
}

static int cleanup(const struct dns_job *j, struct dns_txt *const *v, size_t n,
	const struct dns_limits *l, struct error *err)
{
	return update(j, v, n, false, l, err);
}

const struct dns_ops dns_rfc2136 = {
	.name = "rfc2136",
	.options = options,
	.n_options = ROWS,
	.ttl = 120,
	.patience = {.timeout_ms = 60000, .interval_ms = 2000},
	.init = init,
	.clear = clear,
	.present = present,
	.cleanup = cleanup,
	.zone_servers = zone_servers,
	.find_zone = find_zone,
};
