#include "config.h"

#include "admin/api.h"

#include <openssl/x509v3.h>
#include <unistd.h>

#include "admin/json.h"
#include "admin/routes.h"
#include "base/clock.h"
#include "base/str.h"

struct json_object *api_message(const char *message, const char *key, const struct problems *list)
{
	struct json_object *o = json_object_new_object(), *lines;

	add_string(o, "message", message);
	if (!list || !list->n)
		return o;
	lines = json_object_new_array();
	for (size_t i = 0; i < list->n; i++)
		json_object_array_add(lines, json_object_new_string(list->lines[i]));
	add(o, key, lines);
	return o;
}

struct json_object *api_version(void)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "version", PACKAGE_VERSION);
	return o;
}

/* ---- status ---- */

int64_t api_earliest_not_after(const struct certs *certs)
{
	size_t n = certs ? certs_count(certs) : 0;
	int64_t earliest = 0;

	for (size_t i = 0; i < n; i++) {
		int64_t t = certs_at(certs, i)->not_after;

		if (i == 0 || t < earliest)
			earliest = t;
	}
	return earliest;
}

static struct json_object *handshakes_json(const struct stats_sum *s)
{
	struct json_object *o = json_object_new_object(), *failed = json_object_new_object();

	add_uint(o, "tls12", s->handshakes_tls12);
	add_uint(o, "tls13", s->handshakes_tls13);
	add_uint(o, "tls12_resumed", s->resumed_tls12);
	add_uint(o, "tls13_resumed", s->resumed_tls13);
	for (int i = 0; i < HANDSHAKE_FAILURES; i++)
		add_uint(failed, handshake_failure_names[i], s->handshake_failures[i]);
	add(o, "failed", failed);
	return o;
}

static struct json_object *counters_json(const struct stats_sum *s)
{
	struct json_object *o = json_object_new_object();

#define X(name) add_uint(o, #name, s->name);
	STATS_FIELDS(X)
#undef X
	return o;
}

static struct json_object *listeners_json(const struct admin_view *v)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < v->n_listeners; i++) {
		const struct admin_listener *l = &v->listeners[i];
		struct json_object *o = json_object_new_object();

		add_string(o, "name", l->name);
		add_string(o, "address", l->address);
		add_bool(o, "up", l->up);
		json_object_array_add(list, o);
	}
	return list;
}

static struct json_object *certificates_json(const struct admin_view *v)
{
	struct json_object *o = json_object_new_object();
	size_t n = v->certs ? certs_count(v->certs) : 0;

	add_uint(o, "count", n);
	add(o, "earliest_not_after",
		n ? json_object_new_int64(api_earliest_not_after(v->certs)) : NULL);
	return o;
}

static struct json_object *connections_json(const struct stats_sum *s)
{
	struct json_object *o = json_object_new_object(), *refused = json_object_new_object();

	add_uint(o, "active", stats_active(s));
	add_uint(o, "total", s->accepted);
	for (int i = 0; i < REFUSALS; i++)
		add_uint(refused, refusal_names[i], s->refused[i]);
	add(o, "refused", refused);
	return o;
}

struct json_object *api_status(const struct admin_view *v)
{
	struct json_object *o = json_object_new_object(), *part;
	int64_t now = clock_wall_s();

	add_string(o, "version", PACKAGE_VERSION);
	add_int(o, "pid", getpid());
	add_int(o, "started", v->started);
	add_int(o, "uptime", now > v->started ? now - v->started : 0);
	add_int(o, "loaded", v->loaded);
	add_string(o, "config", v->conf ? v->conf->file : NULL);
	add_int(o, "workers", v->workers);
	add_bool(o, "draining", v->draining);

	part = json_object_new_object();
	add_uint(part, "succeeded", v->reloads_ok);
	add_uint(part, "failed", v->reloads_failed);
	add_string(part, "last_error", v->last_reload_error);
	add(o, "reloads", part);

	part = json_object_new_object();
	add_uint(part, "in", v->stats.bytes_in);
	add_uint(part, "out", v->stats.bytes_out);
	add(o, "bytes", part);

	add(o, "connections", connections_json(&v->stats));
	add(o, "handshakes", handshakes_json(&v->stats));
	add(o, "counters", counters_json(&v->stats));
	add(o, "listeners", listeners_json(v));
	add_uint(o, "routes_total", v->n_routes);
	add(o, "routes", routes_json(v));
	add(o, "certificates", certificates_json(v));
	return o;
}

/* ---- certificates ---- */

/* Text of a certificate, which its issuer wrote: printable ASCII as it is, the rest escaped. */
static struct json_object *string_json(const ASN1_STRING *s)
{
	char text[512];

	return json_object_new_string(str_escape(
		text, sizeof(text), ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)));
}

/* The common name in UTF-8, else the whole name as RFC 2253 writes it. */
static struct json_object *name_json(const X509_NAME *name)
{
	int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1), len = -1;
	struct json_object *o = NULL;
	unsigned char *text;
	char *whole;
	BIO *bio;

	if (at >= 0)
		len = ASN1_STRING_to_UTF8(
			&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
	if (len >= 0) {
		o = json_object_new_string_len((char *)text, len);
		OPENSSL_free(text);
		return o;
	}
	bio = BIO_new(BIO_s_mem());
	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0) {
		len = (int)BIO_get_mem_data(bio, &whole);
		o = json_object_new_string_len(len ? whole : "", len);
	}
	BIO_free(bio);
	return o ? o : json_object_new_string("");
}

static struct json_object *alt_names_json(const GENERAL_NAMES *names, int type)
{
	struct json_object *list = json_object_new_array();

	for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);

		if (n->type == type)
			json_object_array_add(list, string_json(n->d.ia5));
	}
	return list;
}

static struct json_object *serial_json(const X509 *x)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(x);
	char hex[2 * 64 + 1];
	size_t len = (size_t)ASN1_STRING_length(serial);

	str_hex(hex, ASN1_STRING_get0_data(serial), len < 64 ? len : 64);
	return json_object_new_string(hex);
}

/* Adds what is in a certificate to `o`; nothing when it cannot be read. */
static bool add_cert(struct json_object *o, const struct cert *c, bool serial)
{
	const unsigned char *der = c->leaf;
	X509 *x = d2i_X509(NULL, &der, (long)c->leaf_len);
	GENERAL_NAMES *names;

	if (!x)
		return false;
	names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	add(o, "subject", name_json(X509_get_subject_name(x)));
	add(o, "issuer", name_json(X509_get_issuer_name(x)));
	add_int(o, "not_before", c->not_before);
	add_int(o, "not_after", c->not_after);
	add(o, "dns_names", alt_names_json(names, GEN_DNS));
	add(o, "email_addresses", alt_names_json(names, GEN_EMAIL));
	if (serial)
		add(o, "serial", serial_json(x));
	GENERAL_NAMES_free(names);
	X509_free(x);
	return true;
}

struct json_object *api_cert_info(const struct admin_view *v)
{
	size_t n = v->certs ? certs_count(v->certs) : 0;
	struct json_object *list, *o;

	if (!n)
		return NULL;
	list = json_object_new_array();
	for (size_t i = 0; i < n && i < ADMIN_LIST_MAX; i++) {
		o = json_object_new_object();
		if (add_cert(o, certs_at(v->certs, i), false))
			json_object_array_add(list, o);
		else
			json_object_put(o);
	}
	return list;
}

static void add_state(struct json_object *o, const struct admin_autocert *p)
{
	const struct obtained *last = p->last;
	struct json_object *failure;
	int64_t next;

	add_bool(o, "renewing", p->running);
	add_uint(o, "renewals", p->renewals);
	add_uint(o, "failures", p->failures);
	if (!last)
		return;
	next = obtained_next(last);
	if (next)
		add_int(o, "next_renewal", next);
	add_string(o, "next_renewal_reason", schedule_why_text(last->why));
	if (!last->state.failure)
		return;
	failure = json_object_new_object();
	add_int(failure, "time", last->state.failed_at);
	add_string(failure, "message", last->state.failure);
	add_int(failure, "retry_at", next);
	add_uint(failure, "attempts", last->state.attempts);
	add(o, "last_failure", failure);
}

static struct json_object *provider_json(const struct admin_autocert *p)
{
	struct json_object *o = json_object_new_object(), *domains = json_object_new_array();

	add_string(o, "name", p->conf->name);
	add_string(o, "provider", conf_provider_name(p->conf));
	for (size_t i = 0; i < p->conf->domains.n && i < ADMIN_LIST_MAX; i++)
		json_object_array_add(domains, json_object_new_string(p->conf->domains.v[i]));
	add(o, "domains", domains);
	add_string(o, "file", p->conf->cert_path);
	if (p->cert)
		add_cert(o, p->cert, true);
	add_state(o, p);
	return o;
}

static bool is_of_autocert(const struct admin_view *v, const struct cert *c)
{
	for (size_t i = 0; i < v->n_autocerts; i++)
		if (v->autocerts[i].cert == c)
			return true;
	return false;
}

struct json_object *api_certs(const struct admin_view *v)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array(), *cert;
	size_t n = v->certs ? certs_count(v->certs) : 0, listed = 0;

	for (size_t i = 0; i < v->n_autocerts && listed < ADMIN_LIST_MAX; i++) {
		const struct admin_autocert *p = &v->autocerts[i];

		/* A `local` that nobody has configured is no certificate. */
		if (!p->cert && p->conf->provider == PROVIDER_LOCAL)
			continue;
		json_object_array_add(list, provider_json(p));
		listed++;
	}
	for (size_t i = 0; i < n && listed < ADMIN_LIST_MAX; i++) {
		if (is_of_autocert(v, certs_at(v->certs, i)))
			continue;
		cert = json_object_new_object();
		add_string(cert, "name", "tls.certificates");
		add_string(cert, "file", certs_at(v->certs, i)->file);
		add_cert(cert, certs_at(v->certs, i), true);
		json_object_array_add(list, cert);
		listed++;
	}
	add_uint(o, "total", n);
	add(o, "certificates", list);
	return o;
}

const char *api_level_name(enum log_level level)
{
	switch (level) {
	case LOG_ERROR: return "error";
	case LOG_WARN: return "warn";
	case LOG_INFO: return "info";
	case LOG_DEBUG: return "debug";
	}
	return "";
}

struct json_object *api_event(const struct autocert_event *e)
{
	struct json_object *o = json_object_new_object();
	char date[CLOCK_RFC3339_SIZE];

	add_string(o, "time", clock_rfc3339(date, clock_wall_s(), -1));
	add_string(o, "provider", e->provider);
	add_string(o, "step", autocert_step_name(e->step));
	add_string(o, "level", api_level_name(e->level));
	add_string(o, "message", e->text);
	if (e->step == STEP_DONE)
		add_bool(o, "ok", e->ok);
	return o;
}
