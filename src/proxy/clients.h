/* What each client address has now, for limits.per_ip and limits.rate: its connections, and two
 * rates. One table for the process, shared by all workers: sharded, locked for some tens of
 * nanoseconds, of a fixed size. An address is an IPv4 address (also where it comes IPv4-mapped) or
 * an IPv6 /64, which is what one client has. Others (unix sockets) are never limited.
 *
 * Control makes the table when a configuration wants it, and keeps it to the end: reloads change
 * the limits, not what is there. Any thread. */
#ifndef LINTEL_PROXY_CLIENTS_H
#define LINTEL_PROXY_CLIENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct clients;
struct client; /* an address in the table, which stays there while it has connections */

/* A token bucket: `burst` at once, then one every `every_ns`. */
struct client_rate {
	int64_t every_ns; /* 0 = no limit */
	int64_t burst;    /* at least 1 */
};

struct client_limits {
	uint64_t connections; /* at a time; 0 = no limit */
	struct client_rate connects, handshakes;
};

enum client_verdict {
	CLIENT_TAKEN,
	CLIENT_UNTRACKED, /* not limited either: the table is full of addresses with connections */
	CLIENT_PER_IP,
	CLIENT_RATE,
};

struct clients *clients_new(void);
void clients_free(struct clients *all);

/* Counts a connection, which comes at `now` (ms, monotonic), unless it is over a limit. `*client`
 * is its address then, for the other two; NULL = it is not tracked, or not taken. */
enum client_verdict clients_enter(struct clients *all, const struct client_limits *limits,
	const struct sockaddr *from, int64_t now, struct client **client);
/* Whether one of its connections may begin a handshake. */
bool clients_may_handshake(struct clients *all, const struct client_limits *limits,
	struct client *client, int64_t now);
/* The connection is over. */
void clients_leave(struct clients *all, struct client *client);

#endif
