/* Option rows, and the engine that fills structs from YAML nodes by them: one row says a key's
 * name, type, default and place in the struct. Whatever is wrong with a single option is found
 * here; every problem is added, none ends the reading. One thread; blocks when a secret stands in a
 * file. */
#ifndef LINTEL_CONF_OPTION_H
#define LINTEL_CONF_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/address.h"
#include "base/error.h"
#include "conf/tree.h"

enum option_type {
	OPTION_BOOL,     /* bool */
	OPTION_INT,      /* int; also one of `words`, when there are any */
	OPTION_COUNT,    /* uint64_t */
	OPTION_MS,       /* int64_t, milliseconds; written with a unit */
	OPTION_SECONDS,  /* int64_t, whole seconds; written with a unit, limits in milliseconds */
	OPTION_RATE,     /* int64_t, nanoseconds between two; written as "50/s" */
	OPTION_ENUM,     /* an enum (or int), one of `words` */
	OPTION_STRING,   /* char *, never empty */
	OPTION_PATH,     /* char *, resolved against state_dir */
	OPTION_LOG_FILE, /* the same, or "-" */
	OPTION_ADDRESS,  /* struct address */
	OPTION_STRINGS,  /* struct conf_strings: a list */
	OPTION_MAP,      /* a struct */
	OPTION_MAPS,     /* a list: pointer to structs, and their number at `count` */
	OPTION_OWN,      /* not read by the engine but by who knows the rules, from the tree */
};

enum option_flag {
	OPTION_REQUIRED = 1 << 0, /* must be given; a list must have an entry */
	OPTION_SECRET = 1 << 1,   /* never shown; may be given as KEY_file: /path */
	OPTION_ABSENT = 1 << 2,   /* a map that stays zeroed, without defaults, when not given */
	OPTION_SHORT = 1 << 3,    /* a map, or a list's entry, may be a scalar: of its first key */
};

struct option_word {
	const char *name;
	int value;
};

struct option {
	const char *key;
	enum option_type type;
	unsigned flags;
	size_t offset;        /* in the struct that the map fills */
	const char *fallback; /* the default, as it would be written; NULL = stays zeroed */
	int64_t min, max;     /* of numbers and durations; max for the entries of lists, 0 = any */
	const struct option_word *words; /* ended by a NULL name */
	const struct option_map *map;
	size_t count;   /* OPTION_MAPS: where the number of entries goes */
	size_t present; /* where a bool says that it was given, plus one; 0 = nowhere */
	/* Checks, and may replace (free, mem_strdup), a string or each of a list. */
	int (*check)(char **text, struct error *err);
	int (*check_address)(const struct address *a, struct error *err);
};

#define OPTION_NO_PLACE SIZE_MAX
#define OPTION_MAX_ROWS 32

struct option_map {
	const struct option *rows;
	size_t n;     /* at most OPTION_MAX_ROWS */
	size_t size;  /* of the struct; a map may fill the struct of the map around it */
	size_t place; /* where its struct conf_place is, or OPTION_NO_PLACE */
};

struct option_loader {
	const char *file;
	const char *state_dir;     /* absolute; what paths are resolved against */
	struct problems *problems; /* NULL = nobody wants to know */
	char path[256];            /* where it is, like "routes[0].hosts[1]" */
	size_t path_len;
};

/* Fills `target` (zeroed) from a node that must be a map. */
void option_load(struct option_loader *ld, const struct option_map *map, const struct node *node,
	void *target);
/* The same from the entries of a map. Of the first `n_quiet` no problem is told: they were read
 * before, for somebody else. `at` is the place of the map, NULL = not in the file. */
void option_load_items(struct option_loader *ld, const struct option_map *map,
	const struct node *at, const struct item *items, size_t n, size_t n_quiet, void *target);
/* Frees what the rows own in `target`. */
void option_clear(const struct option_map *map, void *target);

/* The row of a key; *from_file says that it was asked for as KEY_file. NULL = unknown. */
const struct option *option_find(const struct option_map *map, const char *key, bool *from_file);

/* Goes down to a key or entry; returns what option_leave() takes to come back. */
size_t option_enter(struct option_loader *ld, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
void option_leave(struct option_loader *ld, size_t before);

/* False after a problem was added: the node is of another kind. */
bool option_want_kind(const struct option_loader *ld, const struct node *node, enum node_kind kind);

/* Adds "FILE:LINE:COLUMN: PATH: ..." for the current path. `at` NULL leaves the place out. */
void option_problem(const struct option_loader *ld, const struct node *at, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
