#include "conf/value.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define DIGITS   "0123456789"
#define LETTERS  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define SHOW_MAX 80 /* bytes of a value that a sentence shows */
#define RATE_MAX 1000000

struct unit {
	const char *name;
	int64_t factor;
};

static const struct unit duration_units[] = {/* the largest first */
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const struct unit rate_units[] = {/* in nanoseconds */
	{"/s", 1000000000}, {"/m", 60 * INT64_C(1000000000)}, {"/h", 3600 * INT64_C(1000000000)},
	{NULL, 0}};

/* What stands behind "${". Returns the rest behind "}", NULL with a sentence. */
static const char *expand_variable(struct str *out, const char *p, struct error *err)
{
	size_t len = strspn(p, LETTERS DIGITS), n;
	const char *value, *end;
	char *name;

	if (!len || strchr(DIGITS, *p) || (p[len] != '}' && strncmp(p + len, ":-", 2) != 0)) {
		error_set(err, "after \"${\" a name and \"}\" or \":-default}\" are wanted; "
			       "a dollar sign itself is written $$");
		return NULL;
	}
	end = strchr(p + len, '}');
	if (!end) {
		error_set(err, "\"${\" is not closed; a dollar sign itself is written $$");
		return NULL;
	}
	name = mem_strndup(p, len);
	value = getenv(name);
	if (*(p += len) == '}') {
		if (value)
			str_add(out, value, strlen(value));
		else
			error_set(err,
				"the environment variable %s is not set; ${%s:-default} gives a "
				"default",
				name, name);
		free(name);
		return value ? end + 1 : NULL;
	}
	free(name);
	if (value && *value) {
		str_add(out, value, strlen(value));
		return end + 1;
	}
	for (p += 2; p < end; p += n) {
		n = 1;
		if (*p == '$' && p[1] == '{') {
			error_set(err, "the default of a \"${\" cannot hold another one");
			return NULL;
		}
		str_add(out, p, 1);
		if (*p == '$' && p[1] == '$')
			n = 2;
	}
	return end + 1;
}

char *value_expand(const char *text, struct error *err)
{
	struct str out = {0};
	const char *p = text;
	size_t n;

	str_add(&out, "", 0);
	while (p && *p) {
		n = strcspn(p, "$");
		str_add(&out, p, n);
		p += n;
		if (!*p)
			break;
		if (p[1] == '{') {
			p = expand_variable(&out, p + 2, err);
		} else {
			str_add(&out, "$", 1);
			p += p[1] == '$' ? 2 : 1;
		}
		if (out.len > VALUE_MAX_BYTES) {
			error_set(err,
				"the value has more than 1 MiB when its variables are expanded");
			p = NULL;
		}
	}
	if (!p) {
		str_clear(&out);
		return NULL;
	}
	return out.data;
}

static const char *show(char out[SHOW_MAX], const char *text)
{
	return str_escape(out, SHOW_MAX, text, strlen(text));
}

int value_bool(const char *text, bool *out, struct error *err)
{
	char shown[SHOW_MAX];

	*out = !strcmp(text, "true");
	if (*out || !strcmp(text, "false"))
		return 0;
	return error_set(err, "\"%s\" is neither true nor false", show(shown, text));
}

/* Reads the digits that `text` begins with, INT64_MAX when they are too many. */
static int64_t read_digits(const char *text, size_t n)
{
	int64_t value = 0;

	for (size_t i = 0; i < n; i++)
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, text[i] - '0', &value))
			return INT64_MAX;
	return value;
}

int value_int(const char *text, int64_t min, int64_t max, int64_t *out, struct error *err)
{
	char shown[SHOW_MAX];
	bool negative = *text == '-';
	const char *digits = text + negative;
	size_t n = strspn(digits, DIGITS);

	show(shown, text);
	if (!n || digits[n] || (n > 1 && *digits == '0'))
		return error_set(err, "\"%s\" is no whole number", shown);
	*out = read_digits(digits, n);
	if (negative)
		*out = -*out;
	if (*out >= min && *out <= max)
		return 0;
	return error_set(err, "%s is out of range, %" PRId64 " to %" PRId64 " are possible", shown,
		min, max);
}

static const struct unit *unit_of(int64_t value, const struct unit *units)
{
	while (units[1].name && (value % units->factor || !value))
		units++;
	return units;
}

int value_duration(const char *text, int64_t min, int64_t max, int64_t *out, struct error *err)
{
	char shown[SHOW_MAX];
	size_t n = strspn(text, DIGITS);
	const struct unit *u = duration_units, *low = unit_of(min, u), *high = unit_of(max, u);

	show(shown, text);
	if (*text == '-')
		return error_set(err, "\"%s\" is negative: a time is written like 5s", shown);
	if (n && !text[n])
		return error_set(err, "\"%s\" has no unit: write %.20ss, or with ms, m, h or d",
			shown, shown);
	while (n && u->name && strcmp(text + n, u->name) != 0)
		u++;
	if (!n || !u->name)
		return error_set(err,
			"\"%s\" is no time: write a whole number and ms, s, m, h or d, like 5s",
			shown);
	if (!__builtin_mul_overflow(read_digits(text, n), u->factor, out) && *out >= min &&
		*out <= max)
		return 0;
	return error_set(err, "\"%s\" is out of range, %" PRId64 "%s to %" PRId64 "%s are possible",
		shown, min / low->factor, low->name, max / high->factor, high->name);
}

int value_rate(const char *text, int64_t *every_ns, struct error *err)
{
	char shown[SHOW_MAX];
	size_t n = strspn(text, DIGITS);
	const struct unit *u = rate_units;
	int64_t count = read_digits(text, n);

	show(shown, text);
	while (n && u->name && strcmp(text + n, u->name) != 0)
		u++;
	if (!n || !u->name)
		return error_set(err,
			"\"%s\" is no rate: write a whole number and /s, /m or /h, like 50/s",
			shown);
	if (count < 1 || count > RATE_MAX)
		return error_set(err, "\"%s\" is out of range, 1%s to %d%s are possible", shown,
			u->name, RATE_MAX, u->name);
	*every_ns = u->factor / count;
	return 0;
}

int value_statuses(const char *text, int status, struct error *err)
{
	char shown[SHOW_MAX];
	const char *p = text;
	int found = 0;

	do {
		size_t n = strspn(p, DIGITS), m = n;
		int64_t low = read_digits(p, n), high = low;

		p += n;
		if (*p == '-') {
			m = strspn(++p, DIGITS);
			high = read_digits(p, m);
			p += m;
		}
		if (n != 3 || m != 3 || low < 100 || high > 599 || low > high || (*p != ',' && *p))
			return error_set(err,
				"\"%s\" is no set of statuses, 100 to 599: write 200, or "
				"200-299,301",
				show(shown, text));
		found |= low <= status && status <= high;
	} while (*p++);
	return found;
}
