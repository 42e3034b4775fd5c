#include "tls/der.h"

#include <string.h>

bool der_next(struct der *d, uint8_t *tag, struct der *content)
{
	const uint8_t *p = d->p;
	size_t left = d->len, len, n;

	if (left < 2 || (p[0] & 0x1f) == 0x1f)
		return false;
	*tag = p[0];
	len = p[1];
	p += 2;
	left -= 2;
	if (len & 0x80) {
		n = len & 0x7f;
		if (n == 0 || n > 4 || n > left)
			return false;
		left -= n;
		for (len = 0; n; n--)
			len = len << 8 | *p++;
	}
	if (len > left)
		return false;
	*d = (struct der){p + len, left - len};
	*content = (struct der){p, len};
	return true;
}

bool der_take(struct der *d, uint8_t tag, struct der *content)
{
	uint8_t found;

	return d->len && d->p[0] == tag && der_next(d, &found, content);
}

bool der_take_optional(struct der *d, uint8_t tag, struct der *content)
{
	*content = (struct der){NULL, 0};
	return !d->len || d->p[0] != tag || der_take(d, tag, content);
}

bool der_take_bits(struct der *d, struct der *bits)
{
	if (!der_take(d, DER_BIT_STRING, bits) || bits->len < 1 || bits->p[0] != 0)
		return false;
	bits->p++;
	bits->len--;
	return true;
}

bool der_take_unsigned(struct der *d, struct der *number)
{
	if (!der_take(d, DER_INTEGER, number) || number->len < 1 || number->p[0] & 0x80)
		return false;
	while (number->len > 1 && number->p[0] == 0) {
		number->p++;
		number->len--;
	}
	return true;
}

/* Two decimal digits, -1 when they are none. */
static int two(const uint8_t *p)
{
	if (p[0] < '0' || p[0] > '9' || p[1] < '0' || p[1] > '9')
		return -1;
	return (p[0] - '0') * 10 + (p[1] - '0');
}

/* Days from 1970-01-01 in the Gregorian calendar; timegm() takes a lock of the whole process. */
static int64_t days_since_epoch(int year, int month, int day)
{
	int y = month > 2 ? year : year - 1; /* years that begin in March end with the leap day */
	int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return (int64_t)y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

bool der_take_time(struct der *d, int64_t *unix_s)
{
	struct der t;
	uint8_t tag;
	int v[5], century = 0, year;

	if (!der_next(d, &tag, &t))
		return false;
	if (tag == DER_GENERALIZED_TIME && t.len == 15) {
		century = two(t.p);
		t.p += 2;
	} else if (tag != DER_UTC_TIME || t.len != 13) {
		return false;
	}
	year = two(t.p);
	for (int i = 0; i < 5; i++)
		v[i] = two(t.p + 2 + 2 * i);
	if (t.p[12] != 'Z' || century < 0 || year < 0 || v[0] < 1 || v[0] > 12 || v[1] < 1 ||
		v[1] > 31 || v[2] < 0 || v[2] > 23 || v[3] < 0 || v[3] > 59 || v[4] < 0 ||
		v[4] > 60)
		return false;
	year += tag == DER_GENERALIZED_TIME ? century * 100 : year < 50 ? 2000 : 1900;
	*unix_s = days_since_epoch(year, v[0], v[1]) * 86400 + v[2] * 3600 + v[3] * 60 + v[4];
	return true;
}

bool der_cut(struct der *d)
{
	struct der rest = *d, content;
	uint8_t tag;

	if (!der_next(&rest, &tag, &content))
		return false;
	d->len -= rest.len;
	return true;
}

bool der_equal(struct der a, struct der b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}
