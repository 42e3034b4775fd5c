#include "client.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "table.h"

#define STATUS_MS 10000
#define RENEW_MS  (6 * 3600 * 1000L) /* the time-outs are the daemon's */
#define RELOAD_MS 300000             /* 100,000 certificates on a slow disk */

int client_reload(const char *conf_file)
{
	struct fetch_request req = {.method = "POST", .body = "{}", .timeout_ms = RELOAD_MS};
	struct fetch_response res;
	struct json_object *answer;
	int status = 1;

	if (ask_daemon(conf_file, &req, "/api/v1/reload", &res) < 0)
		return 1;
	answer = json_tokener_parse(res.body);
	if (res.status == 200 && answer) {
		puts("reloaded");
		status = 0;
	} else {
		ask_say_refusal(&res, answer);
	}
	json_object_put(answer);
	fetch_response_clear(&res);
	return status;
}

/* ---- the status as a table ---- */

/* What is at a JSON pointer; missing members print as nothing or 0. */
static struct json_object *at(struct json_object *o, const char *pointer)
{
	struct json_object *part = NULL;

	return json_pointer_get(o, pointer, &part) == 0 ? part : NULL;
}

static uint64_t number(struct json_object *o, const char *pointer)
{
	return json_object_get_uint64(at(o, pointer));
}

static const char *text(struct json_object *o, const char *pointer)
{
	struct json_object *part = at(o, pointer);

	return part ? json_object_get_string(part) : "";
}

static const char *size(char out[32], uint64_t bytes)
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
	double d = (double)bytes;
	int i = -1;

	for (; d >= 1024 && i < 4; i++)
		d /= 1024;
	if (i < 0)
		snprintf(out, 32, "%" PRIu64 " B", bytes);
	else
		snprintf(out, 32, "%.1f %s", d, units[i]);
	return out;
}

static void print_listeners(struct json_object *status)
{
	struct json_object *list = at(status, "/listeners");
	struct table t = {.columns = 3};
	size_t n = list ? json_object_array_length(list) : 0;

	table_add(&t, (char *[]){mem_strdup("LISTENER"), mem_strdup("NAME"), mem_strdup("STATE")});
	for (size_t i = 0; i < n; i++) {
		struct json_object *l = json_object_array_get_idx(list, i);

		table_add(&t,
			(char *[]){mem_strdup(text(l, "/address")), mem_strdup(text(l, "/name")),
				mem_strdup(json_object_get_boolean(at(l, "/up")) ? "up" : "down")});
	}
	if (t.n > 1)
		putchar('\n');
	table_print(&t);
}

/* Its key, and how many hosts there are beyond the one that is in it. */
static char *route_name(struct json_object *route)
{
	uint64_t n = number(route, "/hosts_total");

	if (n > 1)
		return mem_printf("%s +%" PRIu64, text(route, "/key"), n - 1);
	return mem_strdup(text(route, "/key"));
}

static char *state_of(struct json_object *server)
{
	const char *state = text(server, "/state");
	bool down = json_object_get_boolean(at(server, "/down"));

	return mem_printf("%s%s", state, down && strcmp(state, "down") != 0 ? ", down" : "");
}

static char *since_of(struct json_object *server, int64_t now)
{
	int64_t t = json_object_get_int64(at(server, "/since"));
	char ago[32];

	if (!t)
		return mem_strdup("-");
	return mem_printf("%s ago", table_duration(ago, now > t ? (uint64_t)(now - t) : 0));
}

static char *failure_of(struct json_object *server, int64_t now)
{
	int64_t t = json_object_get_int64(at(server, "/last_failure/time"));
	char ago[32];

	if (!t)
		return mem_strdup("-");
	return mem_printf("%s ago: %s", table_duration(ago, now > t ? (uint64_t)(now - t) : 0),
		text(server, "/last_failure/message"));
}

static void print_routes(struct json_object *status)
{
	struct json_object *list = at(status, "/routes");
	struct table t = {.columns = 8};
	size_t n = list ? json_object_array_length(list) : 0;
	int64_t now = clock_wall_s();

	table_add(&t, (char *[]){mem_strdup("ROUTE"), mem_strdup("SERVER"), mem_strdup("STATE"),
			      mem_strdup("SINCE"), mem_strdup("NOW"), mem_strdup("CONNECTS"),
			      mem_strdup("FAILURES"), mem_strdup("LAST FAILURE")});
	for (size_t i = 0; i < n; i++) {
		struct json_object *r = json_object_array_get_idx(list, i);
		struct json_object *servers = at(r, "/servers");
		size_t m = servers ? json_object_array_length(servers) : 0;

		for (size_t j = 0; j < m; j++) {
			struct json_object *s = json_object_array_get_idx(servers, j);

			table_add(&t, (char *[]){j ? mem_strdup("") : route_name(r),
					      mem_strdup(text(s, "/address")), state_of(s),
					      since_of(s, now),
					      mem_printf("%" PRIu64, number(s, "/active")),
					      mem_printf("%" PRIu64, number(s, "/connects")),
					      mem_printf("%" PRIu64, number(s, "/failures")),
					      failure_of(s, now)});
		}
	}
	if (t.n > 1)
		putchar('\n');
	table_print(&t);
	if (number(status, "/routes_total") > n)
		printf("and %" PRIu64 " more routes\n", number(status, "/routes_total") - n);
}

/* Counts by reason: "7 (rate 5, route 2)". */
static void print_reasons(struct json_object *counts)
{
	struct str reasons = {0};
	uint64_t sum = 0;

	if (counts) {
		json_object_object_foreach(counts, reason, count)
		{
			uint64_t n = json_object_get_uint64(count);

			sum += n;
			if (n)
				str_addf(&reasons, "%s%s %" PRIu64, reasons.len ? ", " : " (",
					reason, n);
		}
	}
	printf("%" PRIu64 "%s%s\n", sum, reasons.len ? reasons.data : "", reasons.len ? ")" : "");
	str_clear(&reasons);
}

static void print_connections(struct json_object *status)
{
	printf("connections   now %" PRIu64 ", since start %" PRIu64 ", refused ",
		number(status, "/connections/active"), number(status, "/connections/total"));
	print_reasons(at(status, "/connections/refused"));
	printf("handshakes    TLS 1.3 %" PRIu64 ", TLS 1.2 %" PRIu64 ", resumed %" PRIu64
	       ", failed ",
		number(status, "/handshakes/tls13"), number(status, "/handshakes/tls12"),
		number(status, "/handshakes/tls13_resumed") +
			number(status, "/handshakes/tls12_resumed"));
	print_reasons(at(status, "/handshakes/failed"));
}

static void print_certificates(struct json_object *status)
{
	int64_t end = json_object_get_int64(at(status, "/certificates/earliest_not_after"));
	int64_t now = clock_wall_s();
	char date[CLOCK_RFC3339_SIZE], left[32];

	printf("certificates  %" PRIu64, number(status, "/certificates/count"));
	if (number(status, "/certificates/count") && end > now)
		printf("; the first ends %s, in %s", clock_rfc3339(date, end, -1),
			table_duration(left, (uint64_t)(end - now)));
	else if (number(status, "/certificates/count"))
		printf("; the first ended %s, %s ago", clock_rfc3339(date, end, -1),
			table_duration(left, (uint64_t)(now - end)));
	putchar('\n');
}

static void print_status(struct json_object *status)
{
	char date[CLOCK_RFC3339_SIZE], a[32], b[32];

	printf("lintel %s, pid %" PRIu64 ", up %s, %" PRIu64 " workers%s\n",
		text(status, "/version"), number(status, "/pid"),
		table_duration(a, number(status, "/uptime")), number(status, "/workers"),
		json_object_get_boolean(at(status, "/draining")) ? ", draining" : "");
	printf("configuration %s, loaded %s\n", text(status, "/config"),
		clock_rfc3339(date, (int64_t)number(status, "/loaded"), -1));
	printf("reloads       accepted %" PRIu64 ", refused %" PRIu64 "\n",
		number(status, "/reloads/succeeded"), number(status, "/reloads/failed"));
	if (at(status, "/reloads/last_error"))
		printf("              the last one: %s\n", text(status, "/reloads/last_error"));
	print_connections(status);
	printf("bytes         in %s, out %s\n", size(a, number(status, "/bytes/in")),
		size(b, number(status, "/bytes/out")));
	print_certificates(status);
	print_listeners(status);
	print_routes(status);
}

/* An answer in JSON, as it is or as a person reads it. */
static int show(const char *conf_file, const char *path, bool json,
	void (*print)(struct json_object *answer))
{
	struct fetch_request req = {.method = "GET", .timeout_ms = STATUS_MS};
	struct fetch_response res;
	struct json_object *answer;
	bool good;

	if (ask_daemon(conf_file, &req, path, &res) < 0)
		return 1;
	answer = json_tokener_parse(res.body);
	good = res.status == 200 && json_object_is_type(answer, json_type_object);
	if (!good)
		ask_say_refusal(&res, answer);
	else if (json)
		fputs(res.body, stdout);
	else
		print(answer);
	json_object_put(answer);
	fetch_response_clear(&res);
	return good ? 0 : 1;
}

int client_status(const char *conf_file, bool json)
{
	return show(conf_file, "/api/v1/status", json, print_status);
}

/* ---- servers by hand ---- */

int client_server(const char *conf_file, const char *mode, const char *route, const char *server)
{
	struct json_object *body = json_object_new_object(), *answer = NULL;
	struct fetch_request req = {.method = "POST", .timeout_ms = STATUS_MS};
	struct fetch_response res;
	int status = 1;
	char *state;

	json_object_object_add(body, "route", json_object_new_string(route));
	json_object_object_add(body, "server", json_object_new_string(server));
	json_object_object_add(body, "mode", json_object_new_string(mode));
	req.body = json_object_to_json_string(body);
	if (ask_daemon(conf_file, &req, "/api/v1/routes", &res) < 0)
		goto out;
	answer = json_tokener_parse(res.body);
	if (res.status == 200 && at(answer, "/server/state")) {
		state = state_of(at(answer, "/server"));
		printf("route %s: server %s: %s; connections now: %" PRIu64 "\n",
			text(answer, "/route"), text(answer, "/server/address"), state,
			number(answer, "/server/active"));
		free(state);
		status = 0;
	} else {
		ask_say_refusal(&res, answer);
	}
	fetch_response_clear(&res);
out:
	json_object_put(answer);
	json_object_put(body);
	return status;
}

/* ---- certificates ---- */

static char *names_of(struct json_object *cert)
{
	struct json_object *names = at(cert, "/dns_names"), *domains = at(cert, "/domains");
	struct json_object *list = names ? names : domains;
	size_t n = list ? json_object_array_length(list) : 0;

	if (!n)
		return mem_strdup("-");
	if (n > 2)
		return mem_printf("%s, %s +%zu",
			json_object_get_string(json_object_array_get_idx(list, 0)),
			json_object_get_string(json_object_array_get_idx(list, 1)), n - 2);
	return mem_printf("%s%s%s", json_object_get_string(json_object_array_get_idx(list, 0)),
		n > 1 ? ", " : "",
		n > 1 ? json_object_get_string(json_object_array_get_idx(list, 1)) : "");
}

static char *date_of(struct json_object *cert, const char *pointer)
{
	char date[CLOCK_RFC3339_SIZE];
	int64_t t = json_object_get_int64(at(cert, pointer));

	return mem_strdup(t ? clock_rfc3339(date, t, -1) : "-");
}

/* What is left until then, or "ended". */
static char *left_of(struct json_object *cert, int64_t now)
{
	int64_t end = json_object_get_int64(at(cert, "/not_after"));
	char left[32];

	if (!end)
		return mem_strdup("missing");
	if (end <= now)
		return mem_strdup("ended");
	return mem_strdup(table_duration(left, (uint64_t)(end - now)));
}

static char *next_of(struct json_object *cert, int64_t now)
{
	struct json_object *next = at(cert, "/next_renewal");
	int64_t t = json_object_get_int64(next);
	char left[32];

	if (json_object_get_boolean(at(cert, "/renewing")))
		return mem_strdup("now: it is being obtained");
	if (!at(cert, "/next_renewal_reason"))
		return mem_strdup("-");
	if (!next || t <= now)
		return mem_printf("now: %s", text(cert, "/next_renewal_reason"));
	return mem_printf("in %s: %s", table_duration(left, (uint64_t)(t - now)),
		text(cert, "/next_renewal_reason"));
}

static void print_failure(struct json_object *cert, int64_t now)
{
	int64_t then = json_object_get_int64(at(cert, "/last_failure/time"));
	int64_t again = json_object_get_int64(at(cert, "/next_renewal"));
	char ago[32], in[32];

	if (!at(cert, "/last_failure"))
		return;
	printf("\n%s failed %s ago: %s\n", text(cert, "/name"),
		table_duration(ago, now > then ? (uint64_t)(now - then) : 0),
		text(cert, "/last_failure/message"));
	if (again > now)
		printf("it is tried again in %s; `lintel renew %s` tries now\n",
			table_duration(in, (uint64_t)(again - now)), text(cert, "/name"));
}

static void print_certs(struct json_object *answer)
{
	struct json_object *list = at(answer, "/certificates"), *c;
	struct table t = {.columns = 6};
	size_t n = list ? json_object_array_length(list) : 0;
	int64_t now = clock_wall_s();

	if (!n)
		puts("there is no certificate, and autocert is to get none");
	table_add(&t,
		(char *[]){mem_strdup("NAME"), mem_strdup("NAMES"), mem_strdup("ISSUER"),
			mem_strdup("NOT AFTER"), mem_strdup("LEFT"), mem_strdup("NEXT RENEWAL")});
	for (size_t i = 0; i < n; i++) {
		c = json_object_array_get_idx(list, i);
		table_add(&t, (char *[]){mem_strdup(text(c, "/name")), names_of(c),
				      mem_strdup(at(c, "/issuer") ? text(c, "/issuer") : "-"),
				      date_of(c, "/not_after"), left_of(c, now), next_of(c, now)});
	}
	table_print(&t);
	for (size_t i = 0; i < n; i++)
		print_failure(json_object_array_get_idx(list, i), now);
}

int client_certs(const char *conf_file, bool json)
{
	return show(conf_file, "/api/v1/certs", json, print_certs);
}

/* ---- renew ---- */

struct progress {
	bool done, ok;
	struct str refusal; /* what is no event */
};

static void on_event(void *arg, const char *line)
{
	struct progress *p = arg;
	struct json_object *e = json_tokener_parse(line);

	if (!at(e, "/step")) {
		str_addf(&p->refusal, "%s", line);
	} else if (at(e, "/ok")) {
		p->done = true;
		p->ok = json_object_get_boolean(at(e, "/ok"));
		if (!p->ok)
			fprintf(stderr, "lintel: %s\n", text(e, "/message"));
	} else {
		printf("%s  %-9s %s: %s\n", text(e, "/time"), text(e, "/step"),
			text(e, "/provider"), text(e, "/message"));
		fflush(stdout);
	}
	json_object_put(e);
}

int client_renew(const char *conf_file, const char *name)
{
	struct json_object *body = json_object_new_object(), *answer;
	struct progress p = {0};
	struct fetch_request req = {
		.method = "POST",
		.accept = "application/x-ndjson",
		.timeout_ms = RENEW_MS,
		.on_line = on_event,
		.arg = &p,
	};
	struct fetch_response res;
	int status = 1;

	if (name)
		json_object_object_add(body, "name", json_object_new_string(name));
	req.body = json_object_to_json_string(body);
	if (ask_daemon(conf_file, &req, "/api/v1/cert/renew", &res) < 0)
		goto out;
	answer = json_tokener_parse(p.refusal.data ? p.refusal.data : "");
	if (p.done) {
		status = !p.ok;
	} else if (res.status == 200 && at(answer, "/message")) { /* of the provider local */
		puts(text(answer, "/message"));
		status = 0;
	} else if (p.refusal.len) {
		ask_say_refusal(&res, answer);
	} else {
		fprintf(stderr, "lintel: the daemon has gone away before the renewal was done\n");
	}
	json_object_put(answer);
	fetch_response_clear(&res);
out:
	str_clear(&p.refusal);
	json_object_put(body);
	return status;
}
