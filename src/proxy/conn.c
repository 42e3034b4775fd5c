#include "proxy/conn.h"

#include <errno.h>
#include <event2/buffer.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

void conn_open(struct conn *c, int fd, const struct conn_events *events)
{
	*c = (struct conn){.fd = fd, .events = events};
}

void conn_watch(
	struct conn *c, struct event_base *base, short what, event_callback_fn fn, void *arg)
{
	conn_pause(c);
	event_assign(&c->event, base, c->fd, what, fn, arg);
}

void conn_pause(struct conn *c)
{
	if (c->watched)
		event_del(&c->event);
	c->watched = false;
}

void conn_resume(struct conn *c)
{
	if (c->watched || c->ended)
		return;
	event_add(&c->event, NULL);
	c->watched = true;
}

static void on_drained(struct bufferevent *bev, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->fd < 0)
		return;
	if (c->finish)
		conn_finish(c);
	c->events->drained(c);
}

static void on_failed(struct bufferevent *bev, short what, void *arg)
{
	struct conn *c = arg;

	(void)bev;
	if (c->fd >= 0 && (what & (BEV_EVENT_ERROR | BEV_EVENT_EOF)))
		c->events->failed(c);
}

static void make_queue(struct conn *c)
{
	if (c->queue)
		return;
	c->queue = bufferevent_socket_new(event_get_base(&c->event), c->fd, 0);
	if (!c->queue)
		abort(); /* out of memory */
	bufferevent_setcb(c->queue, NULL, on_drained, on_failed, c);
}

int conn_send(struct conn *c, const void *data, size_t len)
{
	ssize_t n = 0;

	if (!len)
		return conn_queued(c) > 0;
	if (!conn_queued(c)) {
		n = send(c->fd, data, len, MSG_NOSIGNAL);
		if (n == (ssize_t)len)
			return 0;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -1;
		if (n < 0)
			n = 0;
		make_queue(c);
	}
	if (bufferevent_write(c->queue, (const char *)data + n, len - (size_t)n) < 0)
		abort(); /* out of memory */
	return 1;
}

size_t conn_queued(const struct conn *c)
{
	return c->queue ? evbuffer_get_length(bufferevent_get_output(c->queue)) : 0;
}

void conn_drop(struct conn *c)
{
	struct evbuffer *out = c->queue ? bufferevent_get_output(c->queue) : NULL;

	if (!out)
		return;
	evbuffer_unfreeze(out, 1); /* bufferevent guards it against what it did not send */
	evbuffer_drain(out, evbuffer_get_length(out));
	evbuffer_freeze(out, 1);
}

void conn_finish(struct conn *c)
{
	c->finish = true;
	if (c->finished || conn_queued(c))
		return;
	shutdown(c->fd, SHUT_WR);
	c->finished = true;
}

void conn_close(struct conn *c, bool reset)
{
	struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (c->fd < 0)
		return;
	conn_pause(c);
	if (c->queue) /* not freed: we may stand in its callback */
		bufferevent_disable(c->queue, EV_READ | EV_WRITE);
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(c->fd);
	c->fd = -1;
}

void conn_free(struct conn *c)
{
	if (c->queue)
		bufferevent_free(c->queue);
	c->queue = NULL;
}
