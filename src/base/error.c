#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define APPEND_MAX (ERROR_MAX * 3 / 4) /* leaves room for what comes in front */

__attribute__((format(printf, 2, 0))) static void put(char *text, const char *fmt, va_list ap)
{
	if (vsnprintf(text, ERROR_MAX, fmt, ap) >= ERROR_MAX)
		memcpy(text + ERROR_MAX - 4, "...", 4);
}

int error_set(struct error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	put(err->text, fmt, ap);
	va_end(ap);
	return -1;
}

int error_set_errno(struct error *err, const char *fmt, ...)
{
	int saved = errno;
	char what[ERROR_MAX];
	va_list ap;

	if (!err)
		return -1;
	va_start(ap, fmt);
	put(what, fmt, ap);
	va_end(ap);
	return error_set(err, "%s: %s", what, strerror(saved));
}

int error_prefix(struct error *err, const char *fmt, ...)
{
	char prefix[ERROR_MAX], old[ERROR_MAX];
	va_list ap;

	if (!err)
		return -1;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	put(prefix, fmt, ap);
	va_end(ap);
	return error_set(err, "%s: %s", prefix, old);
}

int error_append(struct error *err, const char *fmt, ...)
{
	char more[ERROR_MAX], old[ERROR_MAX];
	size_t len;
	va_list ap;

	if (!err)
		return -1;
	memcpy(old, err->text, sizeof(old));
	va_start(ap, fmt);
	put(more, fmt, ap);
	va_end(ap);
	len = strlen(more) + strlen("; ");
	return error_set(
		err, "%.*s; %s", len < APPEND_MAX ? (int)(APPEND_MAX - len) : 0, old, more);
}

void problems_add(struct problems *p, const char *fmt, ...)
{
	char line[4 * ERROR_MAX];
	va_list ap;

	if (p->n > PROBLEMS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	*(char **)mem_grow(&p->lines, p->n, sizeof(*p->lines)) =
		mem_strdup(p->n == PROBLEMS_MAX ? "and more problems, not listed" : line);
	p->n++;
}

void problems_clear(struct problems *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->lines[i]);
	free(p->lines);
	*p = (struct problems){0};
}
