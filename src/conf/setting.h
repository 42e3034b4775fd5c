/* Settings: options of which only their subject knows what they mean, like those of a DNS provider
 * or of a cloud's credentials. A table of rows says which there are, what fills them and what they
 * are for; what was given is kept as text, checked by type. Plain functions; any thread. */
#ifndef LINTEL_CONF_SETTING_H
#define LINTEL_CONF_SETTING_H

#include "conf/conf.h"

enum setting_type {
	SETTING_TEXT,
	SETTING_BOOL,
	SETTING_URL,      /* see http_url() */
	SETTING_SECRET,   /* never shown; also as KEY_file: the value is what the file holds */
	SETTING_PATH,     /* resolved against state_dir */
	SETTING_LIST,     /* entries, or one text with commas */
	SETTING_WORDS,    /* entries, each as it is */
	SETTING_MAP,      /* "key: value" lines of what stands below it */
	SETTING_SECONDS,  /* a whole number */
	SETTING_DURATION, /* 90s, 1m30s; in the environment also bare seconds */
};

enum { SETTING_ENV_MAX = 4 };

struct setting {
	const char *key; /* snake_case; letter case and underscores do not matter */
	/* Variables that fill it, which count as its keys too; without capitals it is but a key. */
	const char *env[SETTING_ENV_MAX];
	enum setting_type type;
	bool required;
	bool empty; /* "" is possible, and means that it is not given */
	bool lines; /* a file that it is read from may have several lines */
	const char *fallback;
	const char *help; /* a line for people: what it is, without a full stop */
};

struct setting_value {
	const struct setting *row;
	struct conf_strings list; /* empty = not given */
	bool from_environment;    /* it is a variable's */
};

/* The first one; NULL = not given. */
const char *setting_text(const struct setting_value *v);
bool setting_is_true(const struct setting_value *v); /* of a SETTING_BOOL */
/* A SETTING_DURATION in milliseconds; `otherwise` when it is not given. */
int64_t setting_ms(const struct setting_value *v, int64_t otherwise);
/* As Go writes them: 90s, 1m30s, 500ms; whole numbers, the units in any order. A week at most. */
int setting_parse_ms(const char *text, int64_t *out, struct error *err);
/* Whether variables with _FILE behind their names fill it, too: they name a file that has the text.
 */
bool setting_has_file(const struct setting *s);
/* -1 with the sentence for one that `what` (the provider, say) of this name needs. */
int setting_missing(const struct setting *s, const char *what, const char *name, struct error *err);

#endif
