/* A walk through DER that copies nothing and leaves its bounds to nobody: every element is checked
 * to lie within the one around it. Only what certificates and keys use: tags of one byte and
 * definite lengths. Plain data, any thread. */
#ifndef LINTEL_TLS_DER_H
#define LINTEL_TLS_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct der { /* bytes left to walk, or an element's content; p NULL = not there */
	const uint8_t *p;
	size_t len;
};

enum der_tag {
	DER_INTEGER = 0x02,
	DER_BIT_STRING = 0x03,
	DER_OCTET_STRING = 0x04,
	DER_OID = 0x06,
	DER_UTC_TIME = 0x17,
	DER_GENERALIZED_TIME = 0x18,
	DER_SEQUENCE = 0x30,
	DER_SET = 0x31,
	DER_CONTEXT_0 = 0xa0, /* [0], constructed; [1] is one more, and so on */
};

/* Takes the next element off `d`. False when there is none or it does not fit. `content` may be
 * `d`, which then goes into the element and forgets what follows it. */
bool der_next(struct der *d, uint8_t *tag, struct der *content);
/* The same when its tag is `tag`; else false, and nothing is taken. */
bool der_take(struct der *d, uint8_t tag, struct der *content);
/* Takes an element with `tag` if it is next. False only when it is next and broken. */
bool der_take_optional(struct der *d, uint8_t tag, struct der *content);

/* The bytes of a BIT STRING without unused bits; an INTEGER's without leading zeros, which must not
 * be negative. */
bool der_take_bits(struct der *d, struct der *bits);
bool der_take_unsigned(struct der *d, struct der *number);

/* UTCTime or GeneralizedTime in RFC 5280's form (4.1.2.5: seconds and Z), as Unix seconds. */
bool der_take_time(struct der *d, int64_t *unix_s);

/* Cuts `d` to its first element, header included. False when there is none. */
bool der_cut(struct der *d);

bool der_equal(struct der a, struct der b);
#define der_is(d, literal)                                                                         \
	der_equal((d), (struct der){(const uint8_t *)(literal), sizeof(literal) - 1})

#endif
