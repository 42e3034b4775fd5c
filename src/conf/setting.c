#include "conf/setting.h"

#include <string.h>

#include "base/str.h"

#define DURATION_MS (INT64_C(7) * 86400000)

const char *setting_text(const struct setting_value *v)
{
	return v->list.n ? v->list.v[0] : NULL;
}

bool setting_is_true(const struct setting_value *v)
{
	const char *text = setting_text(v);

	return text && strcmp(text, "true") == 0;
}

bool setting_has_file(const struct setting *s)
{
	return s->type == SETTING_SECRET || s->type == SETTING_TEXT;
}

int setting_missing(const struct setting *s, const char *what, const char *name, struct error *err)
{
	bool secret = s->type == SETTING_SECRET;

	return error_set(err,
		"%s is missing: %s %s needs it, here%s%s%s or in the environment as %s", s->key,
		what, name, secret ? " (or as " : "", secret ? s->key : "", secret ? "_file)" : "",
		s->env[0]);
}

int setting_parse_ms(const char *text, int64_t *out, struct error *err)
{
	static const struct {
		const char *name;
		int64_t factor;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	const char *p = text;
	char shown[80];
	bool good = *text;

	*out = 0;
	while (*p && good && *out <= DURATION_MS) {
		size_t digits = strspn(p, "0123456789"), len, u = 0;
		int64_t n = 0;

		for (size_t i = 0; i < digits && i < 9; i++)
			n = n * 10 + (p[i] - '0');
		p += digits;
		len = strcspn(p, "0123456789");
		while (u < 5 && (strlen(units[u].name) != len || strncmp(p, units[u].name, len)))
			u++;
		good = digits && digits <= 9 && u < 5;
		if (good)
			*out += n * units[u].factor;
		p += len;
	}
	str_escape(shown, sizeof(shown), text, strlen(text));
	if (!good)
		return error_set(
			err, "\"%s\" is no time up to a week: write it like 90s or 1m30s", shown);
	if (*out < 1 || *out > DURATION_MS)
		return error_set(err, "\"%s\" is out of range, 1ms to 7d are possible", shown);
	return 0;
}

int64_t setting_ms(const struct setting_value *v, int64_t otherwise)
{
	const char *text = setting_text(v);
	int64_t ms;

	return text && setting_parse_ms(text, &ms, NULL) == 0 ? ms : otherwise;
}
