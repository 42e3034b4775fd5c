/* A TLS stream between OpenSSL and a socket: what one recv() brought, what SSL wants sent, and the
 * BIO over both, which never asks to write later. Nothing lies here between two callbacks: a worker
 * has one for its clients and one for servers. The worker's thread only. */
#ifndef LINTEL_PROXY_WIRE_H
#define LINTEL_PROXY_WIRE_H

#include <openssl/bio.h>
#include <stddef.h>

#include "proxy/conn.h"

#define WIRE_OUT (128u << 10)
/* Queued for a peer, above what the other's bytes can come to: its own records ask for answers
 * (KeyUpdate, refused renegotiation) that it does not read. */
#define ANSWERS_MAX WIRE_OUT

struct session;

struct wire {
	const unsigned char *in; /* received, not yet taken by SSL_read() */
	size_t in_len;
	size_t out_len;
	unsigned char out[WIRE_OUT]; /* encrypted, until the one send() of a callback */
};

/* Sends what is in `out`. What the kernel does not take is queued, and `other`, whose bytes they
 * are, is read no further. -1 when `to` is gone. */
int wire_flush(struct wire *w, struct conn *to, struct conn *other);

/* The BIO's two halves, for callbacks that know whose wire it is. wire_read() returns the number of
 * bytes, or -1 with the retry flag; wire_write() `len`, or -1 when flush() does, which is called
 * whenever `out` is full. */
int wire_read(struct wire *w, BIO *b, char *data, int size);
int wire_write(struct wire *w, BIO *b, const char *data, int len, int (*flush)(struct session *),
	struct session *s);

/* Once per process. */
BIO_METHOD *wire_method(const char *name, int (*read)(BIO *b, char *data, int size),
	int (*write)(BIO *b, const char *data, int len));
/* BIO_get_data() is the session. */
BIO *wire_bio(BIO_METHOD *method, struct session *s);

#endif
