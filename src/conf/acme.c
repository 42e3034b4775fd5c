#include "conf/acme.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "conf/value.h"

#define MAX_OPTIONS 1000

/* ---- options of DNS providers ---- */

static void load_value(struct option_loader *ld, const struct node *node, struct conf_option *o)
{
	struct error err;
	char *text = NULL;

	if (!option_want_kind(ld, node, NODE_SCALAR))
		return;
	text = value_expand(node->text, &err);
	if (text)
		*(char **)mem_grow(&o->values.v, o->values.n++, sizeof(*o->values.v)) = text;
	else
		option_problem(ld, node, "%s", err.text);
}

/* `prefix` is "outer." within a map. */
static void load_map(struct option_loader *ld, const struct node *map, const char *prefix,
	struct conf_autocert *a)
{
	for (size_t i = 0; i < map->n && a->n_options < MAX_OPTIONS; i++) {
		const struct node *key = map->items[i].key, *value = map->items[i].value;
		char *name = mem_printf("%s%s", prefix, key->text);
		size_t before = option_enter(ld, ".%.100s", key->text);
		struct conf_option *o;

		if (value->kind == NODE_NULL) {
			free(name); /* as if it were not there */
		} else if (value->kind == NODE_MAP && !*prefix) {
			char *inner = mem_printf("%s.", name);

			load_map(ld, value, inner, a);
			free(inner);
			free(name);
		} else {
			o = mem_grow(&a->options, a->n_options++, sizeof(*o));
			o->place = (struct conf_place){key->line, key->column};
			o->key = name;
			if (value->kind == NODE_LIST)
				for (size_t j = 0; j < value->n && j < MAX_OPTIONS; j++)
					load_value(ld, value->items[j].value, o);
			else
				load_value(ld, value, o);
		}
		option_leave(ld, before);
	}
}

void acme_load_options(
	struct option_loader *ld, const struct node *options, struct conf_autocert *a)
{
	if (options && options->kind != NODE_NULL && option_want_kind(ld, options, NODE_MAP))
		load_map(ld, options, "", a);
}

/* ---- what follows from the options ---- */

static void resolve_paths(const struct option_loader *ld, struct conf_strings *paths)
{
	for (size_t i = 0; i < paths->n; i++) {
		char *path = file_resolve(ld->state_dir, paths->v[i]);

		free(paths->v[i]);
		paths->v[i] = path;
	}
}

static void hash_hex(char *hex, size_t bytes, const char *text, size_t len)
{
	unsigned char hash[SHA256_DIGEST_LENGTH];

	SHA256((const unsigned char *)text, len, hash);
	str_hex(hex, hash, bytes);
}

static char *default_account_key(const struct option_loader *ld, const char *ca_dir_url, bool given)
{
	char hex[17], *name, *path;

	hash_hex(hex, 8, ca_dir_url, strlen(ca_dir_url));
	name = given ? mem_printf("certs/acme_%s.key", hex) : mem_strdup("certs/acme.key");
	path = file_resolve(ld->state_dir, name);
	free(name);
	return path;
}

/* With its NUL, so that no two lists of strings give the same bytes. */
static void add(struct str *s, const char *text)
{
	str_add(s, text ? text : "", text ? strlen(text) + 1 : 1);
}

static void add_all(struct str *s, const struct conf_strings *list)
{
	for (size_t i = 0; i < list->n; i++)
		add(s, list->v[i]);
	str_add(s, "\n", 1);
}

static void set_fingerprint(struct conf_autocert *a)
{
	struct str s = {0};

	str_addf(&s, "%d %d %lld\n", a->provider, a->key_type, (long long)a->lifetime_s);
	add_all(&s, &a->domains);
	add(&s, a->email);
	add(&s, a->acme_key_path);
	add(&s, a->ca_dir_url);
	add_all(&s, &a->ca_certs);
	add(&s, a->eab_kid);
	add(&s, a->eab_hmac);
	add(&s, a->profile);
	add(&s, a->preferred_chain);
	add_all(&s, &a->resolvers);
	add_all(&s, &a->propagation.servers);
	str_addf(&s, "%d %lld %lld\n", a->propagation.disable, (long long)a->propagation.timeout_ms,
		(long long)a->propagation.interval_ms);
	for (size_t i = 0; i < a->n_options; i++) {
		add(&s, a->options[i].key);
		add_all(&s, &a->options[i].values);
	}
	hash_hex(a->fingerprint, SHA256_DIGEST_LENGTH, s.data, s.len);
	OPENSSL_cleanse(s.data, s.len);
	str_clear(&s);
}

void acme_complete(const struct option_loader *ld, struct conf_autocert *a,
	const struct conf_autocert *main, bool ca_given, const char *cert_path,
	const char *key_path)
{
	char *paths = mem_printf("%s|%s", cert_path, key_path);

	hash_hex(a->id, 6, paths, strlen(paths));
	free(paths);
	resolve_paths(ld, &a->ca_certs);
	if (a->ca_dir_url && !a->acme_key_path)
		a->acme_key_path =
			main && main->ca_dir_url && strcmp(main->ca_dir_url, a->ca_dir_url) == 0
				? mem_strdup(main->acme_key_path)
				: default_account_key(ld, a->ca_dir_url, ca_given);
	set_fingerprint(a);
}

void acme_clear(struct conf_autocert *a)
{
	for (size_t i = 0; i < a->n_options; i++) {
		struct conf_option *o = &a->options[i];

		free(o->key);
		for (size_t j = 0; j < o->values.n; j++) {
			OPENSSL_cleanse(o->values.v[j], strlen(o->values.v[j]));
			free(o->values.v[j]);
		}
		free(o->values.v);
	}
	free(a->options);
}
