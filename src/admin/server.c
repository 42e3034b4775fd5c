#include "admin/server.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "admin/api.h"
#include "admin/guard.h"
#include "admin/metrics.h"
#include "admin/routes.h"
#include "base/mem.h"
#include "base/str.h"

#define HEADERS_MAX (8 << 10) /* bytes */
#define BODY_MAX    (64 << 10)

#define JSON_TYPE "application/json"

/* A reload whose result somebody waits for. */
struct waiting {
	LIST_ENTRY(waiting) link;
	struct admin *a;
	struct evhttp_request *req;
};

/* ---- answers ---- */

static const char *reason_of(int code)
{
	switch (code) {
	case 401: return "Unauthorized"; /* evhttp's own table lacks these */
	case 409: return "Conflict";
	case 422: return "Unprocessable Content";
	case 426: return "Upgrade Required";
	default: return NULL; /* evhttp knows it */
	}
}

/* One request a connection: conns.h says why. */
static void answer(struct admin *a, struct evhttp_request *req, int code, const char *type,
	const char *text, size_t len)
{
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
	struct evbuffer *body = NULL;
	char length[32];

	evhttp_add_header(headers, "Content-Type", type);
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Connection", "close");
	snprintf(length, sizeof(length), "%zu", len);
	evhttp_add_header(headers, "Content-Length", length);
	if (evhttp_request_get_command(req) != EVHTTP_REQ_HEAD) {
		body = evbuffer_new();
		if (!body || evbuffer_add(body, text, len) < 0)
			abort(); /* out of memory */
	}
	conns_answer(a->conns, req);
	evhttp_send_reply(req, code, reason_of(code), body);
	if (body)
		evbuffer_free(body);
}

/* Takes `o`. */
void admin_answer_json(struct admin *a, struct evhttp_request *req, int code, struct json_object *o)
{
	const char *json = json_object_to_json_string_ext(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	struct str text = {0};

	str_addf(&text, "%s\n", json);
	answer(a, req, code, JSON_TYPE, text.data, text.len);
	str_clear(&text);
	json_object_put(o);
}

void admin_answer_message(
	struct admin *a, struct evhttp_request *req, int code, const char *message)
{
	admin_answer_json(a, req, code, api_message(message, NULL, NULL));
}

/* ---- what is known about a request ---- */

const char *admin_header(struct evhttp_request *req, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(req), name);
}

static unsigned count_headers(struct evhttp_request *req, const char *name)
{
	struct evkeyval *h;
	unsigned n = 0;

	TAILQ_FOREACH (h, evhttp_request_get_input_headers(req), next)
		n += strcasecmp(h->key, name) == 0;
	return n;
}

static bool is_trusted(struct admin *a, struct evhttp_request *req)
{
	if (a->token)
		return guard_token_fits(a->token, admin_header(req, "Authorization"));
	if (a->address.kind == ADDRESS_UNIX)
		return true;
	/* Without a token the address is a loopback one. */
	return guard_host_is_ours(&a->address, admin_header(req, "Host"));
}

/* ---- the resources ---- */

static void get_healthz(struct admin *a, struct evhttp_request *req)
{
	answer(a, req, 200, "text/plain; charset=utf-8", "ok", 2);
}

static void get_readyz(struct admin *a, struct evhttp_request *req)
{
	struct problems reasons = {0};

	a->ops.unready(a->ops.arg, &reasons);
	if (!reasons.n)
		admin_answer_message(a, req, 200, "ready");
	else if (is_trusted(a, req))
		admin_answer_json(a, req, 503, api_message("not ready", "reasons", &reasons));
	else
		admin_answer_message(a, req, 503, "not ready");
	problems_clear(&reasons);
}

static void get_metrics(struct admin *a, struct evhttp_request *req)
{
	struct str text = {0};

	metrics_write(&text, a->ops.view(a->ops.arg));
	answer(a, req, 200, METRICS_TYPE, text.data, text.len);
	str_clear(&text);
}

static void get_cert_info(struct admin *a, struct evhttp_request *req)
{
	struct json_object *list = api_cert_info(a->ops.view(a->ops.arg));

	if (list)
		admin_answer_json(a, req, 200, list);
	else
		admin_answer_message(a, req, 404, "there is no certificate yet");
}

static void get_certs(struct admin *a, struct evhttp_request *req)
{
	admin_answer_json(a, req, 200, api_certs(a->ops.view(a->ops.arg)));
}

static void get_status(struct admin *a, struct evhttp_request *req)
{
	admin_answer_json(a, req, 200, api_status(a->ops.view(a->ops.arg)));
}

static void get_version(struct admin *a, struct evhttp_request *req)
{
	admin_answer_json(a, req, 200, api_version());
}

static void on_reloaded(void *arg, const struct problems *p)
{
	struct waiting *w = arg;

	LIST_REMOVE(w, link);
	/* A client that has left meanwhile makes no difference: evhttp then frees the request. */
	if (p->n)
		admin_answer_json(w->a, w->req, 422, api_message(p->lines[0], "errors", p));
	else
		admin_answer_message(w->a, w->req, 200, "reloaded");
	free(w);
}

static void post_reload(struct admin *a, struct evhttp_request *req)
{
	struct waiting *w = mem_zalloc(sizeof(*w));

	w->a = a;
	w->req = req;
	LIST_INSERT_HEAD(&a->waiting, w, link);
	a->ops.reload(a->ops.arg, on_reloaded, w);
}

#define PUBLIC  1 /* no token, any Host */
#define CHANGES 2 /* wants an Origin of ours and JSON */

static const struct resource {
	const char *path;
	enum evhttp_cmd_type method; /* GET stands for HEAD too */
	unsigned flags;
	void (*handle)(struct admin *a, struct evhttp_request *req);
} resources[] = {
	{"/healthz", EVHTTP_REQ_GET, PUBLIC, get_healthz},
	{"/readyz", EVHTTP_REQ_GET, PUBLIC, get_readyz},
	{"/metrics", EVHTTP_REQ_GET, 0, get_metrics},
	{"/api/v1/cert/info", EVHTTP_REQ_GET, 0, get_cert_info},
	{"/api/v1/cert/renew", EVHTTP_REQ_GET, 0, get_renew},
	{"/api/v1/cert/renew", EVHTTP_REQ_POST, CHANGES, post_renew},
	{"/api/v1/certs", EVHTTP_REQ_GET, 0, get_certs},
	{"/api/v1/routes", EVHTTP_REQ_GET, 0, get_routes},
	{"/api/v1/routes", EVHTTP_REQ_POST, CHANGES, post_routes},
	{"/api/v1/status", EVHTTP_REQ_GET, 0, get_status},
	{"/api/v1/version", EVHTTP_REQ_GET, 0, get_version},
	{"/api/v1/reload", EVHTTP_REQ_POST, CHANGES, post_reload},
};

/* The row for path and method; NULL with `allow` the path's methods, empty for an unknown path. */
static const struct resource *find_resource(
	const char *path, enum evhttp_cmd_type method, struct str *allow)
{
	for (size_t i = 0; i < sizeof(resources) / sizeof(resources[0]); i++) {
		const struct resource *r = &resources[i];
		bool get = r->method == EVHTTP_REQ_GET;

		if (strcmp(path, r->path) != 0)
			continue;
		if (method == r->method || (get && method == EVHTTP_REQ_HEAD))
			return r;
		str_addf(allow, "%s%s", allow->len ? ", " : "", get ? "GET, HEAD" : "POST");
	}
	return NULL;
}

/* ---- one request ---- */

/* What decides whether a request may do something. Of several evhttp takes the first and says
 * nothing; who stands in front of it may take the last. */
static const char *find_repeated(struct evhttp_request *req)
{
	static const char *const deciding[] = {"Host", "Origin", "Content-Type", "Authorization"};

	for (size_t i = 0; i < sizeof(deciding) / sizeof(deciding[0]); i++)
		if (count_headers(req, deciding[i]) > 1)
			return deciding[i];
	return NULL;
}

/* Answers what is wrong with the request itself, whatever it asks for. */
static bool is_malformed(struct admin *a, struct evhttp_request *req)
{
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(req);
	const char *repeated = find_repeated(req), *problem = NULL;
	char text[80];

	if (repeated) {
		snprintf(text, sizeof(text), "the request has more than one %s header", repeated);
		problem = text;
	} else if (!admin_header(req, "Host") && req->major == 1 && req->minor >= 1)
		problem = "the request has no Host header";
	else if (!uri || evhttp_uri_get_scheme(uri) || evhttp_uri_get_host(uri))
		problem = "the request's target must be a path; this is no proxy";
	if (problem)
		admin_answer_message(a, req, 400, problem);
	return problem;
}

static bool is_refused(struct admin *a, struct evhttp_request *req, const struct resource *r)
{
	if ((r && r->flags & PUBLIC) || is_trusted(a, req))
		return false;
	if (a->token) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "WWW-Authenticate",
			"Bearer realm=\"lintel\"");
		admin_answer_message(a, req, 401,
			"a token is required: Authorization: Bearer TOKEN, with admin.token of the "
			"configuration");
	} else {
		admin_answer_message(a, req, 403,
			"the Host header names neither the admin address nor localhost; set "
			"admin.token to allow other names");
	}
	return true;
}

bool admin_origin_fits(struct admin *a, struct evhttp_request *req)
{
	if (guard_origin_fits(admin_header(req, "Origin"), admin_header(req, "Host")))
		return true;
	admin_answer_message(a, req, 403, "the Origin header is not that of the admin address");
	return false;
}

static bool is_forgery(struct admin *a, struct evhttp_request *req)
{
	if (!admin_origin_fits(a, req))
		return true;
	if (!guard_type_is_json(admin_header(req, "Content-Type"))) {
		admin_answer_message(a, req, 415, "the Content-Type must be " JSON_TYPE);
		return true;
	}
	return false;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct admin *a = arg;
	const struct resource *r;
	struct str allow = {0};
	const char *path;

	if (!conns_begin(a->conns, req)) {
		admin_answer_message(a, req, 400, "a connection carries one request only");
		return;
	}
	if (is_malformed(a, req))
		return;
	path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
	r = find_resource(path ? path : "", evhttp_request_get_command(req), &allow);
	if (is_refused(a, req, r))
		goto out;
	if (r) {
		if (!(r->flags & CHANGES) || !is_forgery(a, req))
			r->handle(a, req);
	} else if (allow.len) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", allow.data);
		admin_answer_message(a, req, 405, "this method is not allowed here");
	} else {
		admin_answer_message(a, req, 404, "there is nothing at this path");
	}
out:
	str_clear(&allow);
}

/* ---- life ---- */

struct admin *admin_open(const struct conf_admin *conf, struct error *err)
{
	struct admin *a = mem_zalloc(sizeof(*a));

	if (admin_socket_open(&a->socket, &conf->address, err) < 0) {
		free(a);
		return NULL;
	}
	address_copy(&a->address, &conf->address);
	LIST_INIT(&a->waiting);
	LIST_INIT(&a->watchers);
	admin_configure(a, conf);
	return a;
}

int admin_start(
	struct admin *a, struct event_base *base, const struct admin_ops *ops, struct error *err)
{
	struct evhttp_bound_socket *bound;

	a->ops = *ops;
	a->base = base;
	a->http = evhttp_new(base);
	bound = a->http ? evhttp_accept_socket_with_handle(a->http, a->socket.fd) : NULL;
	if (!bound) {
		if (a->http)
			evhttp_free(a->http);
		a->http = NULL;
		return error_set(
			err, "admin: starting the HTTP server on %s failed", a->address.text);
	}
	a->conns = conns_new(base, a->http, evhttp_bound_socket_get_listener(bound));
	evhttp_set_max_headers_size(a->http, HEADERS_MAX);
	evhttp_set_max_body_size(a->http, BODY_MAX);
	evhttp_set_allowed_methods(a->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
						    EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
						    EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
	evhttp_set_gencb(a->http, on_request, a);
	return 0;
}

void admin_configure(struct admin *a, const struct conf_admin *conf)
{
	free(a->token);
	a->token = mem_strdup(conf->token);
}

void admin_close(struct admin *a)
{
	struct waiting *w;

	if (!a)
		return;
	while ((w = LIST_FIRST(&a->waiting))) { /* cut off; evhttp frees the request */
		LIST_REMOVE(w, link);
		free(w);
	}
	watchers_close(a);
	if (a->http)
		evhttp_free(a->http);
	else
		close(a->socket.fd);
	conns_free(a->conns);
	admin_socket_clear(&a->socket);
	address_clear(&a->address);
	free(a->token);
	free(a);
}
