#include "client.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/conf.h"
#include "http/fetch.h"

#define STATUS_MS  10000
#define RELOAD_MS  300000 /* 100,000 certificates on a slow disk */
#define ANSWER_MAX (64u << 20)

/* ---- asking ---- */

static char *url_of(const struct address *a, const char *path)
{
	switch (a->kind) {
	case ADDRESS_UNIX: return mem_printf("http://localhost%s", path);
	case ADDRESS_ANY: return mem_printf("http://127.0.0.1:%u%s", a->port, path);
	case ADDRESS_IP:
	case ADDRESS_NAME: break;
	}
	return mem_printf("http://%s%s", a->text, path);
}

static int load_admin(const char *conf_file, struct conf_admin *admin)
{
	struct problems p = {0};
	int rc = conf_load_admin(conf_file, admin, &p);

	for (size_t i = 0; i < p.n; i++)
		fprintf(stderr, "%s\n", p.lines[i]);
	problems_clear(&p);
	if (rc == 0 && !admin->set) {
		fprintf(stderr,
			"lintel: %s: there is no admin block, so the daemon cannot be asked; add "
			"one, "
			"say admin: { address: 127.0.0.1:8888 }, and start lintel again\n",
			conf_file);
		rc = -1;
	}
	return rc;
}

/* The answer as text and as JSON, NULL when it is none; -1 after saying why there is no answer. */
static int ask(const char *conf_file, struct fetch_request *req, const char *path,
	struct fetch_response *res)
{
	struct conf_admin admin;
	struct error err;
	char *url;
	int rc;

	if (load_admin(conf_file, &admin) < 0)
		return -1;
	url = url_of(&admin.address, path);
	req->url = url;
	req->unix_path = admin.address.kind == ADDRESS_UNIX ? admin.address.host : NULL;
	req->bearer = admin.token;
	req->max_bytes = ANSWER_MAX;
	rc = fetch(req, res, &err);
	if (rc < 0)
		fprintf(stderr, "lintel: asking the daemon at %s: %s; does lintel run with %s?\n",
			admin.address.text, err.text, conf_file);
	if (rc == 0 && res->status == 401) {
		fprintf(stderr,
			"lintel: the daemon at %s refuses the token of %s; was admin.token changed "
			"without a reload?\n",
			admin.address.text, conf_file);
		fetch_response_clear(res);
		rc = -1;
	}
	free(url);
	conf_admin_clear(&admin);
	return rc;
}

/* Says what the daemon answered instead of what was asked for. */
static void say_refusal(const struct fetch_response *res, struct json_object *answer)
{
	struct json_object *errors, *message;

	if (json_object_object_get_ex(answer, "errors", &errors) &&
		json_object_is_type(errors, json_type_array))
		for (size_t i = 0; i < json_object_array_length(errors); i++)
			fprintf(stderr, "%s\n",
				json_object_get_string(json_object_array_get_idx(errors, i)));
	else if (json_object_object_get_ex(answer, "message", &message))
		fprintf(stderr, "lintel: the daemon answered %ld: %s\n", res->status,
			json_object_get_string(message));
	else
		fprintf(stderr,
			"lintel: the daemon answered %ld, but not as lintel does; is another "
			"program "
			"at admin.address?\n",
			res->status);
}

int client_reload(const char *conf_file)
{
	struct fetch_request req = {.method = "POST", .body = "{}", .timeout_ms = RELOAD_MS};
	struct fetch_response res;
	struct json_object *answer;
	int status = 1;

	if (ask(conf_file, &req, "/api/v1/reload", &res) < 0)
		return 1;
	answer = json_tokener_parse(res.body);
	if (res.status == 200 && answer) {
		puts("reloaded");
		status = 0;
	} else {
		say_refusal(&res, answer);
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

/* "3d 4h", "5m 10s": the two largest units. */
static const char *duration(char out[32], uint64_t s)
{
	if (s >= 86400)
		snprintf(out, 32, "%" PRIu64 "d %" PRIu64 "h", s / 86400, s % 86400 / 3600);
	else if (s >= 3600)
		snprintf(out, 32, "%" PRIu64 "h %" PRIu64 "m", s / 3600, s % 3600 / 60);
	else if (s >= 60)
		snprintf(out, 32, "%" PRIu64 "m %" PRIu64 "s", s / 60, s % 60);
	else
		snprintf(out, 32, "%" PRIu64 "s", s);
	return out;
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

#define COLUMNS_MAX 6

struct table { /* rows of cells, the first one the heading */
	char *(*rows)[COLUMNS_MAX];
	size_t n;
	int columns;
};

/* Takes the cells, of which there are t->columns. */
static void add_row(struct table *t, char *const cells[])
{
	char *(*row)[COLUMNS_MAX] = mem_grow(&t->rows, t->n++, sizeof(*t->rows));

	memcpy(*row, cells, sizeof(*cells) * (size_t)t->columns);
}

/* Prints and clears it; a heading with nothing under it is left out. */
static void print_table(struct table *t)
{
	size_t widths[COLUMNS_MAX] = {0};

	for (size_t r = 0; r < t->n; r++)
		for (int c = 0; c < t->columns; c++)
			if (strlen(t->rows[r][c]) > widths[c])
				widths[c] = strlen(t->rows[r][c]);
	if (t->n > 1)
		putchar('\n');
	for (size_t r = 0; r < t->n; r++) {
		for (int c = 0; c < t->columns; c++) {
			bool last = c == t->columns - 1;

			if (t->n > 1)
				printf("%-*s%s", last ? 0 : (int)widths[c], t->rows[r][c],
					last ? "\n" : "  ");
			free(t->rows[r][c]);
		}
	}
	free(t->rows);
}

static void print_listeners(struct json_object *status)
{
	struct json_object *list = at(status, "/listeners");
	struct table t = {.columns = 3};
	size_t n = list ? json_object_array_length(list) : 0;

	add_row(&t, (char *[]){mem_strdup("LISTENER"), mem_strdup("NAME"), mem_strdup("STATE")});
	for (size_t i = 0; i < n; i++) {
		struct json_object *l = json_object_array_get_idx(list, i);

		add_row(&t,
			(char *[]){mem_strdup(text(l, "/address")), mem_strdup(text(l, "/name")),
				mem_strdup(json_object_get_boolean(at(l, "/up")) ? "up" : "down")});
	}
	print_table(&t);
}

/* The first host, and how many there are beyond it. */
static char *route_name(struct json_object *route)
{
	struct json_object *hosts = at(route, "/hosts");
	size_t n = hosts ? json_object_array_length(hosts) : 0;

	if (n > 1)
		return mem_printf("%s +%zu", text(route, "/hosts/0"), n - 1);
	return mem_strdup(text(route, "/hosts/0"));
}

static void print_routes(struct json_object *status)
{
	struct json_object *list = at(status, "/routes");
	struct table t = {.columns = 6};
	size_t n = list ? json_object_array_length(list) : 0;

	add_row(&t, (char *[]){mem_strdup("ROUTE"), mem_strdup("SERVER"), mem_strdup("STATE"),
			    mem_strdup("NOW"), mem_strdup("CONNECTS"), mem_strdup("FAILURES")});
	for (size_t i = 0; i < n; i++) {
		struct json_object *r = json_object_array_get_idx(list, i);
		struct json_object *servers = at(r, "/servers");
		size_t m = servers ? json_object_array_length(servers) : 0;

		for (size_t j = 0; j < m; j++) {
			struct json_object *s = json_object_array_get_idx(servers, j);
			bool up = json_object_get_boolean(at(s, "/up"));

			add_row(&t, (char *[]){j ? mem_strdup("") : route_name(r),
					    mem_strdup(text(s, "/address")),
					    mem_strdup(up ? "up" : "down"),
					    mem_printf("%" PRIu64, number(s, "/active")),
					    mem_printf("%" PRIu64, number(s, "/connects")),
					    mem_printf("%" PRIu64, number(s, "/failures"))});
		}
	}
	print_table(&t);
	if (number(status, "/routes_total") > n)
		printf("and %" PRIu64 " more routes\n", number(status, "/routes_total") - n);
}

static void print_handshakes(struct json_object *status)
{
	struct json_object *failed = at(status, "/handshakes/failed");
	uint64_t failures = 0;
	struct str reasons = {0};

	if (failed) {
		json_object_object_foreach(failed, reason, count)
		{
			uint64_t n = json_object_get_uint64(count);

			failures += n;
			if (n)
				str_addf(&reasons, "%s%s %" PRIu64, reasons.len ? ", " : " (",
					reason, n);
		}
	}
	printf("handshakes    TLS 1.3 %" PRIu64 ", TLS 1.2 %" PRIu64 ", resumed %" PRIu64
	       ", failed %" PRIu64 "%s%s\n",
		number(status, "/handshakes/tls13"), number(status, "/handshakes/tls12"),
		number(status, "/handshakes/tls13_resumed") +
			number(status, "/handshakes/tls12_resumed"),
		failures, reasons.len ? reasons.data : "", reasons.len ? ")" : "");
	str_clear(&reasons);
}

static void print_certificates(struct json_object *status)
{
	int64_t end = json_object_get_int64(at(status, "/certificates/earliest_not_after"));
	int64_t now = clock_wall_s();
	char date[CLOCK_RFC3339_SIZE], left[32];

	printf("certificates  %" PRIu64, number(status, "/certificates/count"));
	if (number(status, "/certificates/count") && end > now)
		printf("; the first ends %s, in %s", clock_rfc3339(date, end, -1),
			duration(left, (uint64_t)(end - now)));
	else if (number(status, "/certificates/count"))
		printf("; the first ended %s, %s ago", clock_rfc3339(date, end, -1),
			duration(left, (uint64_t)(now - end)));
	putchar('\n');
}

static void print_status(struct json_object *status)
{
	char date[CLOCK_RFC3339_SIZE], a[32], b[32];

	printf("lintel %s, pid %" PRIu64 ", up %s, %" PRIu64 " workers%s\n",
		text(status, "/version"), number(status, "/pid"),
		duration(a, number(status, "/uptime")), number(status, "/workers"),
		json_object_get_boolean(at(status, "/draining")) ? ", draining" : "");
	printf("configuration %s, loaded %s\n", text(status, "/config"),
		clock_rfc3339(date, (int64_t)number(status, "/loaded"), -1));
	printf("reloads       accepted %" PRIu64 ", refused %" PRIu64 "\n",
		number(status, "/reloads/succeeded"), number(status, "/reloads/failed"));
	if (at(status, "/reloads/last_error"))
		printf("              the last one: %s\n", text(status, "/reloads/last_error"));
	printf("connections   now %" PRIu64 ", since start %" PRIu64 "\n",
		number(status, "/connections/active"), number(status, "/connections/total"));
	print_handshakes(status);
	printf("bytes         in %s, out %s\n", size(a, number(status, "/bytes/in")),
		size(b, number(status, "/bytes/out")));
	print_certificates(status);
	print_listeners(status);
	print_routes(status);
}

int client_status(const char *conf_file, bool json)
{
	struct fetch_request req = {.method = "GET", .timeout_ms = STATUS_MS};
	struct fetch_response res;
	struct json_object *status;
	bool good;

	if (ask(conf_file, &req, "/api/v1/status", &res) < 0)
		return 1;
	status = json_tokener_parse(res.body);
	good = res.status == 200 && json_object_is_type(status, json_type_object);
	if (!good)
		say_refusal(&res, status);
	else if (json)
		fputs(res.body, stdout);
	else
		print_status(status);
	json_object_put(status);
	fetch_response_clear(&res);
	return good ? 0 : 1;
}
