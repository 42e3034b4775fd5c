/* Certificate signing requests (RFC 2986) as RFC 8555, 7.4 wants them. Any thread. */
#ifndef LINTEL_ACME_CSR_H
#define LINTEL_ACME_CSR_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "conf/conf.h"

/* For these names as subjectAltName, no subject, nothing else. New DER (free); NULL with a
 * sentence. */
uint8_t *acme_csr_make(
	EVP_PKEY *key, const struct conf_strings *domains, size_t *len, struct error *err);

#endif
