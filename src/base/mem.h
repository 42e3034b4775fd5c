/* Memory that is always had: these abort the process when the system has none left, so that no
 * caller needs a path for it. What a peer can size is limited before it gets here. Any thread. */
#ifndef LINTEL_BASE_MEM_H
#define LINTEL_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

void *mem_alloc(size_t size);
void *mem_zalloc(size_t size);                             /* zeroed */
void *mem_realloc_array(void *old, size_t n, size_t size); /* aborts when n * size overflows */
char *mem_strdup(const char *s);                           /* NULL gives NULL */
char *mem_strndup(const char *s, size_t n);
void *mem_dup(const void *data, size_t size);
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Makes room for one more element in `*array` of `n` elements of `size` bytes, whose room doubles
 * at powers of two. Returns the (zeroed) new element. */
void *mem_grow(void *array, size_t n, size_t size);

#endif
