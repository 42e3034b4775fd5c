/* Routes and their servers: what they are now, and servers that are taken out and in by hand. */
#include "admin/routes.h"

#include <event2/buffer.h>
#include <stdlib.h>
#include <string.h>

#include "admin/api.h"
#include "admin/json.h"
#include "admin/server.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"

#define SHOWN_MAX 8 /* keys or addresses in a sentence */

const char *admin_server_state(const struct admin_server *s)
{
	if (s->mode != SERVER_ENABLED)
		return server_mode_names[s->mode];
	return s->down ? "down" : s->no_address ? "no address" : "up";
}

/* ---- as JSON ---- */

static struct json_object *failure_json(const struct admin_server *s)
{
	struct server_failure failure;
	struct json_object *o;

	if (!s->server || !server_last_failure(s->server, &failure))
		return NULL;
	o = json_object_new_object();
	add_int(o, "time", failure.time);
	add_string(o, "message", failure.text);
	return o;
}

static struct json_object *server_json(const struct admin_server *s)
{
	struct json_object *o = json_object_new_object();

	add_string(o, "address", s->address);
	add_uint(o, "weight", s->weight);
	add_bool(o, "backup", s->backup);
	add_string(o, "state", admin_server_state(s));
	add(o, "since", s->since ? json_object_new_int64(s->since) : NULL);
	add_bool(o, "up", admin_server_is_up(s));
	add_string(o, "mode", server_mode_names[s->mode]);
	add_bool(o, "down", s->down);
	add_uint(o, "active", s->active);
	add_uint(o, "connects", s->connects);
	add_uint(o, "failures", s->failures);
	add(o, "last_failure", failure_json(s));
	return o;
}

static struct json_object *strings_json(const struct conf_strings *s, size_t *left)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->n && i < ADMIN_LIST_MAX && *left; i++, (*left)--)
		json_object_array_add(list, json_object_new_string(s->v[i]));
	return list;
}

static struct json_object *route_json(const struct admin_route *r, size_t *left)
{
	struct json_object *o = json_object_new_object(), *servers = json_object_new_array();

	add_string(o, "key", r->key);
	add(o, "hosts", strings_json(&r->conf->hosts, left));
	add_uint(o, "hosts_total", r->conf->hosts.n);
	add(o, "listeners", strings_json(&r->conf->listeners, left));
	add_string(o, "balance", conf_balance_name(r->conf->balance));
	add_string(o, "tls", conf_route_tls_name(r->conf->tls));
	add_string(o, "proxy_protocol", conf_proxy_protocol_name(r->conf->proxy_protocol));
	for (size_t i = 0; i < r->n_servers && i < ADMIN_LIST_MAX && *left; i++, (*left)--)
		json_object_array_add(servers, server_json(&r->servers[i]));
	add(o, "servers", servers);
	add_uint(o, "servers_total", r->n_servers);
	return o;
}

struct json_object *routes_json(const struct admin_view *v)
{
	struct json_object *list = json_object_new_array();
	size_t left = ROUTES_PARTS_MAX;

	for (size_t i = 0; i < v->n_routes && i < ADMIN_LIST_MAX; i++)
		json_object_array_add(list, route_json(&v->routes[i], &left));
	return list;
}

void get_routes(struct admin *a, struct evhttp_request *req)
{
	const struct admin_view *v = a->ops.view(a->ops.arg);
	struct json_object *o = json_object_new_object();

	add_uint(o, "total", v->n_routes);
	add(o, "routes", routes_json(v));
	admin_answer_json(a, req, 200, o);
}

/* ---- a change by hand ---- */

struct order {
	const char *route, *server;
	enum server_mode mode;
};

static const char *member(struct json_object *o, const char *key)
{
	struct json_object *m;

	return json_object_object_get_ex(o, key, &m) && json_object_is_type(m, json_type_string)
		       ? json_object_get_string(m)
		       : NULL;
}

/* What is in `order` belongs to `o`. */
static int read_order(struct json_object *o, struct order *order, struct error *err)
{
	const char *mode = member(o, "mode");
	char shown[80];

	order->route = member(o, "route");
	order->server = member(o, "server");
	if (!order->route || !order->server || !mode || json_object_object_length(o) != 3)
		return error_set(err, "the body must be {\"route\": KEY, \"server\": ADDRESS, "
				      "\"mode\": \"enabled\", \"drain\" or \"disabled\"}");
	for (int i = 0; i < SERVER_MODES; i++) {
		if (strcmp(mode, server_mode_names[i]) != 0)
			continue;
		order->mode = (enum server_mode)i;
		return 0;
	}
	return error_set(err, "there is no mode \"%s\": \"enabled\", \"drain\" or \"disabled\"",
		str_escape(shown, sizeof(shown), mode, strlen(mode)));
}

static bool has_host(const struct conf_strings *hosts, const char *host)
{
	for (size_t i = 0; i < hosts->n; i++)
		if (strcmp(hosts->v[i], host) == 0)
			return true;
	return false;
}

/* "there is no route "x"; did you mean "y"?" */
static int unknown(const char *what, const char *word, const char *const *words, size_t n,
	const char *otherwise, struct error *err)
{
	const char *nearest = str_nearest(word, words, n);
	char shown[80];

	str_escape(shown, sizeof(shown), word, strlen(word));
	if (nearest)
		error_set(err, "%s \"%s\"; did you mean \"%.256s\"?", what, shown, nearest);
	else
		error_set(err, "%s \"%s\"; %s", what, shown, otherwise);
	return 404;
}

static int unknown_route(const struct admin_view *v, const char *word, struct error *err)
{
	const char *words[ADMIN_LIST_MAX];
	size_t n = 0;

	for (size_t r = 0; r < v->n_routes && n < ADMIN_LIST_MAX; r++) {
		const struct conf_strings *hosts = &v->routes[r].conf->hosts;

		words[n++] = v->routes[r].key;
		for (size_t h = 0; h < hosts->n && n < ADMIN_LIST_MAX; h++)
			words[n++] = hosts->v[h];
	}
	return unknown("there is no route", word, words, n, "`lintel status` shows them", err);
}

/* One more of a list that `total` are in. */
static void list_one(struct str *list, size_t i, size_t total, const char *text)
{
	if (i < SHOWN_MAX)
		str_addf(list, "%s%.256s", i ? ", " : "", text);
	else if (i == SHOWN_MAX)
		str_addf(list, " and %zu more", total - SHOWN_MAX);
}

static int ambiguous_route(
	const struct admin_view *v, const char *host, size_t total, struct error *err)
{
	struct str keys = {0};

	for (size_t r = 0, i = 0; r < v->n_routes; r++)
		if (has_host(&v->routes[r].conf->hosts, host))
			list_one(&keys, i++, total, v->routes[r].key);
	error_set(err, "%s stands in several routes; say which: %s", host, keys.data);
	str_clear(&keys);
	return 400;
}

/* By its key, or by a host that stands in no other one. 0, or the status of the refusal. */
static int find_route(
	const struct admin_view *v, const char *word, size_t *found, struct error *err)
{
	char host[NAME_SIZE];
	size_t n = 0;

	name_normalise_pattern(host, word, strlen(word)); /* else it is "", which no route has */
	for (size_t r = 0; r < v->n_routes; r++) {
		bool is_key = strcmp(v->routes[r].key, word) == 0;

		if (!is_key && !has_host(&v->routes[r].conf->hosts, host))
			continue;
		*found = r;
		if (is_key)
			return 0;
		n++;
	}
	if (!n)
		return unknown_route(v, word, err);
	return n == 1 ? 0 : ambiguous_route(v, host, n, err);
}

static int find_server(
	const struct admin_route *r, const char *word, size_t *found, struct error *err)
{
	size_t n = r->n_servers < ADMIN_LIST_MAX ? r->n_servers : ADMIN_LIST_MAX;
	const char *words[ADMIN_LIST_MAX];
	struct str list = {0};
	char *what;

	for (size_t i = 0; i < r->n_servers; i++) {
		*found = i;
		if (strcmp(r->servers[i].address, word) == 0)
			return 0;
	}
	str_addf(&list, "it has ");
	for (size_t i = 0; i < n; i++) {
		words[i] = r->servers[i].address;
		list_one(&list, i, r->n_servers, words[i]);
	}
	what = mem_printf("route %.256s has no server", r->key);
	unknown(what, word, words, n, list.data, err);
	free(what);
	str_clear(&list);
	return 404;
}

static void carry_out(struct admin *a, struct evhttp_request *req, const struct order *order)
{
	const struct admin_view *v = a->ops.view(a->ops.arg);
	struct json_object *o;
	size_t r = 0, s = 0;
	struct error err;
	int status = find_route(v, order->route, &r, &err);

	if (!status)
		status = find_server(&v->routes[r], order->server, &s, &err);
	if (status) {
		admin_answer_message(a, req, status, err.text);
		return;
	}
	a->ops.set_mode(a->ops.arg, r, s, order->mode);
	v = a->ops.view(a->ops.arg);
	o = json_object_new_object();
	add_string(o, "route", v->routes[r].key);
	add(o, "server", server_json(&v->routes[r].servers[s]));
	admin_answer_json(a, req, 200, o);
}

void post_routes(struct admin *a, struct evhttp_request *req)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(req);
	size_t len = evbuffer_get_length(body);
	char *text = mem_strndup(len ? (char *)evbuffer_pullup(body, -1) : "", len);
	struct json_object *o = json_tokener_parse(text);
	struct order order = {0};
	struct error err;

	if (!json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		o = json_object_new_object();
	}
	if (read_order(o, &order, &err) < 0)
		admin_answer_message(a, req, 400, err.text);
	else
		carry_out(a, req, &order);
	json_object_put(o);
	free(text);
}
