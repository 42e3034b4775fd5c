/* A YAML document as nodes that know where they stand. Aliases share the node of their anchor, so
 * the nodes form a graph without cycles; it is walked as a tree. The limits hold before memory is
 * given: 16 MiB of text, 32 levels, and ten times the text's size with every alias written out.
 * Plain data of one thread; nodes belong to their tree. */
#ifndef LINTEL_CONF_TREE_H
#define LINTEL_CONF_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define TREE_MAX_BYTES  ((size_t)16 << 20)
#define TREE_MAX_DEPTH  32
#define TREE_MAX_GROWTH 10 /* times the size of the text */

enum node_kind { NODE_NULL, NODE_SCALAR, NODE_LIST, NODE_MAP };

struct node;

struct item {
	const struct node *key; /* a scalar or null; NULL in a list */
	const struct node *value;
};

struct node {
	enum node_kind kind;
	bool plain;       /* a scalar without quotes */
	int line, column; /* from 1 */
	char *text;       /* a scalar's, without NUL bytes; "" for null */
	struct item *items;
	size_t n;

	/* What the parser needs to know of it. */
	bool open;         /* its end was not seen yet */
	int height;        /* levels of lists and maps below and including this one */
	uint64_t size;     /* bytes of all text in it, aliases written out */
	struct node *next; /* in the list of the tree's nodes */
};

struct tree {
	const struct node *root; /* NULL = the document is empty */
	struct node *nodes;
};

/* Reads one document from `text`. NULL when it is none; the sentence then begins with
 * "LINE:COLUMN: ". Free with tree_free(). */
struct tree *tree_parse(const char *text, size_t len, struct error *err);
void tree_free(struct tree *t);

/* The value of a map's key (the first, should it be there twice), NULL when it is not there or
 * `map` is NULL or no map. */
const struct node *node_get(const struct node *map, const char *key);

#endif
