/* Forced renewals: started by a POST or a WebSocket, and watched as JSON lines or text frames. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "admin/api.h"
#include "admin/server.h"
#include "admin/ws.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define IN_PROGRESS "cert renewal already in progress" /* the seed's words */
#define NOTHING     "there is nothing to renew: the provider is local"
#define STOPS       "lintel stops; an open order is gone on with when it starts again"
#define UNREAD_MAX  (1 << 20) /* bytes of JSON lines that a client has not taken */

/* Those who watch a renewal that hangs stay: the other half is for who wants an answer. */
#define WATCHERS_MAX (CONNS_MAX / 2)

/* Who watches: exactly one of `req` and `ws` is set. */
struct watcher {
	LIST_ENTRY(watcher) link;
	struct autocert_watch watch; /* first: an event finds its watcher by it */
	struct admin *a;
	struct evhttp_request *req; /* of JSON lines */
	struct ws *ws;
	bool watching; /* the last event has not come yet */
};

static struct watcher *of(struct autocert_watch *w)
{
	return (struct watcher *)(void *)((char *)w - offsetof(struct watcher, watch));
}

static struct watcher *watcher_new(
	struct admin *a, void (*event)(struct autocert_watch *, const struct autocert_event *))
{
	struct watcher *w = mem_zalloc(sizeof(*w));

	w->a = a;
	w->watch.event = event;
	LIST_INSERT_HEAD(&a->watchers, w, link);
	a->n_watchers++;
	return w;
}

static void watcher_free(struct watcher *w)
{
	if (w->watching)
		w->a->ops.unwatch(w->a->ops.arg, &w->watch);
	LIST_REMOVE(w, link);
	w->a->n_watchers--;
	free(w);
}

static bool is_one_too_many(struct admin *a, struct evhttp_request *req)
{
	if (a->n_watchers < WATCHERS_MAX)
		return false;
	admin_answer_message(a, req, 503,
		"too many watch a renewal already: try later, or start this one by a POST without "
		"Accept, which does not wait");
	return true;
}

/* ---- JSON lines ---- */

/* Ends the connection of one that does not read. */
static bool is_dropped(struct watcher *w)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(w->req);
	struct bufferevent *bev = evcon ? evhttp_connection_get_bufferevent(evcon) : NULL;

	if (!bev || evbuffer_get_length(bufferevent_get_output(bev)) <= UNREAD_MAX)
		return false;
	evhttp_connection_free(evcon); /* and the request */
	return true;
}

static void send_line(struct watcher *w, const struct autocert_event *e)
{
	struct json_object *o = api_event(e);
	struct evbuffer *line = evbuffer_new();

	if (!line)
		abort(); /* out of memory */
	evbuffer_add_printf(line, "%s\n",
		json_object_to_json_string_ext(
			o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	evhttp_send_reply_chunk(w->req, line); /* nothing, when the client has left */
	evbuffer_free(line);
	json_object_put(o);
}

static void on_line_event(struct autocert_watch *watch, const struct autocert_event *e)
{
	struct watcher *w = of(watch);

	send_line(w, e);
	if (e->step == STEP_DONE) {
		conns_answer(w->a->conns, w->req);
		evhttp_send_reply_end(w->req);
		w->watching = false;
		watcher_free(w);
	} else if (is_dropped(w)) {
		watcher_free(w);
	}
}

/* The daemon ends before the renewal does. */
static void cut_off(struct watcher *w)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(w->req);
	struct bufferevent *bev = evcon ? evhttp_connection_get_bufferevent(evcon) : NULL;

	send_line(w, &(struct autocert_event){.step = STEP_DONE, .level = LOG_WARN, .text = STOPS});
	evhttp_send_reply_end(w->req); /* frees it, when the client has left */
	if (bev)
		conns_flush(bev); /* conns.c has a reference */
}

static void stream(struct admin *a, struct evhttp_request *req, const char *name)
{
	struct watcher *w = watcher_new(a, on_line_event);
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

	w->req = req;
	w->watching = true;
	if (a->ops.renew(a->ops.arg, name, &w->watch) != ASKED_STARTED)
		abort(); /* it was asked before */
	evhttp_add_header(headers, "Content-Type", "application/x-ndjson");
	evhttp_add_header(headers, "Cache-Control", "no-store");
	evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(headers, "Connection", "close");
	conns_stream(a->conns, req);
	evhttp_send_reply_start(req, 200, NULL);
}

/* {"name": "extra[1]"} or {}. A new string in *name, NULL = all; -1 with a sentence. */
static int read_body(struct evhttp_request *req, char **name, struct error *err)
{
	struct evbuffer *body = evhttp_request_get_input_buffer(req);
	size_t len = evbuffer_get_length(body);
	char *text = mem_strndup(len ? (char *)evbuffer_pullup(body, -1) : "{}", len ? len : 2);
	struct json_object *o = json_tokener_parse(text), *m = NULL;
	bool named = json_object_object_get_ex(o, "name", &m);
	int rc = 0;

	*name = NULL;
	if (!json_object_is_type(o, json_type_object) || json_object_object_length(o) > named)
		rc = error_set(err, "the body must be {} or {\"name\": \"extra[1]\"}");
	else if (named && !json_object_is_type(m, json_type_string))
		rc = error_set(err, "\"name\" is no text");
	else if (named)
		*name = mem_strdup(json_object_get_string(m));
	json_object_put(o);
	free(text);
	return rc;
}

static void answer_unknown(struct admin *a, struct evhttp_request *req, const char *name)
{
	char shown[80], *message;

	message = mem_printf("autocert has no provider \"%s\": main, extra[1], ...",
		str_escape(shown, sizeof(shown), name, strlen(name)));
	admin_answer_message(a, req, 404, message);
	free(message);
}

void post_renew(struct admin *a, struct evhttp_request *req)
{
	const char *accept = admin_header(req, "Accept");
	bool lines = accept && strstr(accept, "application/x-ndjson");
	struct error err;
	char *name;

	if (read_body(req, &name, &err) < 0) {
		admin_answer_message(a, req, 400, err.text);
		return;
	}
	switch (a->ops.may_renew(a->ops.arg, name)) {
	case ASKED_STARTED:
		if (!lines) {
			a->ops.renew(a->ops.arg, name, NULL);
			admin_answer_message(a, req, 202, "the renewal has begun");
		} else if (!is_one_too_many(a, req)) {
			stream(a, req, name);
		}
		break;
	case ASKED_RUNNING: admin_answer_message(a, req, 409, IN_PROGRESS); break;
	case ASKED_UNKNOWN: answer_unknown(a, req, name); break;
	case ASKED_NOTHING: admin_answer_message(a, req, 200, NOTHING); break;
	}
	free(name);
}

/* ---- WebSocket ---- */

#define NORMAL     1000 /* RFC 6455, 7.4.1 */
#define GOING_AWAY 1001

static void on_ws_gone(void *arg)
{
	watcher_free(arg);
}

static void on_ws_event(struct autocert_watch *watch, const struct autocert_event *e)
{
	struct watcher *w = of(watch);
	char date[CLOCK_RFC3339_SIZE], *line;

	if (e->step == STEP_DONE) {
		bool stopped = !e->ok && w->a->ops.view(w->a->ops.arg)->draining;

		w->watching = false;
		ws_close(w->ws, stopped ? GOING_AWAY : NORMAL);
		return;
	}
	line = mem_printf("%s %s autocert: %s: %s", clock_rfc3339(date, clock_wall_s(), -1),
		api_level_name(e->level), e->provider, e->text);
	ws_send(w->ws, line);
	free(line);
}

static void open_ws(
	struct admin *a, struct evhttp_request *req, const char *name, enum autocert_asked asked)
{
	struct watcher *w = watcher_new(a, on_ws_event);

	conns_stream(a->conns, req);
	w->ws = ws_accept(a->base, req, on_ws_gone, w);
	if (asked == ASKED_STARTED) {
		w->watching = true;
		a->ops.renew(a->ops.arg, name, &w->watch);
		return;
	}
	ws_send(w->ws, asked == ASKED_RUNNING ? IN_PROGRESS : NOTHING);
	ws_close(w->ws, NORMAL);
}

/* ?name=extra[1] or nothing; a word that is written wrongly must not renew all of them. */
static int read_query(
	struct evhttp_request *req, struct evkeyvalq *params, const char **name, struct error *err)
{
	const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));
	struct evkeyval *p;

	*name = NULL;
	if (evhttp_parse_query_str(query ? query : "", params) < 0)
		return error_set(err, "the query cannot be read: ?name=extra[1], or none");
	TAILQ_FOREACH (p, params, next) {
		if (*name || strcmp(p->key, "name") != 0) {
			evhttp_clear_headers(params);
			return error_set(err, "the query must be ?name=extra[1], or none");
		}
		*name = p->value;
	}
	return 0;
}

void get_renew(struct admin *a, struct evhttp_request *req)
{
	enum autocert_asked asked;
	struct evkeyvalq params;
	const char *name;
	struct error err;
	int status;

	if (!admin_origin_fits(a, req))
		return;
	if (ws_check(req, &status, &err) < 0) {
		if (status == 426) {
			struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

			evhttp_add_header(headers, "Upgrade", "websocket");
			evhttp_add_header(headers, "Sec-WebSocket-Version", "13");
		}
		admin_answer_message(a, req, status, err.text);
		return;
	}
	if (read_query(req, &params, &name, &err) < 0) {
		admin_answer_message(a, req, 400, err.text);
		return;
	}
	asked = a->ops.may_renew(a->ops.arg, name);
	if (asked == ASKED_UNKNOWN)
		answer_unknown(a, req, name);
	else if (!is_one_too_many(a, req))
		open_ws(a, req, name, asked);
	evhttp_clear_headers(&params);
}

void watchers_close(struct admin *a)
{
	struct watcher *w;

	while ((w = LIST_FIRST(&a->watchers))) {
		if (w->ws) {
			ws_close(w->ws, GOING_AWAY);
			ws_abandon(w->ws);
		} else {
			cut_off(w);
		}
		watcher_free(w);
	}
}
