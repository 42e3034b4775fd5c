#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* The room is derived from the length, so that the struct needs no field for it. */
static size_t room(size_t len)
{
	size_t r = 64;

	while (r < len + 1)
		r *= 2;
	return r;
}

static void reserve(struct str *s, size_t more)
{
	if (!s->data || room(s->len) != room(s->len + more))
		s->data = mem_realloc_array(s->data, room(s->len + more), 1);
}

void str_add(struct str *s, const void *data, size_t len)
{
	reserve(s, len);
	if (len)
		memcpy(s->data + s->len, data, len);
	s->len += len;
	s->data[s->len] = '\0';
}

void str_addf(struct str *s, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	if (n >= 0) {
		reserve(s, (size_t)n);
		vsnprintf(s->data + s->len, (size_t)n + 1, fmt, again);
		s->len += (size_t)n;
	}
	va_end(again);
	va_end(ap);
}

void str_clear(struct str *s)
{
	free(s->data);
	*s = (struct str){0};
}

const char *str_escape(char *out, size_t size, const void *bytes, size_t len)
{
	const unsigned char *b = bytes;
	size_t o = 0, cut = 0; /* where "..." and the NUL still fit */

	for (size_t i = 0; i < len; i++) {
		bool plain = b[i] >= 0x20 && b[i] < 0x7f && b[i] != '\\' && b[i] != '"';

		if (o + 4 <= size)
			cut = o;
		if (o + (plain ? 1 : 4) + 1 > size) {
			memcpy(out + cut, "...", 3);
			o = cut + 3;
			break;
		}
		if (plain)
			out[o++] = (char)b[i];
		else
			o += (size_t)sprintf(out + o, "\\x%02x", b[i]);
	}
	out[o] = '\0';
	return out;
}

/* The length of the printable UTF-8 character at `s` (RFC 3629), 0 when there is none: broken, over
 * long, a surrogate, or a control character (C0, DEL, C1). */
static size_t printable(const unsigned char *s)
{
	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4 || (s[1] & 0xc0) != 0x80)
		return 0;
	if (s[0] < 0xe0)
		return s[0] == 0xc2 && s[1] < 0xa0 ? 0 : 2;
	if ((s[2] & 0xc0) != 0x80 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
		return 0;
	if (s[0] < 0xf0)
		return 3;
	if ((s[3] & 0xc0) != 0x80 || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return 4;
}

/* Control characters would let a line forge another, or drive a terminal; bytes that are not UTF-8
 * would make a line that is no JSON. In JSON they show as text, "\\x1b". */
void str_add_printable(struct str *line, const char *s, bool json)
{
	for (;;) {
		size_t run = 0, len;

		while ((len = printable((const unsigned char *)s + run)) &&
			!(json && (s[run] == '"' || s[run] == '\\')))
			run += len;
		str_add(line, s, run);
		s += run;
		if (!*s)
			return;
		if (len)
			str_addf(line, "\\%c", *s);
		else
			str_addf(line, "%s\\x%02x", json ? "\\" : "", (unsigned char)*s);
		s++;
	}
}

/* Optimal string alignment: insertions, deletions, changes and swaps of neighbours count one each.
 */
static size_t edit_distance(const char *a, size_t la, const char *b, size_t lb)
{
	size_t rows[3][65];

	if (la > 64 || lb > 64)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t *now = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];

		now[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			bool same = lower(a[i - 1]) == lower(b[j - 1]);
			size_t d = up[j - 1] + !same;

			if (up[j] + 1 < d)
				d = up[j] + 1;
			if (now[j - 1] + 1 < d)
				d = now[j - 1] + 1;
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
				lower(a[i - 2]) == lower(b[j - 1]) && up2[j - 2] + 1 < d)
				d = up2[j - 2] + 1;
			now[j] = d;
		}
	}
	return rows[la % 3][lb];
}

const char *str_nearest(const char *word, const char *const *words, size_t n)
{
	const char *best = NULL;
	size_t len = strlen(word), best_distance = len < 3 ? 1 : len / 3;

	for (size_t i = 0; i < n; i++) {
		size_t d;

		if (!words[i])
			continue;
		d = edit_distance(word, len, words[i], strlen(words[i]));
		if (d >= len) /* nothing in common */
			continue;
		if (d < best_distance || (d == best_distance && !best)) {
			best = words[i];
			best_distance = d;
		}
	}
	return best;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

void str_lower(char *s)
{
	for (; *s; s++)
		*s = lower(*s);
}

void str_hex(char *out, const void *bytes, size_t len)
{
	const unsigned char *b = bytes;

	for (size_t i = 0; i < len; i++)
		sprintf(out + 2 * i, "%02x", b[i]);
	out[2 * len] = '\0';
}
