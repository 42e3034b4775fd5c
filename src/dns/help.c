#include "dns/help.h"

#include <ctype.h>
#include <string.h>

#include "base/str.h"
#include "dns/api.h"

#define WORDS_MAX 8 /* of one provider */
#define CLOUDDNS  "Google's (gcloud) or CloudDNS.cz (clouddns_cz), as its options tell"
#define CLOUDDNS_MORE                                                                              \
	"\n`lintel help providers gcloud` and `lintel help providers clouddns_cz` tell those.\n"

/* What a provider is, for people; NULL = it is none. */
static const char *help_of(enum conf_provider provider)
{
	if (provider == PROVIDER_CLOUDDNS)
		return CLOUDDNS;
	return dns_ops_of(provider) ? dns_ops_of(provider)->help : NULL;
}

/* A variable, and no other spelling of the key. */
static bool is_variable(const char *name)
{
	return isupper((unsigned char)*name);
}

/* Whether it stands further in front already: where both beginnings of DNS_ENV() are one. */
static bool is_told(const struct setting *o, size_t env)
{
	for (size_t i = 0; i < env; i++)
		if (strcmp(o->env[i], o->env[env]) == 0)
			return true;
	return false;
}

static void print_names(FILE *out, const struct setting *o)
{
	const char *between = "      also ";

	if (o->type == SETTING_SECRET) {
		fprintf(out, "%s%s_file", between, o->key);
		between = ", ";
	}
	for (size_t i = 0; i < SETTING_ENV_MAX && o->env[i]; i++) {
		if (is_variable(o->env[i]))
			continue;
		fprintf(out, "%s%s", between, o->env[i]);
		between = ", ";
	}
	if (*between == ',')
		fputc('\n', out);
	between = "      environment: ";
	for (size_t i = 0; i < SETTING_ENV_MAX && o->env[i]; i++) {
		if (!is_variable(o->env[i]) || is_told(o, i))
			continue;
		fprintf(out, "%s%s", between, o->env[i]);
		between = ", ";
	}
	if (*between == ',')
		fprintf(out, "%s\n", setting_has_file(o) ? "; each also with _FILE" : "");
}

static void print_default(FILE *out, const struct dns_ops *ops, size_t row)
{
	if (row == DNS_TTL && ops->ttl)
		fprintf(out, ", default %u", ops->ttl);
	else if (row == DNS_TTL)
		fprintf(out, ", of no use here");
	else if (row == DNS_PROPAGATION_TIMEOUT)
		fprintf(out, ", default %llds", (long long)ops->patience.timeout_ms / 1000);
	else if (row == DNS_POLLING_INTERVAL)
		fprintf(out, ", default %llds", (long long)ops->patience.interval_ms / 1000);
	else if (ops->options[row].fallback)
		fprintf(out, ", default %s", ops->options[row].fallback);
	else if (ops->options[row].required)
		fprintf(out, ", required");
}

static void print_option(FILE *out, const struct dns_ops *ops, size_t row)
{
	static const char *const types[] = {[SETTING_TEXT] = "text",
		[SETTING_BOOL] = "true or false",
		[SETTING_URL] = "URL",
		[SETTING_SECRET] = "secret",
		[SETTING_PATH] = "path",
		[SETTING_LIST] = "list",
		[SETTING_WORDS] = "list",
		[SETTING_MAP] = "map",
		[SETTING_SECONDS] = "whole number",
		[SETTING_DURATION] = "time"};
	const struct setting *o = &ops->options[row];

	fprintf(out, "  %s (%s", o->key, types[o->type]);
	print_default(out, ops, row);
	fprintf(out, ")\n");
	if (o->help)
		fprintf(out, "      %s\n", o->help);
	print_names(out, o);
}

/* What is its own comes first, then what every provider (with an API) has. */
static void print_options(FILE *out, const struct dns_ops *ops)
{
	bool has_api = ops->n_options > DNS_BASE_URL &&
		       strcmp(ops->options[DNS_BASE_URL].key, "base_url") == 0;
	size_t own = has_api ? DNS_API_OWN_OPTIONS : DNS_OWN_OPTIONS;

	fprintf(out, "\nIts options, in autocert.options:\n\n");
	for (size_t row = own; row < ops->n_options; row++)
		print_option(out, ops, row);
	for (size_t row = 0; row < own; row++)
		print_option(out, ops, row);
}

static void print_all(FILE *out)
{
	const char *words[WORDS_MAX];

	fprintf(out, "DNS providers, for autocert.provider:\n\n");
	for (int i = 0; i < N_PROVIDERS; i++) {
		size_t n = conf_provider_words(i, words, WORDS_MAX);

		if (!help_of(i) || !n)
			continue;
		fprintf(out, "  %-13s %s", words[0], help_of(i));
		for (size_t w = 1; w < n; w++)
			fprintf(out, "%s%s", w > 1 ? ", " : "; also called ", words[w]);
		fputc('\n', out);
	}
	fprintf(out,
		"\n`lintel help providers NAME` tells the options of one; lintel.yaml(5) has an "
		"example for each.\n");
}

int dns_help(FILE *out, const char *name)
{
	const char *words[N_PROVIDERS * WORDS_MAX], *near;
	size_t total = 0;

	if (!name) {
		print_all(out);
		return 0;
	}
	for (int i = 0; i < N_PROVIDERS; i++) {
		size_t n = conf_provider_words(i, words + total, WORDS_MAX);

		for (size_t w = 0; help_of(i) && w < n; w++) {
			if (strcmp(words[total + w], name) != 0)
				continue;
			fprintf(out, "%s: %s\n", words[total], help_of(i));
			if (dns_ops_of(i))
				print_options(out, dns_ops_of(i));
			else
				fprintf(out, CLOUDDNS_MORE);
			return 0;
		}
		total += help_of(i) ? n : 0;
	}
	near = str_nearest(name, words, total);
	fprintf(stderr, "lintel: there is no DNS provider \"%s\"%s%s%s\n", name,
		near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
	return -1;
}
