/* Options of DNS providers: from the file, by the provider's own names or those of its variables,
 * and from the environment where they are not in the file. */
#include <ctype.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/value.h"
#include "dns/ops.h"

#define FILE_MAX ((size_t)64 << 10)
#define TTL_MAX  604800

const char *dns_value(const struct dns_provider *p, size_t row)
{
	return setting_text(&p->values[row]);
}

bool dns_is_true(const struct dns_provider *p, size_t row)
{
	return setting_is_true(&p->values[row]);
}

int64_t dns_value_ms(const struct dns_provider *p, size_t row, int64_t otherwise)
{
	return setting_ms(&p->values[row], otherwise);
}

/* --- keys --- */

/* Letter case and underscores are ignored. */
static bool same_key(const char *a, const char *b)
{
	for (;;) {
		a += strspn(a, "_");
		b += strspn(b, "_");
		if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
			return false;
		if (!*a)
			return true;
		a++;
		b++;
	}
}

static bool is_key_of(const struct setting *row, const char *key)
{
	bool is = same_key(row->key, key);

	for (size_t i = 0; !is && i < SETTING_ENV_MAX && row->env[i]; i++)
		is = same_key(row->env[i], key);
	return is;
}

/* The row of a key, n_options when there is none; *from_file: it is a secret's KEY_file. */
static size_t find_row(const struct dns_ops *ops, const char *key, bool *from_file)
{
	size_t len = strlen(key), row = 0;
	char *without;

	*from_file = false;
	while (row < ops->n_options && !is_key_of(&ops->options[row], key))
		row++;
	if (row < ops->n_options || len <= 4 || strcasecmp(key + len - 4, "file") != 0)
		return row;
	without = mem_strndup(key, len - 4);
	for (row = 0; row < ops->n_options; row++)
		if (ops->options[row].type == SETTING_SECRET &&
			is_key_of(&ops->options[row], without))
			break;
	*from_file = row < ops->n_options;
	free(without);
	return row;
}

/* --- problems --- */

/* Options that an extra has taken over from main are main's: their problems are told once. */
static bool is_main_s(const struct conf *c, const struct conf_autocert *a)
{
	const struct conf_autocert *main = &c->providers[0];

	if (a == main || a->provider != main->provider || a->n_options != main->n_options)
		return a == main;
	return !a->n_options ||
	       (a->options[0].place.line == main->options[0].place.line &&
		       a->options[0].place.column == main->options[0].place.column);
}

__attribute__((format(printf, 5, 6))) static void problem(const struct conf *c,
	const struct conf_autocert *a, struct problems *p, const struct conf_option *o,
	const char *fmt, ...)
{
	char what[ERROR_MAX], path[200];
	bool main_s = is_main_s(c, a);
	size_t before = p->n;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	snprintf(path, sizeof(path), "autocert%s%s.options%s%.100s", main_s ? "" : ".",
		main_s ? "" : a->name, o ? "." : "", o ? o->key : "");
	conf_problem(p, c,
		o        ? o->place
		: main_s ? c->providers[0].place
			 : a->place,
		path, "%s", what);
	for (size_t i = 0; p->n > before && i < before; i++)
		if (strcmp(p->lines[i], p->lines[before]) == 0)
			free(p->lines[--p->n]);
}

/* Where the file has the option that a sentence begins with; NULL = it has not. */
static const struct conf_option *find_option(
	const struct dns_ops *ops, const struct conf_autocert *a, const char *what, size_t len)
{
	bool from_file;

	for (size_t row = 0; ops && row < ops->n_options; row++) {
		const char *key = ops->options[row].key;

		if (strlen(key) != len || strncmp(key, what, len) != 0)
			continue;
		for (size_t i = 0; i < a->n_options; i++)
			if (find_row(ops, a->options[i].key, &from_file) == row)
				return &a->options[i];
	}
	return NULL;
}

void dns_options_problem(const struct conf *c, const struct conf_autocert *a,
	const struct dns_ops *ops, struct problems *problems, const char *what)
{
	size_t len = strcspn(what, ": ");
	const struct conf_option *o = find_option(ops, a, what, len);

	if (o && strncmp(what + len, ": ", 2) == 0) /* its place has the name already */
		what += len + 2;
	problem(c, a, problems, o, "%s", what);
}

/* --- values --- */

struct loader {
	struct dns_provider *p;
	const struct conf *conf;
	const struct conf_autocert *autocert;
	struct problems *problems;
	bool bad;
	const char *given[DNS_OPTIONS_MAX]; /* the spelling that was there before */
};

#define PROBLEM(l, o, ...)                                                                         \
	((l)->bad = true, problem((l)->conf, (l)->autocert, (l)->problems, o, __VA_ARGS__))

static void add_value(struct conf_strings *to, char *text)
{
	*(char **)mem_grow(&to->v, to->n++, sizeof(*to->v)) = text;
}

/* Entries without the blanks around them. */
static void add_list(struct conf_strings *to, const char *text)
{
	while (*text) {
		size_t len;

		text += strspn(text, ", \t");
		len = strcspn(text, ", \t");
		if (len)
			add_value(to, mem_strndup(text, len));
		text += len;
	}
}

/* What was read for a row is put into its place, checked. */
static int take_value(struct loader *l, size_t row, const char *text, struct error *err)
{
	struct conf_strings *to = &l->p->values[row].list;
	int64_t n;

	if (!*text)
		return l->p->ops->options[row].empty ? 0 : error_set(err, "is empty");
	switch (l->p->ops->options[row].type) {
	case SETTING_TEXT:
	case SETTING_WORDS:
	case SETTING_SECRET:
	case SETTING_URL: break;
	case SETTING_MAP: return error_set(err, "takes a map");
	case SETTING_BOOL:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return error_set(err, "is neither true nor false");
		break;
	case SETTING_PATH: add_value(to, file_resolve(l->conf->state_dir, text)); return 0;
	case SETTING_LIST: add_list(to, text); return 0;
	case SETTING_SECONDS:
		if (value_int(text, 1, TTL_MAX, &n, err) < 0)
			return -1;
		break;
	case SETTING_DURATION:
		if (setting_parse_ms(text, &n, err) < 0)
			return -1;
		break;
	}
	add_value(to, mem_strdup(text));
	return 0;
}

static int take_file(struct loader *l, size_t row, const char *path, struct error *err)
{
	char *resolved = file_resolve(l->conf->state_dir, path);
	size_t len = 0, full;
	char *text = file_read(resolved, FILE_MAX, &len, err);
	int rc = -1;

	full = len;
	while (text && len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		text[--len] = '\0';
	if (text && strlen(text) != len)
		error_set(err, "%s holds binary data, a text is wanted", resolved);
	else if (text && !l->p->ops->options[row].lines && strpbrk(text, "\r\n"))
		error_set(err, "%s holds more than one line, and nothing but the %s is wanted",
			resolved, l->p->ops->options[row].key);
	else if (text && (rc = take_value(l, row, text, err)) < 0)
		error_prefix(err, "the text in %s", resolved);
	if (text)
		OPENSSL_cleanse(text, full);
	free(text);
	free(resolved);
	return rc;
}

/* --- the file --- */

static void unknown_option(struct loader *l, const struct conf_option *o)
{
	const struct dns_ops *ops = l->p->ops;
	const char *keys[DNS_OPTIONS_MAX * (1 + SETTING_ENV_MAX)], *near;
	size_t n = 0;

	for (size_t i = 0; i < ops->n_options; i++) {
		keys[n++] = ops->options[i].key;
		for (size_t e = 0; e < SETTING_ENV_MAX; e++)
			keys[n++] = ops->options[i].env[e];
	}
	near = str_nearest(o->key, keys, n);
	if (near)
		PROBLEM(l, o, "the provider %s has no such option; did you mean \"%s\"?",
			l->p->name, near);
	else
		PROBLEM(l, o,
			"the provider %s has no such option: `lintel help providers %s` tells what "
			"it has",
			l->p->name, l->p->name);
}

/* An entry "outer.inner" of a map, which keeps its letter case. */
static bool take_map_entry(struct loader *l, const struct conf_option *o)
{
	const struct dns_ops *ops = l->p->ops;
	size_t len = strcspn(o->key, "."), row = 0;
	char *outer = mem_strndup(o->key, len);

	while (row < ops->n_options &&
		(ops->options[row].type != SETTING_MAP || !is_key_of(&ops->options[row], outer)))
		row++;
	free(outer);
	if (!o->key[len] || row == ops->n_options)
		return false;
	if (o->values.n == 1)
		add_value(&l->p->values[row].list,
			mem_printf("%s: %s", o->key + len + 1, o->values.v[0]));
	else
		PROBLEM(l, o, "takes a single value");
	return true;
}

static void take_option(struct loader *l, const struct conf_option *o)
{
	const struct dns_ops *ops = l->p->ops;
	bool from_file;
	size_t row = find_row(ops, o->key, &from_file);
	struct error err;

	if (take_map_entry(l, o))
		return;

	if (row == ops->n_options) {
		unknown_option(l, o);
		return;
	}
	if (l->given[row]) {
		PROBLEM(l, o, "is the same option as \"%.100s\": keep one of them", l->given[row]);
		return;
	}
	l->given[row] = o->key;
	if (o->values.n != 1 && ops->options[row].type != SETTING_LIST &&
		ops->options[row].type != SETTING_WORDS)
		PROBLEM(l, o, "takes a single value");
	else
		for (size_t i = 0; i < o->values.n; i++)
			if ((from_file ? take_file(l, row, o->values.v[i], &err)
				       : take_value(l, row, o->values.v[i], &err)) < 0)
				PROBLEM(l, o, "%s", err.text);
}

/* --- the environment --- */

/* NULL for what is another spelling of a key, which has no capitals. */
static const char *get_variable(const char *name)
{
	const char *value = isupper((unsigned char)*name) ? getenv(name) : NULL;

	return value && *value ? value : NULL;
}

/* Bare numbers are seconds there. */
static int take_variable(struct loader *l, size_t row, const char *value, struct error *err)
{
	char *seconds;
	int rc;

	if (l->p->ops->options[row].type != SETTING_DURATION ||
		strspn(value, "0123456789") != strlen(value))
		return take_value(l, row, value, err);
	seconds = mem_printf("%ss", value);
	rc = take_value(l, row, seconds, err);
	free(seconds);
	return rc;
}

/* False when the environment has nothing for the row. */
static bool take_from_environment(struct loader *l, size_t row)
{
	const struct setting *o = &l->p->ops->options[row];
	struct error err;

	for (size_t i = 0; i < SETTING_ENV_MAX && o->env[i]; i++) {
		const char *value = get_variable(o->env[i]);

		if (!value)
			continue;
		if (take_variable(l, row, value, &err) < 0)
			PROBLEM(l, NULL, "the environment's %s: %s", o->env[i], err.text);
		return true;
	}
	for (size_t i = 0; setting_has_file(o) && i < SETTING_ENV_MAX && o->env[i]; i++) {
		char *name = mem_printf("%s_FILE", o->env[i]);
		const char *path = get_variable(name);

		if (path && take_file(l, row, path, &err) < 0)
			PROBLEM(l, NULL, "the environment's %s: %s", name, err.text);
		free(name);
		if (path)
			return true;
	}
	return false;
}

const char *dns_options_key_of(
	const struct dns_ops *ops, const struct dns_ops *other, const struct conf_autocert *a)
{
	bool from_file;

	for (size_t i = 0; i < a->n_options; i++) {
		const char *key = a->options[i].key;

		if (find_row(ops, key, &from_file) < ops->n_options &&
			find_row(other, key, &from_file) == other->n_options)
			return key;
	}
	return NULL;
}

static bool is_in_environment(const struct setting *o)
{
	bool is = false;

	for (size_t i = 0; !is && i < SETTING_ENV_MAX && o->env[i]; i++) {
		char *file = mem_printf("%s_FILE", o->env[i]);

		is = get_variable(o->env[i]) || (setting_has_file(o) && get_variable(file));
		free(file);
	}
	return is;
}

bool dns_options_in_environment(const struct dns_ops *ops)
{
	for (size_t row = 0; row < ops->n_options; row++)
		if (ops->options[row].required && !is_in_environment(&ops->options[row]))
			return false;
	return true;
}

static int check_ttl(const struct dns_provider *p, struct error *err)
{
	const char *given = dns_value(p, DNS_TTL);
	const unsigned long ttl = given ? strtoul(given, NULL, 10) : 0;
	const struct dns_ops *ops = p->ops;
	char automatic[40] = "";

	if (!given || ttl >= ops->ttl_min || (ops->ttl_auto && ttl == ops->ttl_auto))
		return 0;
	if (ops->ttl_auto)
		snprintf(automatic, sizeof(automatic), ", but for %u: automatic", ops->ttl_auto);
	return error_set(err, "ttl: the provider %s takes none below %u%s", p->name, ops->ttl_min,
		automatic);
}

int dns_options_load(struct dns_provider *p, const struct conf *c, const struct conf_autocert *a,
	struct problems *problems)
{
	struct loader l = {.p = p, .conf = c, .autocert = a, .problems = problems};
	const struct dns_ops *ops = p->ops;
	struct error err;

	for (size_t i = 0; i < a->n_options; i++)
		take_option(&l, &a->options[i]);
	for (size_t row = 0; row < ops->n_options; row++) {
		const struct setting *o = &ops->options[row];

		p->values[row].row = o;
		if (l.given[row])
			continue;
		p->values[row].from_environment = take_from_environment(&l, row);
		if (p->values[row].from_environment)
			continue;
		if (o->fallback)
			add_value(&p->values[row].list, mem_strdup(o->fallback));
		else if (o->required && setting_missing(o, "the provider", p->name, &err) < 0)
			PROBLEM(&l, NULL, "%s", err.text);
	}
	if (l.bad)
		return -1;
	if (check_ttl(p, &err) < 0) {
		dns_options_problem(c, a, ops, problems, err.text);
		return -1;
	}
	p->ttl = p->values[DNS_TTL].list.n ? (uint32_t)strtoul(dns_value(p, DNS_TTL), NULL, 10)
					   : ops->ttl;
	p->patience.timeout_ms = dns_value_ms(p, DNS_PROPAGATION_TIMEOUT, ops->patience.timeout_ms);
	p->patience.interval_ms = dns_value_ms(p, DNS_POLLING_INTERVAL, ops->patience.interval_ms);
	return 0;
}

void dns_options_clear(struct dns_provider *p)
{
	for (size_t row = 0; row < DNS_OPTIONS_MAX; row++) {
		struct conf_strings *s = &p->values[row].list;

		for (size_t i = 0; i < s->n; i++) {
			OPENSSL_cleanse(s->v[i], strlen(s->v[i]));
			free(s->v[i]);
		}
		free(s->v);
		*s = (struct conf_strings){0};
	}
}
