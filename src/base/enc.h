/* base64url (RFC 4648, section 5), and texts in URLs. Any thread. */
#ifndef LINTEL_BASE_ENC_H
#define LINTEL_BASE_ENC_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

/* Without padding. A new string. */
char *enc_base64url(const void *data, size_t len);
/* Padded or not. New bytes (free), their number in *len; NULL with a sentence that does not show
 * the text, which may be a secret. */
uint8_t *enc_base64url_decode(const char *text, size_t *len, struct error *err);

/* Appends a text, with everything but letters, digits and -._~ as %XX. */
void enc_url(struct str *s, const char *text);
/* The same for the first `len` bytes of a path, whose slashes stay. */
void enc_url_path(struct str *s, const char *path, size_t len);

#endif
