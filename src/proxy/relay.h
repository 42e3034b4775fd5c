/* The bytes of a session: TLS records between the client's socket and OpenSSL by a BIO over the
 * worker's scratch buffers, plain bytes to and from the server, back-pressure, and the end of each
 * direction by itself. The worker's thread only. */
#ifndef LINTEL_PROXY_RELAY_H
#define LINTEL_PROXY_RELAY_H

#include "proxy/session.h"

#define RECORD_MAX (16u << 10) /* plain bytes of a TLS record (RFC 8446, section 5.1) */
BIO *relay_bio_new(struct session *s);

/* What SSL wrote in this callback goes out in one send(). -1 when the client is gone. */
int relay_flush(struct session *s);
/* Keeps what SSL wrote (a TLS 1.3 handshake's tickets) for the next flush that sends something: a
 * packet of their own costs both ends as much as the answer that they can travel with. Whoever is
 * sent nothing gets them by relay_send_tickets(). */
void relay_hold_tickets(struct session *s);
int relay_send_tickets(struct session *s);
/* Everything received from the client in this callback goes to the server. */
void relay_from_client(struct session *s);
/* The same without TLS: these bytes. */
void relay_pass_on(struct session *s, const unsigned char *data, size_t len);
/* The client's end of stream; s->client.cut when no close_notify announced it. */
void relay_client_ended(struct session *s);
/* The server's, in the same way: it becomes close_notify and FIN, or a FIN alone. */
void relay_server_ended(struct session *s);
/* A recv() from the server brought `n` bytes, none or less than none (errno). */
void relay_server_gone(struct session *s, ssize_t n);
/* Bytes of the server, in the worker's `plain`. False when the session died of it. */
bool relay_to_client(struct session *s, size_t len);
void relay_cut(struct session *s, enum close_reason why); /* the stream is not whole */
void relay_on_server_readable(evutil_socket_t fd, short what, void *arg);
/* The server was connected: what waited for it goes out. */
void relay_start(struct session *s);
/* A send to the server failed with `err`. */
void relay_refused(struct session *s, int err);
/* One direction's queue is empty again. */
void relay_resume(struct session *s);

#endif
