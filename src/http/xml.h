/* The XML that an API answers with, read with expat into a tree. It is what a stranger wrote: no
 * document type (and with it no entities of its own), and no more than 32 levels. The caller limits
 * the bytes. Plain functions; any thread. */
#ifndef LINTEL_HTTP_XML_H
#define LINTEL_HTTP_XML_H

#include <stddef.h>

#include "base/error.h"
#include "base/str.h"

struct xml { /* an element */
	char *name;
	struct str text; /* all that stands directly within */
	struct xml *parent, *first, *last, *next;
};

/* New; NULL with a sentence. */
struct xml *xml_parse(const char *text, size_t len, struct error *err);
void xml_free(struct xml *x); /* NULL is fine; wipes */

/* The first element of a path "A/B" within `x`; NULL = none. */
const struct xml *xml_find(const struct xml *x, const char *path);
/* Its text, "" where it is empty; NULL = no such element. */
const char *xml_text(const struct xml *x, const char *path);
/* The next one after `x` of the same name. */
const struct xml *xml_next(const struct xml *x);

/* Appends a text, with the characters that mean something in XML escaped. */
void xml_encode(struct str *s, const char *text);

#endif
