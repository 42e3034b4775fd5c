#include "base/enc.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *enc_base64url(const void *data, size_t len)
{
	const uint8_t *in = data;
	char *text = mem_alloc((len + 2) / 3 * 4 + 1), *out = text;
	uint32_t bits = 0;
	unsigned n = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | in[i];
		for (n += 8; n >= 6; n -= 6)
			*out++ = letters[bits >> (n - 6) & 63];
	}
	if (n)
		*out++ = letters[bits << (6 - n) & 63];
	*out = '\0';
	return text;
}

uint8_t *enc_base64url_decode(const char *text, size_t *len, struct error *err)
{
	size_t n_text = strlen(text);
	uint8_t *data, *out;
	uint32_t bits = 0;
	unsigned n = 0;

	while (n_text && text[n_text - 1] == '=')
		n_text--;
	data = out = mem_alloc(n_text / 4 * 3 + 3);
	for (size_t i = 0; i < n_text; i++) {
		const char *at = text[i] ? strchr(letters, text[i]) : NULL;

		if (!at)
			goto bad;
		bits = bits << 6 | (uint32_t)(at - letters);
		n += 6;
		if (n >= 8) {
			n -= 8;
			*out++ = (uint8_t)(bits >> n);
		}
	}
	/* Bits beyond the last byte are zero (RFC 4648, 3.5). */
	if (n_text % 4 == 1 || (bits & ((1u << n) - 1)))
		goto bad;
	*len = (size_t)(out - data);
	return data;
bad:
	free(data);
	error_set(err, "is no base64url");
	return NULL;
}

static void add_encoded(struct str *s, const char *text, size_t len, const char *plain)
{
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (isalnum(c) || (c && strchr(plain, c)))
			str_add(s, &text[i], 1);
		else
			str_addf(s, "%%%02X", c);
	}
}

void enc_url(struct str *s, const char *text)
{
	add_encoded(s, text, strlen(text), "-._~");
}

void enc_url_path(struct str *s, const char *path, size_t len)
{
	add_encoded(s, path, len, "-._~/");
}
