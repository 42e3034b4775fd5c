#include "conf/conf.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "conf/schema.h"
#include "conf/tree.h"
#include "conf/value.h"

const char *conf_default_file(void)
{
	const char *file = getenv("LINTEL_CONFIG");

	return file && *file ? file : "/etc/lintel/lintel.yaml";
}

/* --- reading --- */

static struct tree *read_tree(const char *file, struct problems *p)
{
	struct error err;
	struct tree *t;
	size_t len;
	char *text = file_read(file, TREE_MAX_BYTES, &len, &err);

	if (!text) {
		problems_add(p, "%s", err.text);
		return NULL;
	}
	t = tree_parse(text, len, &err);
	free(text);
	if (!t) {
		problems_add(p, "%s:%s", file, err.text);
		return NULL;
	}
	if (t->root && t->root->kind == NODE_MAP)
		return t;
	if (!t->root || t->root->kind == NODE_NULL)
		problems_add(
			p, "%s:1:1: the file is empty: it needs at least listen and routes", file);
	else
		problems_add(p, "%s:%d:%d: the file must be a map of keys like listen and routes",
			file, t->root->line, t->root->column);
	tree_free(t);
	return NULL;
}

/* `state_dir` as written, or as its default, against FILE's folder. Returns new. */
static char *resolve_state_dir(const char *file, const char *written)
{
	char *folder, *absolute, *dir;

	if (written[0] == '/')
		return mem_strdup(written);
	folder = file_folder(file);
	absolute = realpath(folder, NULL);
	dir = file_resolve(absolute ? absolute : folder, written);
	free(absolute);
	free(folder);
	return dir;
}

/* Paths need state_dir before its turn comes. What is wrong with it is told in its turn. */
static char *early_state_dir(const char *file, const struct node *root)
{
	const struct node *node = node_get(root, "state_dir");
	char *text = node && node->kind == NODE_SCALAR ? value_expand(node->text, NULL) : NULL,
	     *dir;

	dir = resolve_state_dir(file, text && *text ? text : schema_root.rows[0].fallback);
	free(text);
	return dir;
}

static int count_cpus(void)
{
	cpu_set_t *set;
	int n = 0;

	/* The kernel refuses a set that is smaller than its own. */
	for (int cpus = 1024; !n && cpus <= 1 << 20; cpus *= 2) {
		size_t size = CPU_ALLOC_SIZE(cpus);

		set = CPU_ALLOC(cpus);
		if (!set)
			abort(); /* out of memory */
		if (sched_getaffinity(0, size, set) == 0)
			n = CPU_COUNT_S(size, set);
		CPU_FREE(set);
	}
	return n ? n : 1;
}

/* --- checks across options --- */

/* The node at a path like "routes[1].hosts[0]", or the last one on the way that is there. */
static const struct node *locate(const struct node *root, const char *path)
{
	const struct node *n = root, *next;
	char key[64];
	size_t len;

	while (*path) {
		next = NULL;
		if (*path == '[') {
			size_t i = strtoul(path + 1, NULL, 10);

			if (n->kind == NODE_LIST && i < n->n)
				next = n->items[i].value;
			path += strcspn(path, "]") + 1;
		} else {
			path += *path == '.';
			len = strcspn(path, ".[");
			snprintf(key, sizeof(key), "%.*s", (int)len, path);
			next = node_get(n, key);
			path += len;
		}
		if (!next)
			break;
		n = next;
	}
	return n;
}

struct check {
	struct option_loader *ld;
	const struct node *root;
	struct conf *conf;
};

/* A problem at a path, whose place is looked up. */
__attribute__((format(printf, 3, 4))) static void problem(
	struct check *c, const char *path, const char *fmt, ...)
{
	char what[ERROR_MAX];
	va_list ap;
	size_t before = option_enter(c->ld, "%s", path);

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	option_problem(c->ld, locate(c->root, path), "%s", what);
	option_leave(c->ld, before);
}

static bool same_address(const struct address *a, const struct address *b)
{
	return a->text && b->text && a->kind == b->kind && a->port == b->port &&
	       !strcasecmp(a->host ? a->host : "", b->host ? b->host : "");
}

static void check_listens(struct check *c)
{
	const struct conf_listen *l = c->conf->listens;
	char path[64];

	for (size_t i = 0; i < c->conf->n_listens; i++) {
		for (size_t j = 0; j < i; j++) {
			if (l[i].name && l[j].name && !strcmp(l[i].name, l[j].name)) {
				snprintf(path, sizeof(path), "listen[%zu].name", i);
				problem(c, path, "listen[%zu] has the name \"%.200s\" already", j,
					l[i].name);
			}
			if (same_address(&l[i].address, &l[j].address)) {
				snprintf(path, sizeof(path), "listen[%zu].address", i);
				problem(c, path, "listen[%zu] has the address %.200s already", j,
					l[i].address.text);
			}
		}
	}
}

static void check_tls(struct check *c)
{
	const struct conf_tls *tls = &c->conf->tls;
	char path[64];

	if (tls->min_version > tls->max_version && tls->max_version)
		problem(c, "tls.min_version", "is above tls.max_version");
	for (size_t i = 0; i < tls->n_certificates; i++) {
		const struct conf_certificate *one = &tls->certificates[i];
		int forms = (one->cert || one->key) + (one->pem != NULL) + (one->dir != NULL);

		snprintf(path, sizeof(path), "tls.certificates[%zu]", i);
		if (locate(c->root, path)->kind != NODE_MAP)
			continue;
		if (forms != 1)
			problem(c, path, "takes one of: cert and key, pem, dir");
		else if (!one->cert != !one->key)
			problem(c, path,
				"%s is missing: a pair is cert and key, one file with both is pem",
				one->cert ? "key" : "cert");
	}
}

static bool is_listed(const struct conf_strings *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (!strcmp(list->v[i], name))
			return true;
	return false;
}

static void check_route_listeners(struct check *c, size_t r)
{
	const struct conf_strings *wanted = &c->conf->routes[r].listeners;
	const char *names[1000], *near;
	char path[64];
	size_t n = 0;

	for (size_t i = 0; i < c->conf->n_listens && n < 1000; i++)
		if (c->conf->listens[i].name)
			names[n++] = c->conf->listens[i].name;
	for (size_t i = 0; i < wanted->n; i++) {
		struct conf_strings known = {(char **)names, n}, before = {wanted->v, i};

		snprintf(path, sizeof(path), "routes[%zu].listeners[%zu]", r, i);
		near = str_nearest(wanted->v[i], names, n);
		if (is_listed(&before, wanted->v[i]))
			problem(c, path, "\"%.200s\" is there twice", wanted->v[i]);
		else if (is_listed(&known, wanted->v[i]))
			continue;
		else if (near)
			problem(c, path,
				"no listener has the name \"%.200s\", did you mean \"%.200s\"?",
				wanted->v[i], near);
		else
			problem(c, path, "no listener has the name \"%.200s\"", wanted->v[i]);
	}
}

/* One route that a host stands in; several for a host are on disjoint listeners. */
struct host_use {
	size_t route;
	struct host_use *next, *all; /* of this host; of all hosts, to free them */
};

static bool are_disjoint(const struct conf_route *a, const struct conf_route *b)
{
	if (a == b || !a->listeners.n || !b->listeners.n)
		return false;
	for (size_t i = 0; i < a->listeners.n; i++)
		if (is_listed(&b->listeners, a->listeners.v[i]))
			return false;
	return true;
}

static void check_hosts(struct check *c)
{
	const struct conf_route *routes = c->conf->routes;
	struct names *names = names_new();
	struct host_use *all = NULL, *use, **first;
	char path[64];

	for (size_t r = 0; r < c->conf->n_routes; r++) {
		for (size_t h = 0; h < routes[r].hosts.n; h++) {
			first = (struct host_use **)names_slot(names, routes[r].hosts.v[h]);
			for (use = *first; use; use = use->next)
				if (!are_disjoint(&routes[use->route], &routes[r]))
					break;
			if (use) {
				snprintf(path, sizeof(path), "routes[%zu].hosts[%zu]", r, h);
				problem(c, path,
					"\"%s\" stands in routes[%zu] already, on the same "
					"listeners",
					routes[r].hosts.v[h], use->route);
				continue;
			}
			use = mem_zalloc(sizeof(*use));
			*use = (struct host_use){.route = r, .next = *first, .all = all};
			*first = all = use;
		}
	}
	while ((use = all)) {
		all = use->all;
		free(use);
	}
	names_free(names);
}

static void check_routes(struct check *c)
{
	const struct conf *conf = c->conf;
	char path[64];

	for (size_t r = 0; r < conf->n_routes; r++) {
		check_route_listeners(c, r);
		if (conf->tls.max_version && conf->routes[r].min_version > conf->tls.max_version) {
			snprintf(path, sizeof(path), "routes[%zu].min_version", r);
			problem(c, path, "is above tls.max_version");
		}
	}
	check_hosts(c);
}

static void check_admin(
	struct option_loader *ld, const struct conf_admin *a, const struct node *node)
{
	size_t before;

	if (!a->address.text || a->address.kind == ADDRESS_UNIX ||
		address_is_loopback(&a->address) || node_get(node, "token") ||
		node_get(node, "token_file"))
		return;
	before = option_enter(ld, "admin");
	option_problem(ld, node, "needs a token, as %.200s is neither loopback nor a unix socket",
		a->address.text);
	option_leave(ld, before);
}

/* --- autocert --- */

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

/* A secret's KEY and KEY_file are the same option. */
static bool is_same_option(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b);

	if (n > 5 && !strcmp(a + n - 5, "_file"))
		n -= 5;
	if (m > 5 && !strcmp(b + m - 5, "_file"))
		m -= 5;
	return n == m && !strncmp(a, b, n);
}

static bool sets_anew(const struct node *extra, const struct node *main, const char *key)
{
	const struct node *mine = node_get(extra, key), *its = node_get(main, key);

	return mine && !(its && its->text && mine->text && !strcmp(mine->text, its->text));
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
			dropped = is_same_option(extra->items[j].key->text, key);
		if (!dropped)
			items[(*n)++] = main->items[i];
	}
	*quiet = *n;
	for (size_t i = 0; i < extra->n; i++)
		if (extra->items[i].value->kind != NODE_NULL)
			items[(*n)++] = extra->items[i];
	return items;
}

static void load_provider(struct option_loader *ld, const struct node *at, const struct item *items,
	size_t n, size_t n_quiet, struct conf_autocert *a)
{
	const struct item *options = find_item(items, n, "options");
	const struct option_map *map;
	struct problems *problems = ld->problems;
	const struct node *given = NULL;
	size_t before;

	a->provider = (enum conf_provider) - 1; /* stays when the name is a wrong one */
	option_load_items(ld, &schema_autocert, at, items, n, n_quiet, a);
	if (a->provider == (enum conf_provider) - 1)
		return;
	map = a->provider == PROVIDER_PSEUDO ? &schema_pseudo_options : &schema_local_options;
	if (options) {
		given = options->value;
		if ((size_t)(options - items) < n_quiet)
			ld->problems = NULL;
	}
	before = option_enter(ld, ".options");
	if (given)
		option_load(ld, map, given, a);
	else
		option_load_items(ld, map, NULL, NULL, 0, 0, a);
	option_leave(ld, before);
	ld->problems = problems;
	/* Domains that are there, but wrong, were told of. */
	if (a->provider == PROVIDER_PSEUDO && !a->domains.n) {
		const struct item *domains = find_item(items, n, "domains");

		if (!domains || (domains->value->kind == NODE_LIST && !domains->value->n))
			option_problem(ld, at,
				"the provider pseudo needs domains: the names to put into its "
				"certificate");
	}
}

static void load_extra(struct option_loader *ld, const struct node *main, const struct node *extra,
	struct conf_autocert *a)
{
	size_t n, quiet;
	struct item *items;

	if (extra->kind != NODE_MAP) {
		option_load(ld, &schema_autocert, extra, NULL); /* says so */
		return;
	}
	if (!node_get(extra, "cert_path") || !node_get(extra, "key_path"))
		option_problem(ld, extra, "needs a cert_path and a key_path of its own");
	if (node_get(extra, "extra"))
		option_problem(ld, extra, "cannot have an extra of its own");
	items = merge_extra(main, extra, &n, &quiet);
	load_provider(ld, extra, items, n, quiet, a);
	free(items);
}

/* Every file of every provider is its own. */
static void check_paths(struct option_loader *ld, const struct conf *conf)
{
	for (size_t i = 0; i < 2 * conf->n_providers; i++) {
		const struct conf_autocert *a = &conf->providers[i / 2];
		const char *mine = i % 2 ? a->key_path : a->cert_path;

		for (size_t j = 0; j < i; j++) {
			const struct conf_autocert *b = &conf->providers[j / 2];
			const char *other = j % 2 ? b->key_path : b->cert_path;
			struct node at = {.line = a->place.line, .column = a->place.column};
			size_t before;

			if (!mine || !other || strcmp(mine, other) != 0)
				continue;
			before = option_enter(ld, i < 2 ? "autocert.%s" : "autocert.%2$s.%1$s",
				i % 2 ? "key_path" : "cert_path", a->name);
			option_problem(ld, at.line ? &at : NULL, "is the %s of %s too: %.300s",
				j % 2 ? "key_path" : "cert_path", b->name, mine);
			option_leave(ld, before);
			break;
		}
	}
}

static void load_autocert(struct option_loader *ld, const struct node *root, struct conf *conf)
{
	const struct node *node = node_get(root, "autocert"), *extra = node_get(node, "extra");
	size_t before = option_enter(ld, "autocert"), in, n = 0;
	bool is_map = node && node->kind == NODE_MAP;

	if (node && !is_map)
		option_load(ld, &schema_autocert, node, NULL); /* says so */
	if (extra && extra->kind != NODE_LIST) {
		in = option_enter(ld, ".extra");
		option_problem(ld, extra, "takes a list of maps of keys");
		option_leave(ld, in);
	} else if (extra && extra->n > 100000) {
		in = option_enter(ld, ".extra");
		option_problem(ld, extra, "has %zu entries, 100000 are possible", extra->n);
		option_leave(ld, in);
	} else if (extra) {
		n = extra->n;
	}
	conf->providers = mem_zalloc((1 + n) * sizeof(*conf->providers));
	conf->n_providers = 1 + n;
	conf->providers[0].name = mem_strdup("main");
	load_provider(ld, is_map ? node : NULL, is_map ? node->items : NULL, is_map ? node->n : 0,
		0, &conf->providers[0]);
	for (size_t i = 1; i <= n; i++) {
		conf->providers[i].name = mem_printf("extra[%zu]", i);
		in = option_enter(ld, ".%s", conf->providers[i].name);
		load_extra(ld, node, extra->items[i - 1].value, &conf->providers[i]);
		option_leave(ld, in);
	}
	option_leave(ld, before);
	check_paths(ld, conf);
}

/* --- the whole --- */

static void finish(struct option_loader *ld, const struct node *root, struct conf *conf)
{
	struct check c = {.ld = ld, .root = root, .conf = conf};

	conf->workers_auto = conf->workers == 0;
	if (conf->workers_auto)
		conf->workers = count_cpus();
	free(conf->state_dir);
	conf->state_dir = mem_strdup(ld->state_dir);
	check_listens(&c);
	check_tls(&c);
	check_routes(&c);
	check_admin(ld, &conf->admin, node_get(root, "admin"));
	load_autocert(ld, root, conf);
}

struct conf *conf_load(const char *file, struct problems *p)
{
	size_t before = p->n;
	struct option_loader ld = {.file = file, .problems = p};
	struct tree *tree = read_tree(file, p);
	struct conf *conf;
	char *state_dir;

	if (!tree)
		return NULL;
	ld.state_dir = state_dir = early_state_dir(file, tree->root);
	conf = mem_zalloc(sizeof(*conf));
	conf->file = mem_strdup(file);
	option_load(&ld, &schema_root, tree->root, conf);
	finish(&ld, tree->root, conf);
	tree_free(tree);
	free(state_dir);
	if (p->n != before) {
		conf_free(conf);
		return NULL;
	}
	return conf;
}

int conf_load_admin(const char *file, struct conf_admin *admin, struct problems *p)
{
	size_t before = p->n, in;
	struct option_loader ld = {.file = file, .problems = p};
	struct tree *tree = read_tree(file, p);
	const struct node *node;
	char *state_dir;

	*admin = (struct conf_admin){0};
	if (!tree)
		return -1;
	node = node_get(tree->root, "admin");
	if (node) {
		ld.state_dir = state_dir = early_state_dir(file, tree->root);
		in = option_enter(&ld, "admin");
		option_load(&ld, &schema_admin, node, admin);
		option_leave(&ld, in);
		admin->set = true;
		check_admin(&ld, admin, node);
		free(state_dir);
	}
	tree_free(tree);
	if (p->n == before)
		return 0;
	conf_admin_clear(admin);
	return -1;
}

void conf_admin_clear(struct conf_admin *admin)
{
	option_clear(&schema_admin, admin);
	*admin = (struct conf_admin){0};
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_providers; i++) {
		option_clear(&schema_autocert, &c->providers[i]);
		free(c->providers[i].name);
	}
	free(c->providers);
	option_clear(&schema_root, c);
	free(c->file);
	free(c);
}

void conf_problem(struct problems *p, const struct conf *c, struct conf_place place,
	const char *path, const char *fmt, ...)
{
	char what[ERROR_MAX], at[32] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (place.line)
		snprintf(at, sizeof(at), ":%d:%d", place.line, place.column);
	problems_add(p, "%s%s: %s: %s", c->file, at, path, what);
}

static bool differ(const char *a, const char *b)
{
	return !a != !b || (a && strcmp(a, b) != 0);
}

void conf_check_reload(const struct conf *before, const struct conf *after, struct problems *p)
{
	static const char *const sentence = "cannot change in a reload: restart lintel";
	static const struct conf_place nowhere = {0};

	if (differ(before->state_dir, after->state_dir))
		conf_problem(p, after, nowhere, "state_dir", "%s", sentence);
	if (differ(before->user, after->user))
		conf_problem(p, after, nowhere, "user", "%s", sentence);
	if (before->workers_auto != after->workers_auto ||
		(!before->workers_auto && before->workers != after->workers))
		conf_problem(p, after, nowhere, "workers", "%s", sentence);
	if (before->sandbox != after->sandbox)
		conf_problem(p, after, nowhere, "sandbox", "%s", sentence);
	if (differ(before->admin.address.text, after->admin.address.text))
		conf_problem(p, after, after->admin.place, "admin.address", "%s", sentence);
}
