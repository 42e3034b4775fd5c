#include "config.h"

#include "admin/metrics.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "admin/api.h"
#include "base/log.h"
#include "base/mem.h"
#include "proxy/connlog.h"

static void family(struct str *out, const char *name, const char *type, const char *help)
{
	str_addf(out, "# HELP lintel_%s %s\n# TYPE lintel_%s %s\n", name, help, name, type);
}

static void single(
	struct str *out, const char *name, const char *type, const char *help, uint64_t value)
{
	family(out, name, type, help);
	str_addf(out, "lintel_%s %" PRIu64 "\n", name, value);
}

/* Label values: backslash, quote and line feed are escaped. Others that are no printable ASCII
 * become "?", as the format wants valid UTF-8. */
static void add_label(struct str *out, const char *value)
{
	for (const char *p = value ? value : ""; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '\\' || c == '"')
			str_addf(out, "\\%c", c);
		else if (c == '\n')
			str_add(out, "\\n", 2);
		else
			str_add(out, c < 0x20 || c > 0x7e ? "?" : p, 1);
	}
}

/* One sample for each counter of proxy/stats.h; rows of one family stand together. */
static const struct counter_row {
	const char *name, *labels, *help;
	size_t offset; /* in struct stats_sum */
} counter_rows[] = {
#define ROW(name, labels, field, help)                                                             \
	{                                                                                          \
		name, labels, help, offsetof(struct stats_sum, field)                              \
	}
	ROW("connections_accepted_total", "", accepted, "Connections taken from listeners."),
	ROW("connections_closed_total", "", closed, "Connections that are over."),
	ROW("proxy_headers_total", "", proxy_headers, "PROXY headers taken from trusted peers."),
	ROW("proxy_header_failures_total", "{reason=\"timeout\"}", proxy_header_timeouts,
		"Connections of trusted peers ended for want of a good PROXY header."),
	ROW("proxy_header_failures_total", "{reason=\"closed\"}", proxy_headers_cut, NULL),
	ROW("proxy_header_failures_total", "{reason=\"malformed\"}", proxy_headers_malformed, NULL),
	ROW("handshakes_total", "{protocol=\"TLSv1.2\",resumed=\"false\"}", handshakes_tls12,
		"TLS handshakes completed."),
	ROW("handshakes_total", "{protocol=\"TLSv1.3\",resumed=\"false\"}", handshakes_tls13, NULL),
	ROW("handshakes_total", "{protocol=\"TLSv1.2\",resumed=\"true\"}", resumed_tls12, NULL),
	ROW("handshakes_total", "{protocol=\"TLSv1.3\",resumed=\"true\"}", resumed_tls13, NULL),
	ROW("passthrough_total", "", passed_through,
		"Connections whose TLS was passed through to a server."),
	ROW("bytes_total", "{direction=\"in\"}", bytes_in,
		"Bytes from (in) and to (out) clients, decrypted unless passed through."),
	ROW("bytes_total", "{direction=\"out\"}", bytes_out, NULL),
	ROW("connections_truncated_total", "", truncated,
		"Connections that a client ended without close_notify."),
	ROW("connections_aborted_total", "", aborted,
		"Connections ended by a reset or a TLS error after the handshake."),
	ROW("timeouts_total", "{kind=\"idle\"}", idle_timeouts, "Connections ended by a timeout."),
	ROW("timeouts_total", "{kind=\"half_closed\"}", half_closed_timeouts, NULL),
	ROW("backend_connects_total", "", backend_connects, "Connections made to servers."),
	ROW("backend_connect_failures_total", "", backend_failures,
		"Tries to connect to a server that failed."),
	ROW("backend_unreached_total", "", backend_unreached,
		"Connections ended because none of their servers could be reached."),
	ROW("backend_tls_handshakes_total", "", backend_tls, "TLS handshakes done with servers."),
	ROW("backend_tls_resumed_total", "", backend_tls_resumed,
		"Of these, with a session from before."),
	ROW("backend_truncated_total", "", backend_truncated,
		"Streams that a server ended without close_notify."),
	ROW("clients_untracked_total", "", clients_untracked,
		"Connections not limited by address because the table of addresses was full."),
	ROW("accept_pauses_total", "", accept_pauses,
		"Times that accepting paused for limits.connections or descriptors."),
#undef ROW
};

static void add_counters(struct str *out, const struct stats_sum *s)
{
	for (size_t i = 0; i < sizeof(counter_rows) / sizeof(counter_rows[0]); i++) {
		const struct counter_row *r = &counter_rows[i];

		if (r->help)
			family(out, r->name, "counter", r->help);
		str_addf(out, "lintel_%s%s %" PRIu64 "\n", r->name, r->labels,
			*(const uint64_t *)((const char *)s + r->offset));
	}
	family(out, "handshake_failures_total", "counter", "TLS handshakes that failed.");
	for (int i = 0; i < HANDSHAKE_FAILURES; i++)
		str_addf(out, "lintel_handshake_failures_total{reason=\"%s\"} %" PRIu64 "\n",
			handshake_failure_names[i], s->handshake_failures[i]);
	family(out, "connections_refused_total", "counter", "Connections closed by a limit.");
	for (int i = 0; i < REFUSALS; i++)
		str_addf(out, "lintel_connections_refused_total{reason=\"%s\"} %" PRIu64 "\n",
			refusal_names[i], s->refused[i]);
	family(out, "redirects_total", "counter", "Requests answered by listeners that redirect.");
	for (int i = 0; i < REDIRECT_STATUSES; i++)
		str_addf(out, "lintel_redirects_total{status=\"%s\"} %" PRIu64 "\n",
			redirect_status_names[i], s->answered[i]);
	family(out, "accept_paused_seconds_total", "counter",
		"Seconds that accepting was paused, over all workers.");
	str_addf(out, "lintel_accept_paused_seconds_total %" PRIu64 ".%03u\n",
		s->accept_paused_ms / 1000, (unsigned)(s->accept_paused_ms % 1000));
	single(out, "connections_active", "gauge", "Connections now.", stats_active(s));
	single(out, "listening_sockets", "gauge", "Sockets that workers accept from.",
		s->listening);
}

static void add_process(struct str *out, const struct admin_view *v)
{
	family(out, "build_info", "gauge", "The version that runs.");
	str_addf(out, "lintel_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
	single(out, "start_time_seconds", "gauge", "When the process started, Unix time.",
		(uint64_t)v->started);
	single(out, "workers", "gauge", "Threads that carry traffic.", (uint64_t)v->workers);
	single(out, "draining", "gauge", "1 while the process stops.", v->draining);
	family(out, "reloads_total", "counter", "Reloads of the configuration.");
	str_addf(out, "lintel_reloads_total{result=\"success\"} %" PRIu64 "\n", v->reloads_ok);
	str_addf(out, "lintel_reloads_total{result=\"failure\"} %" PRIu64 "\n", v->reloads_failed);
	single(out, "config_last_reload_successful", "gauge", "0 when the last reload was refused.",
		!v->last_reload_error);
	single(out, "config_loaded_timestamp_seconds", "gauge",
		"When the running configuration was loaded, Unix time.", (uint64_t)v->loaded);
	single(out, "log_lines_dropped_total", "counter",
		"Log lines lost because the log could not keep up.", log_dropped());
	single(out, "connection_log_dropped_total", "counter",
		"Lines of the connection log that were lost.", connlog_dropped());
	family(out, "listener_up", "gauge", "1 when the listener accepts connections.");
	for (size_t i = 0; i < v->n_listeners; i++) {
		str_addf(out, "lintel_listener_up{name=\"");
		add_label(out, v->listeners[i].name);
		str_addf(out, "\",address=\"");
		add_label(out, v->listeners[i].address);
		str_addf(out, "\"} %d\n", v->listeners[i].up);
	}
}

/* ---- servers ---- */

/* A route that lists an address twice has one time series for it. */
static bool is_repeated(const struct admin_route *r, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (strcmp(r->servers[j].address, r->servers[i].address) == 0)
			return true;
	return false;
}

/* `labels`: what stands behind those that tell the server. */
static void add_server_samples(struct str *out, const struct admin_view *v, const char *name,
	const char *labels, uint64_t (*value)(const struct admin_server *))
{
	size_t left = ADMIN_LIST_MAX;

	for (size_t r = 0; r < v->n_routes && left; r++) {
		const struct admin_route *route = &v->routes[r];

		for (size_t i = 0; i < route->n_servers && left; i++, left--) {
			if (is_repeated(route, i))
				continue;
			str_addf(out, "lintel_%s{route=\"", name);
			add_label(out, route->key);
			str_addf(out, "\",server=\"");
			add_label(out, route->servers[i].address);
			str_addf(out, "\"%s} %" PRIu64 "\n", labels, value(&route->servers[i]));
		}
	}
}

static void add_server_family(struct str *out, const struct admin_view *v, const char *name,
	const char *type, const char *help, uint64_t (*value)(const struct admin_server *))
{
	family(out, name, type, help);
	add_server_samples(out, v, name, "", value);
}

static uint64_t server_up(const struct admin_server *s)
{
	return admin_server_is_up(s);
}

static uint64_t server_down(const struct admin_server *s)
{
	return s->down;
}

static uint64_t server_mode(const struct admin_server *s)
{
	return s->mode;
}

static uint64_t server_active(const struct admin_server *s)
{
	return s->active;
}

static uint64_t server_connects(const struct admin_server *s)
{
	return s->connects;
}

static uint64_t server_failures(const struct admin_server *s)
{
	return s->failures;
}

static uint64_t server_checks_good(const struct admin_server *s)
{
	return s->checks_good;
}

static uint64_t server_checks_bad(const struct admin_server *s)
{
	return s->checks_bad;
}

static uint64_t server_changes(const struct admin_server *s)
{
	return s->changes;
}

static void add_servers(struct str *out, const struct admin_view *v)
{
	single(out, "routes", "gauge", "Routes configured.", v->n_routes);
	add_server_family(
		out, v, "server_up", "gauge", "1 when the server gets new connections.", server_up);
	add_server_family(out, v, "server_down", "gauge",
		"1 when connects to the server, or its checks, failed too often.", server_down);
	add_server_family(out, v, "server_mode", "gauge",
		"By hand: 0 = enabled, 1 = drain, 2 = disabled.", server_mode);
	add_server_family(out, v, "server_health_changes_total", "counter",
		"Times that the server went down or came up again.", server_changes);
	family(out, "server_checks_total", "counter", "Health checks of the server.");
	add_server_samples(
		out, v, "server_checks_total", ",result=\"success\"", server_checks_good);
	add_server_samples(out, v, "server_checks_total", ",result=\"failure\"", server_checks_bad);
	add_server_family(out, v, "server_connections_active", "gauge",
		"Connections to the server now.", server_active);
	add_server_family(out, v, "server_connects_total", "counter",
		"Connections made to the server.", server_connects);
	add_server_family(out, v, "server_connect_failures_total", "counter",
		"Tries to connect to the server that failed.", server_failures);
}

/* ---- certificates ---- */

static const char *kind_name(enum cert_kind kind)
{
	switch (kind) {
	case CERT_ECDSA: return "ecdsa";
	case CERT_RSA: return "rsa";
	case CERT_EDDSA: return "eddsa";
	case CERT_KINDS: break;
	}
	return "";
}

static int by_file(const void *a, const void *b)
{
	const struct cert *x = *(const struct cert *const *)a, *y = *(const struct cert *const *)b;

	return strcmp(x->file, y->file);
}

/* A file has one leaf, so its name makes the labels unique, once those read twice are left out. */
static void add_certificates(struct str *out, const struct admin_view *v)
{
	size_t n = v->certs ? certs_count(v->certs) : 0;
	const struct cert **list;

	single(out, "certificates", "gauge", "Certificates served.", n);
	if (!n)
		return;
	family(out, "certificates_earliest_not_after_timestamp_seconds", "gauge",
		"When the first of all certificates ends, Unix time.");
	str_addf(out, "lintel_certificates_earliest_not_after_timestamp_seconds %" PRId64 "\n",
		api_earliest_not_after(v->certs));
	n = n < ADMIN_LIST_MAX ? n : ADMIN_LIST_MAX;
	list = mem_realloc_array(NULL, n, sizeof(*list));
	for (size_t i = 0; i < n; i++)
		list[i] = certs_at(v->certs, i);
	qsort(list, n, sizeof(*list), by_file);
	family(out, "certificate_not_after_timestamp_seconds", "gauge",
		"When a certificate ends, Unix time.");
	for (size_t i = 0; i < n; i++) {
		if (i && by_file(&list[i - 1], &list[i]) == 0)
			continue;
		str_addf(out, "lintel_certificate_not_after_timestamp_seconds{name=\"");
		add_label(out, list[i]->n_names ? list[i]->names[0] : "");
		str_addf(out, "\",kind=\"%s\",file=\"", kind_name(list[i]->kind));
		add_label(out, list[i]->file);
		str_addf(out, "\"} %" PRId64 "\n", list[i]->not_after);
	}
	free(list);
}

/* ---- autocert ---- */

static void add_autocert_family(struct str *out, const struct admin_view *v, const char *name,
	const char *type, const char *help, int64_t (*value)(const struct admin_autocert *))
{
	family(out, name, type, help);
	for (size_t i = 0; i < v->n_autocerts && i < ADMIN_LIST_MAX; i++) {
		if (v->autocerts[i].conf->provider == PROVIDER_LOCAL)
			continue;
		str_addf(out, "lintel_%s{provider=\"", name);
		add_label(out, v->autocerts[i].conf->name);
		str_addf(out, "\"} %" PRId64 "\n", value(&v->autocerts[i]));
	}
}

static int64_t not_after(const struct admin_autocert *p)
{
	return p->cert ? p->cert->not_after : 0;
}

static int64_t next_renewal(const struct admin_autocert *p)
{
	return p->last ? obtained_next(p->last) : 0;
}

static int64_t last_failure(const struct admin_autocert *p)
{
	return p->last && p->last->state.failure ? p->last->state.failed_at : 0;
}

static int64_t renewals(const struct admin_autocert *p)
{
	return (int64_t)p->renewals;
}

static int64_t failures(const struct admin_autocert *p)
{
	return (int64_t)p->failures;
}

static void add_autocert(struct str *out, const struct admin_view *v)
{
	size_t n = 0;

	for (size_t i = 0; i < v->n_autocerts; i++)
		n += v->autocerts[i].conf->provider != PROVIDER_LOCAL;
	if (!n)
		return;
	add_autocert_family(out, v, "autocert_not_after_timestamp_seconds", "gauge",
		"When the certificate of a provider ends, Unix time; 0 = there is none.",
		not_after);
	add_autocert_family(out, v, "autocert_next_renewal_timestamp_seconds", "gauge",
		"When it is renewed or tried again, Unix time; 0 = now.", next_renewal);
	add_autocert_family(out, v, "autocert_last_failure_timestamp_seconds", "gauge",
		"When getting it failed last, Unix time; 0 = not since it succeeded.",
		last_failure);
	add_autocert_family(
		out, v, "autocert_renewals_total", "counter", "Certificates obtained.", renewals);
	add_autocert_family(out, v, "autocert_failures_total", "counter",
		"Times that getting one failed.", failures);
}

void metrics_write(struct str *out, const struct admin_view *v)
{
	add_process(out, v);
	add_counters(out, &v->stats);
	add_servers(out, v);
	add_certificates(out, v);
	add_autocert(out, v);
}
