#include "conf/conf.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "conf/check.h"
#include "conf/providers.h"
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
		problems_add(p, "the configuration: %s%s", err.text,
			access(file, F_OK) < 0 ? "; -c FILE or $LINTEL_CONFIG names another one"
					       : "");
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

static struct conf_place place_of(const struct node *root, const char *key)
{
	const struct node *n = node_get(root, key);

	return n ? (struct conf_place){.line = n->line, .column = n->column}
		 : (struct conf_place){0};
}

struct conf *conf_load_refused(const char *file, struct problems *p)
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
	atomic_init(&conf->refs, 1);
	conf->file = mem_strdup(file);
	option_load(&ld, &schema_root, tree->root, conf);
	conf->workers_auto = conf->workers == 0;
	if (conf->workers_auto)
		conf->workers = count_cpus();
	free(conf->state_dir);
	conf->state_dir = mem_strdup(state_dir);
	conf->places.state_dir = place_of(tree->root, "state_dir");
	conf->places.user = place_of(tree->root, "user");
	conf->places.workers = place_of(tree->root, "workers");
	conf->places.sandbox = place_of(tree->root, "sandbox");
	check_conf(&ld, tree->root, conf);
	providers_load(&ld, tree->root, conf);
	tree_free(tree);
	free(state_dir);
	conf->refused = p->n != before;
	return conf;
}

struct conf *conf_load(const char *file, struct problems *p)
{
	struct conf *conf = conf_load_refused(file, p);

	if (!conf || !conf->refused)
		return conf;
	conf_unref(conf);
	return NULL;
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
		check_admin(&ld, node, admin);
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

struct conf *conf_ref(struct conf *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void conf_unref(struct conf *c)
{
	if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
		return;
	providers_clear(c);
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
	problems_add(p, "%s%s: %s%s%s", c->file, at, path ? path : "", path ? ": " : "", what);
}

bool conf_route_is_by_alpn(const struct conf_route *r)
{
	return r->tls == ROUTE_PASSTHROUGH && r->alpn.n;
}

static bool differ(const char *a, const char *b)
{
	return !a != !b || (a && strcmp(a, b) != 0);
}

void conf_check_reload(const struct conf *before, const struct conf *after, struct problems *p)
{
	static const char *const sentence = "cannot change in a reload: restart lintel";

	if (differ(before->state_dir, after->state_dir))
		conf_problem(p, after, after->places.state_dir, "state_dir", "%s", sentence);
	if (differ(before->user, after->user))
		conf_problem(p, after, after->places.user, "user", "%s", sentence);
	if (before->workers_auto != after->workers_auto ||
		(!before->workers_auto && before->workers != after->workers))
		conf_problem(p, after, after->places.workers, "workers", "%s", sentence);
	if (before->sandbox != after->sandbox)
		conf_problem(p, after, after->places.sandbox, "sandbox", "%s", sentence);
	if (differ(before->admin.address.text, after->admin.address.text))
		conf_problem(p, after, after->admin.place, "admin.address", "%s", sentence);
}
