/* A session: a client's connection from accept to close, with the connection to the server that it
 * is relayed to. States: header -> handshake -> connecting -> relay -> dead; on a listener that
 * redirects, header -> request -> answered -> dead (plain.c). The worker's thread only; freed by
 * the worker after the loop turn in which it died. */
#ifndef LINTEL_PROXY_SESSION_H
#define LINTEL_PROXY_SESSION_H

#include <event2/buffer.h>

#include "proxy/conn.h"
#include "proxy/record.h"
#include "proxy/worker.h"

enum session_state {
	SESSION_HEADER, /* a PROXY header has to come first, where it has to */
	SESSION_REQUEST,
	SESSION_ANSWERED,
	SESSION_HANDSHAKE,
	SESSION_CONNECTING, /* from here on its bytes are relayed */
	SESSION_RELAY,
	SESSION_DEAD,
	SESSION_STATES
};

struct origin;

/* On the way to a server (connect.c). */
struct connecting {
	unsigned char *tried;     /* targets, a bit each; NULL = none */
	struct target *target;    /* the one being tried */
	size_t endpoint;          /* of it: the next address */
	bool failed;              /* one of its addresses, through its own fault */
	size_t n_tried;           /* targets, this one not among them */
	int64_t until, try_until; /* ms: of all tries, of this one */
	bool full;                /* its unix socket's queue is: to be asked again */
};

struct session {
	TAILQ_ENTRY(session) link;
	struct wheel_entry timer;
	struct worker *worker;
	enum session_state state;
	SSL *ssl; /* NULL = what comes is passed on as it is */
	struct conn client, backend;
	struct record *record;       /* NULL = no line for it */
	uint64_t number;             /* of this worker's */
	struct inet_address from;    /* the client; before its PROXY header the peer */
	struct origin *origin;       /* of that header, until connected; NULL = none comes */
	struct client *counted;      /* its address; NULL = that is not limited */
	struct crowd *crowd;         /* its route's, where that has a limit */
	struct server *server;       /* pinned from the connect on */
	struct handshake *handshake; /* until the handshake has ended */
	struct evbuffer *hello;      /* the pieces of one that may have to be passed on; as long */
	struct snapshot *snapshot;   /* until connected, with the next six */
	size_t listener;             /* its index there */
	struct route *route;
	unsigned char *tickets; /* records with them, to go with the first that follows */
	size_t tickets_len;
	struct evbuffer *pending; /* what the client sent before the server was connected; or
				   * of its request */
	size_t dropped;           /* of what it sent behind that */
	struct connecting connecting;
	struct onward *onward; /* TLS with the server; NULL = in clear, or not yet */
	int64_t idle_ms, half_closed_ms;
	size_t queued_before; /* at the last idle check */
	bool over_limit;      /* during the handshake */
	bool refused;         /* the server takes no more: what comes for it is dropped */
	bool broken_off;      /* by a reset: its end of stream is none */
};

/* Takes the descriptor. */
void session_open(struct worker *w, int fd, size_t listener, const struct inet_address *from);
/* Ends it at once, without telling the client more than the end of the connection. */
void session_close(struct session *s, enum close_reason why);
/* The deadline of its state has come. */
void session_expire(struct session *s);
void session_free(struct session *s); /* a dead one */

#define SESSION_ID_SIZE 33
/* What the connection is called towards servers and in logs, unique over workers and restarts: 32
 * hex digits. Returns `out`. */
const char *session_id(const struct session *s, char out[SESSION_ID_SIZE]);

/* Between session.c (handshake, life), connect.c (the server) and relay.c (bytes). */
void session_set_state(struct session *s, enum session_state state);
void session_let_go(struct session *s); /* of what it needs until it is connected */
void session_unpin_server(struct session *s);
/* Closes both ends with a reset: the stream is not whole. */
void session_abort(struct session *s, enum close_reason why);
void session_settle(
	struct session *s); /* at the end of each callback: what to watch and until when */
void session_log(struct session *s, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
