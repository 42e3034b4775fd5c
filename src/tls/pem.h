/* PEM blocks (RFC 7468, and the headers of RFC 1421 in so far as they say that a key is encrypted)
 * one after the other; text around them is passed over. One thread. */
#ifndef LINTEL_TLS_PEM_H
#define LINTEL_TLS_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct pem_reader {
	const char *p, *end;
	size_t line; /* of `p`, from 1 */
};

#define PEM_LABEL_SIZE 40

struct pem_block {
	char label[PEM_LABEL_SIZE];  /* "CERTIFICATE"; longer ones are cut */
	size_t line;                 /* of the BEGIN, from 1 */
	bool encrypted;              /* Proc-Type: 4,ENCRYPTED */
	const char *body, *body_end; /* base64 */
};

void pem_init(struct pem_reader *r, const char *text, size_t len);
/* Finds the next block. Returns 1, 0 when there is none left, -1 with a sentence when one does not
 * end. */
int pem_next(struct pem_reader *r, struct pem_block *b, struct error *err);
/* Decodes its body. Returns new bytes (free; wipe those of keys), NULL with a sentence when it is
 * no base64 or empty. */
uint8_t *pem_decode(const struct pem_block *b, size_t *len, struct error *err);

#endif
