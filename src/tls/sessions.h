/* Sessions with servers that may be resumed: the newest for each key, the least recently used
 * dropped beyond `max`. The key says all that a session is bound to. Of one thread. */
#ifndef LINTEL_TLS_SESSIONS_H
#define LINTEL_TLS_SESSIONS_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

struct sessions;

struct sessions *sessions_new(size_t max);
void sessions_free(struct sessions *all);
/* Takes the reference to `session`, which is good until `until` (ms, the clock of sessions_get()).
 */
void sessions_put(struct sessions *all, const char *key, SSL_SESSION *session, int64_t until);
/* Borrowed until the next put; NULL = none. */
SSL_SESSION *sessions_get(struct sessions *all, const char *key, int64_t now);

#endif
