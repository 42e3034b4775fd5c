#include "conf/providers.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/acme.h"
#include "conf/schema.h"
#include "conf/value.h"

#define MAX_EXTRAS 100000

static const struct item *find_item(const struct item *items, size_t n, const char *key)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(items[i].key->text, key))
			return &items[i];
	return NULL;
}

static bool is_one_of(const char *key, const char *const *keys)
{
	while (*keys && strcmp(*keys, key) != 0)
		keys++;
	return *keys;
}

static const struct option *find_row(const char *key)
{
	bool from_file;

	return option_find(&schema_autocert, key, &from_file);
}

/* What a key is, its default where it is not set. Returns new. */
static char *text_of(const struct node *map, const char *key)
{
	const struct node *n = node_get(map, key);
	char *text = n && n->kind == NODE_SCALAR ? value_expand(n->text, NULL) : NULL;

	return text ? text : mem_strdup(find_row(key)->fallback);
}

/* One word of an option may stand for another: dnsupdate is rfc2136. */
static bool same_word(const struct option *row, const char *a, const char *b)
{
	const struct option_word *x = NULL, *y = NULL;

	for (const struct option_word *w = row->words; w && w->name; w++) {
		if (strcmp(w->name, a) == 0)
			x = w;
		if (strcmp(w->name, b) == 0)
			y = w;
	}
	return x && y && x->value == y->value;
}

static bool sets_anew(const struct node *extra, const struct node *main, const char *key)
{
	char *own = text_of(extra, key), *of_main = text_of(main, key);
	bool anew = node_get(extra, key) && strcmp(own, of_main) != 0 &&
		    !same_word(find_row(key), own, of_main);

	free(own);
	free(of_main);
	return anew;
}

static bool is_set(const struct node *extra, const char *key)
{
	const struct node *n = node_get(extra, key);

	return n && n->kind != NODE_NULL;
}

/* The entries of an extra: what it takes over from main, then its own; null entries only unset.
 * Returns a new array; *quiet is the number of those taken over. */
static struct item *merge_extra(
	const struct node *main, const struct node *extra, size_t *n, size_t *quiet)
{
	static const char *const own[] = {"extra", "cert_path", "key_path", "acme_key_path", NULL};
	static const char *const of_ca[] = {"eab_kid", "eab_hmac", "eab_hmac_file", "profile",
		"ca_certs", "preferred_chain", NULL};
	size_t from_main = main && main->kind == NODE_MAP ? main->n : 0;
	struct item *items = mem_realloc_array(NULL, from_main + extra->n, sizeof(*items));
	bool new_provider = sets_anew(extra, main, "provider");
	bool new_ca = sets_anew(extra, main, "ca_dir_url");

	*n = 0;
	for (size_t i = 0; i < from_main; i++) {
		const char *key = main->items[i].key->text;
		bool dropped = is_one_of(key, own) || (new_ca && is_one_of(key, of_ca)) ||
			       (new_provider && !strcmp(key, "options"));

		for (size_t j = 0; j < extra->n && !dropped; j++)
			dropped = find_row(key) &&
				  find_row(extra->items[j].key->text) == find_row(key);
		if (!dropped)
			items[(*n)++] = main->items[i];
	}
	*quiet = *n;
	for (size_t i = 0; i < extra->n; i++)
		if (extra->items[i].value->kind != NODE_NULL ||
			!find_row(extra->items[i].key->text))
			items[(*n)++] = extra->items[i];
	return items;
}

/* A path as it is written, after ${}: what files are named after. */
static char *written_path(const struct item *items, size_t n, const char *key)
{
	const struct item *i = find_item(items, n, key);
	char *text = NULL;

	if (i && i->value->kind == NODE_SCALAR)
		text = value_expand(i->value->text, NULL);
	return text ? text : mem_strdup(find_row(key)->fallback);
}

static void load_options(struct option_loader *ld, const struct item *items, size_t n,
	size_t n_quiet, struct conf_autocert *a)
{
	const struct item *options = find_item(items, n, "options");
	const struct node *given = options ? options->value : NULL;
	struct problems *problems = ld->problems;
	size_t before = option_enter(ld, ".options");

	if (options && (size_t)(options - items) < n_quiet)
		ld->problems = NULL;
	if (conf_is_acme(a)) {
		acme_load_options(ld, given, a);
	} else {
		const struct option_map *map = a->provider == PROVIDER_PSEUDO
						       ? &schema_pseudo_options
						       : &schema_local_options;

		if (given)
			option_load(ld, map, given, a);
		else
			option_load_items(ld, map, NULL, NULL, 0, 0, a);
	}
	option_leave(ld, before);
	ld->problems = problems;
}

/* Domains that are there, but wrong, were told of. */
static void want_domains(struct option_loader *ld, const struct node *at, const struct item *items,
	size_t n, const struct conf_autocert *a)
{
	const struct item *domains = find_item(items, n, "domains");

	if (a->domains.n || (domains && (domains->value->kind != NODE_LIST || domains->value->n)))
		return;
	if (a->provider == PROVIDER_PSEUDO)
		option_problem(ld, at,
			"the provider pseudo needs domains: the names to put into its "
			"certificate");
	else if (conf_is_acme(a))
		option_problem(ld, at, "needs domains: the names to get a certificate for");
}

/* As a key or as its KEY_file. */
static bool is_given(const struct item *items, size_t n, const char *key)
{
	const struct option *row = find_row(key);

	while (n && find_row(items[n - 1].key->text) != row)
		n--;
	return n;
}

/* What an account of an ACME CA is made with. What is there, but wrong, was told of. */
static void want_account(
	struct option_loader *ld, const struct node *at, const struct item *items, size_t n)
{
	bool kid = is_given(items, n, "eab_kid"), hmac = is_given(items, n, "eab_hmac");

	if (!is_given(items, n, "email"))
		option_problem(ld, at,
			"needs an email: the CA's account is made with it, and it is where the CA "
			"writes to");
	if (kid && !hmac)
		option_problem(ld, at, "has an eab_kid without an eab_hmac: the CA gives both");
	if (hmac && !kid)
		option_problem(ld, at, "has an eab_hmac without an eab_kid: the CA gives both");
}

/* `main` NULL: it is main. */
static void load_provider(struct option_loader *ld, const struct node *at, const struct item *items,
	size_t n, size_t n_quiet, struct conf_autocert *a, const struct conf_autocert *main)
{
	char *cert_path = written_path(items, n, "cert_path");
	char *key_path = written_path(items, n, "key_path");

	a->provider = (enum conf_provider) - 1; /* stays when the name is a wrong one */
	option_load_items(ld, &schema_autocert, at, items, n, n_quiet, a);
	if (a->provider != (enum conf_provider) - 1) {
		load_options(ld, items, n, n_quiet, a);
		want_domains(ld, at, items, n, a);
		if (conf_is_acme(a))
			want_account(ld, at, items, n);
		acme_complete(ld, a, main, find_item(items, n, "ca_dir_url") != NULL, cert_path,
			key_path);
	}
	free(cert_path);
	free(key_path);
}

static void load_extra(struct option_loader *ld, const struct node *main, const struct node *extra,
	struct conf_autocert *a, const struct conf_autocert *first)
{
	size_t n, quiet;
	struct item *items;

	if (extra->kind != NODE_MAP) {
		option_want_kind(ld, extra, NODE_MAP); /* says so */
		return;
	}
	if (!is_set(extra, "cert_path") || !is_set(extra, "key_path"))
		option_problem(ld, extra, "needs a cert_path and a key_path of its own");
	if (node_get(extra, "extra"))
		option_problem(ld, extra, "cannot have an extra of its own");
	items = merge_extra(main, extra, &n, &quiet);
	load_provider(ld, extra, items, n, quiet, a, first);
	free(items);
	/* A default that is main's file would be one more problem. */
	if (!is_set(extra, "cert_path")) {
		free(a->cert_path);
		a->cert_path = NULL;
	}
	if (!is_set(extra, "key_path")) {
		free(a->key_path);
		a->key_path = NULL;
	}
}

struct path_use {
	const char *path;
	size_t provider;
	const char *key;
};

static int compare_paths(const void *a, const void *b)
{
	const struct path_use *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	if (!order)
		order = (x->provider > y->provider) - (x->provider < y->provider);
	return order ? order : strcmp(x->key, y->key);
}

/* Every file of every provider is its own; but an account key, which several may share. */
static void check_paths(struct option_loader *ld, const struct conf *conf)
{
	struct path_use *uses = mem_zalloc(3 * conf->n_providers * sizeof(*uses));
	size_t n = 0;

	for (size_t i = 0; i < conf->n_providers; i++) {
		const struct conf_autocert *a = &conf->providers[i];

		if (a->cert_path)
			uses[n++] = (struct path_use){a->cert_path, i, "cert_path"};
		if (a->key_path)
			uses[n++] = (struct path_use){a->key_path, i, "key_path"};
		if (conf_is_acme(a) && a->acme_key_path)
			uses[n++] = (struct path_use){a->acme_key_path, i, "acme_key_path"};
	}
	qsort(uses, n, sizeof(*uses), compare_paths);
	for (size_t i = 1; i < n; i++) {
		const struct conf_autocert *a = &conf->providers[uses[i].provider];
		struct node at = {.line = a->place.line, .column = a->place.column};
		size_t before;

		if (strcmp(uses[i].path, uses[i - 1].path) != 0 ||
			(!strcmp(uses[i].key, "acme_key_path") &&
				!strcmp(uses[i - 1].key, "acme_key_path")))
			continue;
		before = option_enter(ld, "autocert%s%s.%s", uses[i].provider ? "." : "",
			uses[i].provider ? a->name : "", uses[i].key);
		option_problem(ld, at.line ? &at : NULL, "is the %s of %s too: %.300s",
			uses[i - 1].key, conf->providers[uses[i - 1].provider].name, uses[i].path);
		option_leave(ld, before);
	}
	free(uses);
}

void providers_load(struct option_loader *ld, const struct node *root, struct conf *conf)
{
	const struct node *node = node_get(root, "autocert"), *extra = node_get(node, "extra");
	size_t before = option_enter(ld, "autocert"), in, n = 0;
	bool is_map = node && node->kind == NODE_MAP;

	if (node && !is_map)
		option_want_kind(ld, node, NODE_MAP); /* says so */
	if (extra && extra->kind != NODE_LIST) {
		in = option_enter(ld, ".extra");
		option_problem(ld, extra, "takes a list of maps of keys");
		option_leave(ld, in);
	} else if (extra && extra->n > MAX_EXTRAS) {
		in = option_enter(ld, ".extra");
		option_problem(ld, extra, "has %zu entries, %d are possible", extra->n, MAX_EXTRAS);
		option_leave(ld, in);
	} else if (extra) {
		n = extra->n;
	}
	conf->providers = mem_zalloc((1 + n) * sizeof(*conf->providers));
	conf->n_providers = 1 + n;
	conf->providers[0].name = mem_strdup("main");
	load_provider(ld, is_map ? node : NULL, is_map ? node->items : NULL, is_map ? node->n : 0,
		0, &conf->providers[0], NULL);
	for (size_t i = 1; i <= n; i++) {
		conf->providers[i].name = mem_printf("extra[%zu]", i);
		in = option_enter(ld, ".%s", conf->providers[i].name);
		load_extra(ld, node, extra->items[i - 1].value, &conf->providers[i],
			&conf->providers[0]);
		option_leave(ld, in);
	}
	option_leave(ld, before);
	check_paths(ld, conf);
}

void providers_clear(struct conf *conf)
{
	for (size_t i = 0; i < conf->n_providers; i++) {
		acme_clear(&conf->providers[i]);
		option_clear(&schema_autocert, &conf->providers[i]);
		free(conf->providers[i].name);
	}
	free(conf->providers);
}

bool conf_is_acme(const struct conf_autocert *a)
{
	return a->provider >= PROVIDER_RFC2136;
}

size_t conf_provider_words(enum conf_provider provider, const char **out, size_t max)
{
	size_t n = 0;

	for (const struct option_word *w = find_row("provider")->words; w->name; w++) {
		if (w->value != (int)provider)
			continue;
		if (n < max)
			out[n] = w->name;
		n++;
	}
	return n;
}

const char *conf_provider_name(const struct conf_autocert *a)
{
	const char *name = NULL;

	conf_provider_words(a->provider, &name, 1);
	assert(name);
	return name;
}
