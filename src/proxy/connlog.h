/* The connection log: one line for each connection when it ends, in a logfile of its own. Off until
 * control turns it on. Any thread may add a line. */
#ifndef LINTEL_PROXY_CONNLOG_H
#define LINTEL_PROXY_CONNLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

/* What a line says. A text of NULL, a time of -1: the connection did not come to have it. */
struct connlog_entry {
	int64_t ended_ms; /* Unix time */
	const char *client, *listener, *sni, *alpn, *protocol, *cipher, *group, *subject;
	bool shaken; /* the handshake has ended well; `resumed` says how */
	bool resumed;
	const char *route, *server, *id;
	uint64_t bytes_in, bytes_out; /* plain, from the client and from the server */
	/* From accept to the end; to the end of the handshake; from there to the connection to the
	 * server; from there to its first byte. */
	int64_t duration_us, handshake_us, connect_us, first_byte_us;
	const char *close, *reason;
};

void connlog_format(struct str *line, const struct connlog_entry *e, enum log_format format);
/* Makes the line and queues it. */
void connlog_add(const struct connlog_entry *e);

extern atomic_int connlog_mode; /* an enum log_format; -1 = off */

static inline bool connlog_is_on(void)
{
	return atomic_load_explicit(&connlog_mode, memory_order_relaxed) >= 0;
}

/* Control's. Opening may fail, and starts the thread; the rest does not. */
int connlog_open(const char *file, struct error *err);
void connlog_use(const char *file, int fd); /* takes the descriptor */
void connlog_turn_on(enum log_format format);
void connlog_turn_off(void);
int connlog_reopen(struct error *err); /* nothing to do while it is off */
void connlog_tell_losses(void);        /* in the log: at once, then no more than once in a while */
void connlog_stop(void);
uint64_t connlog_dropped(void); /* lines lost so far */

#endif
