#include "http/xml.h"

#include <expat.h>
#include <limits.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define DEPTH_MAX 32

struct reader {
	XML_Parser parser;
	struct xml *root, *at;
	unsigned depth;
	const char *why; /* we have stopped it */
};

/* expat still calls what belongs to the same piece of text. */
static void stop(struct reader *r, const char *why)
{
	r->why = why;
	XML_StopParser(r->parser, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *r = arg;
	struct xml *x;

	(void)attributes;
	if (!r->why && r->depth == DEPTH_MAX)
		stop(r, "it is too deep");
	if (r->why)
		return;
	r->depth++;
	x = mem_zalloc(sizeof(*x));
	x->name = mem_strdup(name);
	x->parent = r->at;
	if (!r->at)
		r->root = x;
	else if (!r->at->first)
		r->at->first = x;
	else
		r->at->last->next = x;
	if (r->at)
		r->at->last = x;
	r->at = x;
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct reader *r = arg;

	(void)name;
	if (r->why)
		return;
	r->depth--;
	r->at = r->at->parent;
}

static void XMLCALL on_text(void *arg, const XML_Char *text, int len)
{
	struct reader *r = arg;

	if (!r->why && r->at)
		str_add(&r->at->text, text, (size_t)len);
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *sysid,
	const XML_Char *pubid, int has_internal_subset)
{
	(void)name;
	(void)sysid;
	(void)pubid;
	(void)has_internal_subset;
	stop(arg, "it has a document type");
}

struct xml *xml_parse(const char *text, size_t len, struct error *err)
{
	struct reader r = {.parser = XML_ParserCreate(NULL)};
	bool good;

	if (!r.parser)
		abort(); /* out of memory */
	XML_SetUserData(r.parser, &r);
	XML_SetElementHandler(r.parser, on_start, on_end);
	XML_SetCharacterDataHandler(r.parser, on_text);
	XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
	good = len <= INT_MAX && XML_Parse(r.parser, text, (int)len, 1) == XML_STATUS_OK;
	if (!good) {
		error_set(err, "the answer is no XML: %s",
			r.why ? r.why : XML_ErrorString(XML_GetErrorCode(r.parser)));
		xml_free(r.root);
		r.root = NULL;
	}
	XML_ParserFree(r.parser);
	return r.root;
}

void xml_free(struct xml *x)
{
	struct xml *child, *next;

	if (!x)
		return;
	for (child = x->first; child; child = next) {
		next = child->next;
		xml_free(child);
	}
	if (x->text.data)
		OPENSSL_cleanse(x->text.data, x->text.len);
	str_clear(&x->text);
	free(x->name);
	free(x);
}

static const struct xml *named(const struct xml *x, const char *name, size_t len)
{
	while (x && (strncmp(x->name, name, len) != 0 || x->name[len]))
		x = x->next;
	return x;
}

const struct xml *xml_find(const struct xml *x, const char *path)
{
	while (x && *path) {
		size_t len = strcspn(path, "/");

		x = named(x->first, path, len);
		path += len + (path[len] == '/');
	}
	return x;
}

const char *xml_text(const struct xml *x, const char *path)
{
	x = xml_find(x, path);
	return !x ? NULL : x->text.data ? x->text.data : "";
}

const struct xml *xml_next(const struct xml *x)
{
	return named(x->next, x->name, strlen(x->name));
}

void xml_encode(struct str *s, const char *text)
{
	for (; *text; text++) {
		if (strchr("&<>\"'", *text))
			str_addf(s, "&#%d;", *text);
		else
			str_add(s, text, 1);
	}
}
