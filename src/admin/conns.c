#include "admin/conns.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"

/* Bytes waiting in a connection; more than a whole request may have. */
#define READ_MAX (128 << 10)

struct conn {
	LIST_ENTRY(conn) link;
	struct bufferevent *bev; /* with a reference of ours: valid after evhttp has let go of it */
	int64_t deadline;        /* monotonic ms; 0 = none */
	bool begun;              /* its request was given to us */
	bool answering;          /* what is written from now on is our answer */
	bool continued;          /* evhttp has sent a 100 Continue */
	bool refused;            /* evhttp has answered by itself (400, 413, 501) */
};

struct conns {
	LIST_HEAD(, conn) list;
	unsigned n;
	struct evconnlistener *listener;
	struct event *sweep; /* every second, and when a connection that had a request ends */
};

static void on_output(struct evbuffer *output, const struct evbuffer_cb_info *info, void *arg)
{
	static const char go_on[] = "HTTP/1.1 100";
	char head[sizeof(go_on) - 1];
	struct conn *c = arg;

	if (!info->n_added || c->answering)
		return;
	if (!c->continued && evbuffer_copyout(output, head, sizeof(head)) == sizeof(head) &&
		memcmp(head, go_on, sizeof(head)) == 0)
		c->continued = true;
	else
		c->refused = true;
}

static void conn_free(struct conns *cs, struct conn *c)
{
	evbuffer_remove_cb(bufferevent_get_output(c->bev), on_output, c);
	bufferevent_decref(c->bev);
	LIST_REMOVE(c, link);
	cs->n--;
	free(c);
}

/* evhttp says nothing when it ends a connection that has no request, but bufferevent_free() takes
 * the callbacks away. */
static bool is_over(const struct conn *c)
{
	bufferevent_event_cb on_event;

	bufferevent_getcb(c->bev, NULL, NULL, &on_event, NULL);
	return !on_event;
}

static void free_those_over(struct conns *cs)
{
	struct conn *next;

	for (struct conn *c = LIST_FIRST(&cs->list); c; c = next) {
		next = LIST_NEXT(c, link);
		if (is_over(c))
			conn_free(cs, c);
	}
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct conns *cs = arg;
	int64_t now = clock_mono_ms();
	struct conn *c;

	free_those_over(cs);
	for (c = LIST_FIRST(&cs->list); c; c = LIST_NEXT(c, link)) {
		bool flushed = !evbuffer_get_length(bufferevent_get_output(c->bev));

		/* evhttp then finds the end of the connection, and frees it. */
		if ((c->deadline && now >= c->deadline) || (c->refused && flushed))
			shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
	}
	if (cs->n < CONNS_MAX)
		evconnlistener_enable(cs->listener);
}

static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
	struct conn *c = mem_zalloc(sizeof(*c));
	struct conns *cs = arg;

	c->bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (!c->bev)
		abort(); /* out of memory */
	bufferevent_incref(c->bev);
	bufferevent_setwatermark(c->bev, EV_READ, 0, READ_MAX);
	evbuffer_add_cb(bufferevent_get_output(c->bev), on_output, c);
	c->deadline = clock_mono_ms() + CONNS_DEADLINE_MS;
	free_those_over(cs);
	LIST_INSERT_HEAD(&cs->list, c, link);
	if (++cs->n >= CONNS_MAX)
		evconnlistener_disable(cs->listener);
	return c->bev;
}

/* No descriptor is left, say: the next sweep tries again. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
	evconnlistener_disable(listener);
}

struct conns *conns_new(
	struct event_base *base, struct evhttp *http, struct evconnlistener *listener)
{
	struct timeval every = {.tv_sec = 1};
	struct conns *cs = mem_zalloc(sizeof(*cs));

	LIST_INIT(&cs->list);
	cs->listener = listener;
	cs->sweep = event_new(base, -1, EV_PERSIST, on_sweep, cs);
	if (!cs->sweep || event_add(cs->sweep, &every) < 0)
		abort(); /* out of memory */
	evhttp_set_bevcb(http, on_connection, cs);
	evconnlistener_set_error_cb(listener, on_accept_error);
	return cs;
}

void conns_free(struct conns *cs)
{
	if (!cs)
		return;
	free_those_over(cs);
	assert(!cs->n);
	event_free(cs->sweep);
	free(cs);
}

static struct conn *find(struct conns *cs, struct evhttp_request *req)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	struct conn *c = LIST_FIRST(&cs->list);

	if (!evcon) /* the client has left */
		return NULL;
	while (c && c->bev != evhttp_connection_get_bufferevent(evcon))
		c = LIST_NEXT(c, link);
	return c;
}

static void on_close(struct evhttp_connection *evcon, void *arg)
{
	struct conns *cs = arg;

	event_active(cs->sweep, EV_TIMEOUT, 0);
}

bool conns_begin(struct conns *cs, struct evhttp_request *req)
{
	struct conn *c = find(cs, req);
	bool first;

	assert(c); /* evhttp got it from on_connection() */
	first = !c->begun && !c->refused;
	c->begun = true;
	c->deadline = 0;
	evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_close, cs);
	return first;
}

void conns_stream(struct conns *cs, struct evhttp_request *req)
{
	struct conn *c = find(cs, req);

	if (!c)
		return;
	c->answering = true;
	c->deadline = 0;
}

void conns_answer(struct conns *cs, struct evhttp_request *req)
{
	struct conn *c = find(cs, req);

	if (!c)
		return;
	c->answering = true;
	c->deadline = clock_mono_ms() + CONNS_DEADLINE_MS;
}

void conns_flush(struct bufferevent *bev)
{
	struct evbuffer *output = bufferevent_get_output(bev);

	evbuffer_unfreeze(output, 1);
	evbuffer_write(output, bufferevent_getfd(bev));
}
