/* Sentences out of OpenSSL's error queue. */
#ifndef LINTEL_TLS_ERROR_H
#define LINTEL_TLS_ERROR_H

#include "base/error.h"

/* As error_set(), followed by what OpenSSL says of its oldest error; empties the thread's queue. */
int tls_error_set(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Only what OpenSSL says; empties the queue. `out` is returned. */
const char *tls_error_text(char out[ERROR_MAX]);

#endif
