#include "base/siphash.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define LENGTH 16

void siphash_make_key(struct siphash_key *key)
{
	if (getrandom(key, sizeof(*key), 0) != sizeof(*key))
		abort(); /* it never fails for so few bytes: getrandom(2) */
}

static uint64_t rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[0] = rotate(v[0], 32);
	v[2] += v[3];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static void add_word(uint64_t v[4], uint64_t m)
{
	v[3] ^= m;
	sip_round(v);
	sip_round(v);
	v[0] ^= m;
}

uint64_t siphash_16(const struct siphash_key *key, const void *bytes)
{
	uint64_t v[4] = {
		key->k[0] ^ UINT64_C(0x736f6d6570736575), /* "somepseu" "dorandom" ... */
		key->k[1] ^ UINT64_C(0x646f72616e646f6d),
		key->k[0] ^ UINT64_C(0x6c7967656e657261),
		key->k[1] ^ UINT64_C(0x7465646279746573),
	};
	uint64_t m[LENGTH / 8];

	memcpy(m, bytes, sizeof(m));
	add_word(v, le64toh(m[0]));
	add_word(v, le64toh(m[1]));
	add_word(v, (uint64_t)LENGTH << 56); /* the last block: no rest, and the length */
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
