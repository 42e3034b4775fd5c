/* SipHash-2-4 (Aumasson and Bernstein, 2012) of 16 bytes: a hash that nobody can choose collisions
 * of who does not know its key. For tables whose keys are a peer's to choose. Any thread. */
#ifndef LINTEL_BASE_SIPHASH_H
#define LINTEL_BASE_SIPHASH_H

#include <stdint.h>

struct siphash_key {
	uint64_t k[2];
};

void siphash_make_key(struct siphash_key *key); /* a random one */
uint64_t siphash_16(const struct siphash_key *key, const void *bytes);

#endif
