/* What the connection log will say of a session that it cannot be asked for at its end: times,
 * bytes, and the names of what it lets go of once it is connected. A session has one only where
 * there is a connection log when it is accepted; without, each of these costs a branch. The
 * worker's thread only. */
#ifndef LINTEL_PROXY_RECORD_H
#define LINTEL_PROXY_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct session;

enum close_reason {  /* why a session ended */
	CLOSE_ENDED, /* both ends have ended their streams */
	CLOSE_CLIENT_RESET,
	CLOSE_SERVER_RESET,
	CLOSE_LIMIT,
	CLOSE_REDIRECTED,       /* or refused, by a listener that redirects */
	CLOSE_PROXY_HEADER,     /* none that was wanted */
	CLOSE_TLS_ERROR,        /* after the handshake */
	CLOSE_SERVER_TLS_ERROR, /* the same, with the server */
	CLOSE_HANDSHAKE_FAILED,
	CLOSE_HANDSHAKE_TIMEOUT,
	CLOSE_CONNECT_TIMEOUT,
	CLOSE_NO_SERVER,
	CLOSE_IDLE_TIMEOUT,
	CLOSE_HALF_CLOSED_TIMEOUT,
	CLOSE_STOP, /* lintel's */
};

struct record {
	/* us; 0 = it did not come to that. `shaken`: the handshake is over, or, where TLS is passed
	 * through, the ClientHello is read. */
	int64_t accepted, shaken, connected, first_byte;
	uint64_t bytes_in, bytes_out;
	bool server_first;  /* it ended its stream before the client did */
	const char *reason; /* the word that says more than the enum; NULL = none */
	char *listener, *sni, *route;
};

struct record *record_new(void);
void record_free(struct record *r); /* NULL is fine */

/* All of these take NULL. */

static inline void record_shaken(struct record *r)
{
	if (r)
		r->shaken = clock_mono_us();
}

static inline void record_connected(struct record *r)
{
	if (r)
		r->connected = clock_mono_us();
}

static inline void record_bytes_in(struct record *r, size_t n)
{
	if (r)
		r->bytes_in += n;
}

static inline void record_bytes_out(struct record *r, size_t n)
{
	if (!r)
		return;
	if (!r->bytes_out)
		r->first_byte = clock_mono_us();
	r->bytes_out += n;
}

static inline void record_reason(struct record *r, const char *word)
{
	if (r)
		r->reason = word;
}

static inline void record_server_ended(struct record *r, bool client_ended)
{
	if (r)
		r->server_first = !client_ended;
}

/* For a session that has one: before it lets go of its snapshot; when it ends. */
void record_keep_names(struct session *s);
void record_write(struct session *s, enum close_reason why);

#endif
