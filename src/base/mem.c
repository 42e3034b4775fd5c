#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *or_abort(void *p)
{
	if (!p) {
		fputs("lintel: out of memory\n", stderr);
		abort();
	}
	return p;
}

void *mem_alloc(size_t size)
{
	return or_abort(malloc(size ? size : 1));
}

void *mem_zalloc(size_t size)
{
	return or_abort(calloc(1, size ? size : 1));
}

void *mem_realloc_array(void *old, size_t n, size_t size)
{
	return or_abort(reallocarray(old, n ? n : 1, size));
}

char *mem_strdup(const char *s)
{
	return s ? or_abort(strdup(s)) : NULL;
}

char *mem_strndup(const char *s, size_t n)
{
	return or_abort(strndup(s, n));
}

void *mem_dup(const void *data, size_t size)
{
	void *p = mem_alloc(size);

	if (size)
		memcpy(p, data, size);
	return p;
}

char *mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	va_end(ap);
	return or_abort(s);
}

void *mem_grow(void *array, size_t n, size_t size)
{
	char **p = array;

	if ((n & (n - 1)) == 0)
		*p = mem_realloc_array(*p, n ? n * 2 : 1, size);
	memset(*p + n * size, 0, size);
	return *p + n * size;
}
