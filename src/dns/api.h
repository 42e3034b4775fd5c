/* What the DNS providers with an HTTP API (http/api.h) share: their first options, and how zones
 * are found. For the files of this folder. Blocking: a job. */
#ifndef LINTEL_DNS_API_H
#define LINTEL_DNS_API_H

#include "dns/ops.h"
#include "http/api.h"

/* The rows of a provider with an API, after the common ones: see DNS_API_OPTIONS. */
enum {
	DNS_BASE_URL = DNS_OWN_OPTIONS,
	DNS_HTTP_TIMEOUT,
	DNS_INSECURE_HTTP,
	DNS_API_OWN_OPTIONS,
};
/* `A` and `B` as for DNS_COMMON_OPTIONS; then the variables of the base URL: {"X"} or {NULL}. */
#define DNS_API_OPTIONS(A, B, ...)                                                                 \
	DNS_COMMON_OPTIONS(A, B),                                                                  \
		[DNS_BASE_URL] = {.key = "base_url",                                               \
			.env = __VA_ARGS__,                                                        \
			.type = SETTING_URL,                                                       \
			.help = "where the API is, with a path in front of all of its own"},       \
		DNS_HTTP_OPTIONS(A, B)
/* For those that call the base URL by another word, and have DNS_COMMON_OPTIONS and a row
 * [DNS_BASE_URL] of their own. */
#define DNS_HTTP_OPTIONS(A, B)                                                                     \
	[DNS_HTTP_TIMEOUT] = {.key = "http_timeout",                                               \
		.env = DNS_ENV(A, B, "HTTP_TIMEOUT"),                                              \
		.type = SETTING_DURATION,                                                          \
		.fallback = "30s",                                                                 \
		.help = "for one request of the API"},                                             \
	[DNS_INSECURE_HTTP] = {.key = "insecure_http",                                             \
		.type = SETTING_BOOL,                                                              \
		.fallback = "false",                                                               \
		.help = "lets URLs begin with http:// for other hosts than this one"}

/* The API is the first member of the provider's `own`; the provider is authorize()'s argument.
 * `credentials`, `rate` and `per_ms` as in http_api_init(). */
int dns_api_init(struct dns_provider *p, struct http_api *api, const char *base,
	const char *credentials, unsigned rate, int64_t per_ms, struct error *err);
/* The clear() of a provider whose `own` has nothing else to free. */
void dns_api_free(struct dns_provider *p);
/* http_send() to it, within the job's limits. */
int dns_send(const struct dns_job *j, struct http_call *c, struct http_reply *r, struct error *err);
/* The same, of a request whose answer tells nothing. What a DELETE does not find is gone already.
 */
int dns_command(const struct dns_job *j, struct http_call *c, struct error *err);
/* dns_send() of a request for a list, which is in the answer's member `key`, or is all of it: NULL.
 * `list` is borrowed from `r`. It may have 4 MiB. An answer of another shape is not one without
 * entries: DNS_AGAIN. */
int dns_read_list(const struct dns_job *j, struct http_call *c, const char *key,
	struct http_reply *r, struct json_object **list, struct error *err);
/* The same of a list that comes in pages of 100 entries, asked for as &per_page= and &page= behind
 * `path`, which has a query. `list` is new, be it whole or not. */
int dns_read_pages(const struct dns_job *j, const char *step, const char *path, const char *key,
	struct json_object **list, struct error *err);

/* --- zones --- */

/* Asks `look` for the zones above `name` from the longest to those of two labels. `look` returns 1
 * when there is one, and has filled in the zone, 0 when there is none, else what a call returns. So
 * does this. */
int dns_api_walk(const struct dns_job *j, const char *name, struct dns_zone *z,
	int (*look)(const struct dns_job *j, const char *candidate, struct dns_zone *z,
		struct error *err),
	struct error *err);
/* Takes the zone for the longest so far where `name` lies in it, and notes its name for the
 * sentence. `zone` may have a dot at the end. */
struct dns_zones_seen {
	struct str names;
	size_t n;
};
void dns_zone_consider(struct dns_zone *z, struct dns_zones_seen *seen, const char *name,
	const char *zone, const char *id);
/* -1 with "no zone of this account covers NAME: it has a, b, c"; clears `seen`. */
int dns_zone_missing(struct dns_zones_seen *seen, const char *name, struct error *err);
/* The same, of those that a request lists: as dns_read_list(), and an entry's member `key`, or
 * itself (NULL). Where they may not be listed the sentence says so. */
int dns_zone_not_listed(const struct dns_job *j, struct http_call *c, const char *list,
	const char *key, const char *name, struct error *err);
/* What `name` is called within its zone: "" = the zone itself. In `name`'s own bytes where it can
 * be; `out` is as large as a name. */
const char *dns_relative(const char *name, const char *zone, char out[DNS_NAME_SIZE]);

/* The same of a record, where APIs call the zone itself "@". */
const char *dns_relative_or_at(const struct dns_txt *t, char out[DNS_NAME_SIZE]);

/* --- records --- */

/* {"type":"TXT","name":NAME,KEY:VALUE,"ttl":TTL}, as many an API has it. New. */
struct json_object *dns_json_record(
	const char *name, const char *key, const char *value, uint32_t ttl);

/* Whether a value as an API shows it is ours: with or without quotes. */
bool dns_is_value(const char *shown, const char *value);
/* Those of v from `at` on that have the name of v[at]; none when an earlier one has it. `out` has
 * room for all. */
size_t dns_same_name(struct dns_txt *const *v, size_t n, size_t at, struct dns_txt **out);

#endif
