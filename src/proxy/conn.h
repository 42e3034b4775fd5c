/* One end of a session: a socket, its read event, and a queue for what the kernel did not take. A
 * plain bufferevent is that queue, made at the first short send: while its output is empty we send
 * directly, else we append, and its write callback tells that it is empty again. EV_READ is never
 * enabled on it; reading is an event of our own (datapath: no epoll_ctl in the steady state).
 * The worker's thread only. */
#ifndef LINTEL_PROXY_CONN_H
#define LINTEL_PROXY_CONN_H

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>
#include <stddef.h>

struct conn;
struct conn_events {                     /* what the owner of a conn does */
	void (*drained)(struct conn *c); /* the queue is empty again */
	void (*failed)(struct conn *c);  /* a queued send failed */
};

struct conn {
	int fd; /* -1 = none */
	struct event event;
	struct bufferevent *queue; /* NULL until first needed */
	const struct conn_events *events;
	bool watched; /* the event is added */
	bool ended;   /* the peer's end of stream was seen */
	bool cut;     /* without the close_notify that TLS wants in front of it */
	bool finish;  /* our end of stream is wanted; sent once the queue is empty */
	bool finished;
};

/* `what` EV_READ (level-triggered, stays) or EV_WRITE (once). Not yet added. */
void conn_open(struct conn *c, int fd, const struct conn_events *events);
void conn_watch(
	struct conn *c, struct event_base *base, short what, event_callback_fn fn, void *arg);
void conn_pause(struct conn *c);  /* deletes the event; it may be resumed */
void conn_resume(struct conn *c); /* adds it again, unless the peer has ended */

/* 0 = all is with the kernel; 1 = some is queued: pause the source; -1 = the connection failed. */
int conn_send(struct conn *c, const void *data, size_t len);
size_t conn_queued(const struct conn *c);
void conn_drop(struct conn *c); /* what is queued, after `failed` */
/* Sends our FIN, after what is queued. */
void conn_finish(struct conn *c);
/* Ends events and closes the descriptor, with a reset when `reset`. Callable in callbacks. */
void conn_close(struct conn *c, bool reset);
/* Frees the queue; not in a callback of its own. */
void conn_free(struct conn *c);

#endif
