/* TLS towards a server: what a `tls` block of the configuration says, as an SSL_CTX, shared by all
 * servers with the same block and by all threads (immutable, refcounted); and one connection by it.
 * Loading blocks: start-up, or a job. Used by sessions, and by checks of servers' health. */
#ifndef LINTEL_TLS_OUTBOUND_H
#define LINTEL_TLS_OUTBOUND_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/error.h"
#include "conf/conf.h"
#include "tls/anchors.h"

struct outbound {
	atomic_uint refs;
	SSL_CTX *ctx;
	bool verify;
	char *server_name; /* NULL = the client's, else the address's host */
	/* SHA-256 over whom it trusts and who it is, by content: a session of another one is not
	 * resumed. */
	unsigned char id[32];
};

/* `roots` NULL = verifies nothing. New reference; NULL with a sentence that begins with the key at
 * fault. */
struct outbound *outbound_new(
	const struct conf_server_tls *conf, const struct anchors *roots, struct error *err);
struct outbound *outbound_ref(struct outbound *o);
void outbound_unref(struct outbound *o);

/* The name that is sent to the server and that its certificate must be for. `sni` is the client's,
 * normalised, "" where it sent none; *of_client says that it is that one. NULL = there is none. */
const char *outbound_name(
	const struct outbound *o, const struct address *a, const char *sni, bool *of_client);

/* One connection. Belongs to the caller, who frees `problem`; needed for as long as its SSL. */
struct outbound_call {
	char *problem; /* what is wrong with the server's certificate; new string */
	/* A session that may be resumed; takes the reference. NULL = not wanted. */
	void (*on_session)(struct outbound_call *call, SSL_SESSION *session);
};

/* A new SSL that connects; takes `bio`. `alpn` is what is offered, on the wire; NULL = nothing.
 * Aborts when out of memory. */
SSL *outbound_connect(struct outbound *o, struct outbound_call *call, const char *name,
	const unsigned char *alpn, unsigned int alpn_len, BIO *bio);
/* After SSL_do_handshake() failed: why. Empties OpenSSL's queue of errors. */
const char *outbound_problem(const struct outbound_call *call, char why[ERROR_MAX]);
/* Whether a session from before is good still: what it was verified by has not run out. */
bool outbound_still_good(const struct outbound *o, const SSL_SESSION *session);

#endif
