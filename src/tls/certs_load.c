#include "tls/certs_load.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "tls/cert_chain.h"

#define THREADS_MAX    64
#define FILES_PER_TURN 32 /* that a thread takes at once; fewer files in all need no thread */

struct job { /* one certificate to be had */
	const struct certs_source *source;
	char *cert_file;
	const char *key_file;            /* the source's; NULL = both in one */
	const struct certs_item *before; /* the same files' in the list before; NULL = none */
	struct certs_item item;          /* no certificate = none to be had */
	char *problem;
};

struct loader {
	struct job *jobs;
	size_t n;
	atomic_size_t next;
	const struct certs_source *sources;
	const struct certs_item *before;
	size_t n_before, next_before;      /* the next that may belong to a folder that is kept */
	const struct certs_item **by_path; /* of `before`; hash table, linear probing */
	size_t n_slots;
	struct cert_chain_set *chains;
};

static uint64_t hash_path(const char *s)
{
	uint64_t h = 0xcbf29ce484222325;

	for (; *s; s++)
		h = (h ^ (unsigned char)*s) * 0x100000001b3;
	return h ^ h >> 32;
}

static bool same_files(const struct certs_item *i, const char *cert_file, const char *key_file)
{
	if (strcmp(i->cert->file, cert_file) != 0 || !i->key != !key_file)
		return false;
	return !key_file || strcmp(i->key->path, key_file) == 0;
}

static const struct certs_item **find_before(
	struct loader *l, const char *cert_file, const char *key_file)
{
	size_t i = hash_path(cert_file) & (l->n_slots - 1);

	while (l->by_path[i] && !same_files(l->by_path[i], cert_file, key_file))
		i = (i + 1) & (l->n_slots - 1);
	return &l->by_path[i];
}

/* The chains that are in use already are known to the set from the start. */
static void index_before(struct loader *l)
{
	struct cert_chain *chain = NULL;

	l->n_slots = 16;
	while (l->n_slots < 2 * l->n_before)
		l->n_slots *= 2;
	l->by_path = mem_zalloc(l->n_slots * sizeof(*l->by_path));
	for (size_t i = 0; i < l->n_before; i++) {
		const struct certs_item *item = &l->before[i];
		const char *key_file = item->key ? item->key->path : NULL;

		*find_before(l, item->cert->file, key_file) = item;
		if (item->cert->chain == chain)
			continue; /* as most are: neighbours are of the same CA */
		chain = item->cert->chain;
		cert_chain_unref(cert_chain_intern(l->chains, cert_chain_ref(chain)));
	}
}

static struct certs_key_file *key_file_new(const char *path, const struct cert_stamp *stamp)
{
	struct certs_key_file *k = mem_alloc(sizeof(*k) + strlen(path) + 1);

	k->stamp = *stamp;
	strcpy(k->path, path);
	return k;
}

static bool is_unchanged(const struct certs_item *before, const struct job *j)
{
	struct cert_stamp now;

	return cert_stamp_get(&now, j->cert_file) == 0 && cert_stamp_same(&before->stamp, &now) &&
	       (!j->key_file || (cert_stamp_get(&now, j->key_file) == 0 &&
					cert_stamp_same(&before->key->stamp, &now)));
}

static bool same_content(const struct cert *a, const struct cert *b)
{
	return a->leaf_len == b->leaf_len && a->key_len == b->key_len && a->chain == b->chain &&
	       memcmp(a->leaf, b->leaf, a->leaf_len) == 0 &&
	       memcmp(a->key, b->key, a->key_len) == 0;
}

static void take_over(struct job *j)
{
	const struct certs_item *before = j->before;

	j->item.cert = cert_ref(before->cert);
	j->item.stamp = before->stamp;
	if (before->key)
		j->item.key = key_file_new(j->key_file, &before->key->stamp);
	j->item.kept = true;
}

static bool is_missing(const struct job *j)
{
	return access(j->cert_file, F_OK) < 0 && errno == ENOENT &&
	       (!j->key_file || (access(j->key_file, F_OK) < 0 && errno == ENOENT));
}

/* An autocert pair that nobody has made yet is what its provider tells of, not the table. */
static void not_had(struct job *j, const char *why)
{
	if (!j->source->optional || !is_missing(j))
		j->problem = mem_strdup(why);
	if (j->source->optional && j->before)
		take_over(j);
}

static void run_job(struct loader *l, struct job *j)
{
	struct cert_stamp stamps[2];
	struct error err = {""};
	struct cert *c;

	if (!j->before)
		j->before = *find_before(l, j->cert_file, j->key_file);
	if (j->before && (j->source->keep || is_unchanged(j->before, j)))
		take_over(j);
	if (j->item.cert || j->source->keep)
		return;
	c = cert_load_stamped(j->cert_file, j->key_file, stamps, &err);
	if (!c) {
		not_had(j, err.text);
		return;
	}
	c->chain = cert_chain_intern(l->chains, c->chain);
	/* A file that was only touched: workers may go on with what they have parsed. */
	if (j->before && same_content(c, j->before->cert)) {
		cert_unref(c);
		c = cert_ref(j->before->cert);
	}
	j->item.cert = c;
	j->item.stamp = stamps[0];
	if (j->key_file)
		j->item.key = key_file_new(j->key_file, &stamps[1]);
}

static void *run_jobs(void *arg)
{
	struct loader *l = arg;
	size_t from, to;

	while ((from = atomic_fetch_add(&l->next, FILES_PER_TURN)) < l->n) {
		to = l->n - from < FILES_PER_TURN ? l->n : from + FILES_PER_TURN;
		for (size_t i = from; i < to; i++)
			run_job(l, &l->jobs[i]);
	}
	return NULL;
}

static size_t count_cpus(void)
{
	cpu_set_t set;

	return sched_getaffinity(0, sizeof(set), &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

/* The calling thread works too; where no other can be had it does all. */
static void run_in_threads(struct loader *l)
{
	pthread_t threads[THREADS_MAX];
	size_t n = 0, wanted = (l->n + FILES_PER_TURN - 1) / FILES_PER_TURN, cpus = count_cpus();
	sigset_t all, old;

	if (wanted > cpus)
		wanted = cpus;
	if (wanted > THREADS_MAX)
		wanted = THREADS_MAX;
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old); /* signals are for the thread that called us */
	while (n + 1 < wanted && pthread_create(&threads[n], NULL, run_jobs, l) == 0)
		n++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	run_jobs(l);
	while (n)
		pthread_join(threads[--n], NULL);
}

static struct job *add_job(struct loader *l, const struct certs_source *s, char *cert_file)
{
	struct job *j = mem_grow(&l->jobs, l->n++, sizeof(*j));

	j->source = s;
	j->cert_file = cert_file;
	j->key_file = s->key;
	j->item.source = (unsigned)(s - l->sources);
	j->item.in_dir = s->dir != NULL;
	return j;
}

static int is_pem_name(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > 4 && strcmp(d->d_name + len - 4, ".pem") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name); /* not alphasort(): that asks the locale */
}

static void add_folder(struct loader *l, const struct certs_source *s, struct problems *p)
{
	struct dirent **files;
	int n = scandir(s->dir, &files, is_pem_name, by_bytes);

	if (n < 0 && errno == ENOENT)
		problems_add(p, "%s: the directory %s does not exist: make it, or correct the path",
			s->place, s->dir);
	else if (n < 0)
		problems_add(p, "%s: cannot read the directory %s: %s", s->place, s->dir,
			strerror(errno));
	if (n < 0)
		return;
	if (n == 0)
		log_warn("%s: there is no file *.pem in %s", s->place, s->dir);
	for (int i = 0; i < n; i++) {
		add_job(l, s, mem_printf("%s/%s", s->dir, files[i]->d_name));
		free(files[i]);
	}
	free(files);
}

static bool is_of_folder(const struct certs_item *i, const char *dir)
{
	size_t len = strlen(dir);

	return i->in_dir && strncmp(i->cert->file, dir, len) == 0 && i->cert->file[len] == '/' &&
	       !strchr(i->cert->file + len + 1, '/');
}

/* The run of items that the same source had in the table before. */
static void keep_folder(struct loader *l, const struct certs_source *s)
{
	size_t i = l->next_before;
	unsigned source;

	while (i < l->n_before && !is_of_folder(&l->before[i], s->dir))
		i++;
	if (i == l->n_before)
		return; /* it was empty */
	source = l->before[i].source;
	for (; i < l->n_before && l->before[i].source == source; i++)
		add_job(l, s, mem_strdup(l->before[i].cert->file))->before = &l->before[i];
	l->next_before = i;
}

static bool has_expired(const struct cert *c, int64_t now)
{
	return c->not_after < now;
}

static bool is_to_come(const struct cert *c, int64_t now)
{
	return c->not_before > now;
}

static bool lacks_chain(const struct cert *c, int64_t now)
{
	(void)now;
	return c->lacks_chain;
}

/* What clients will not like in what was not there before: it is served all the same. */
static void warn_of(
	const struct loader *l, bool (*is_so)(const struct cert *, int64_t now), const char *what)
{
	int64_t now = clock_wall_s();
	const char *first = NULL;
	char others[64] = "";
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct job *j = &l->jobs[i];
		const struct cert *c = j->item.cert;

		if (c && !(j->before && j->before->cert == c) && is_so(c, now) && n++ == 0)
			first = c->file;
	}
	if (n > 1)
		snprintf(others, sizeof(others), " (so it is with %zu more)", n - 1);
	if (n)
		log_warn("certificate %s: %s%s", first, what, others);
}

static void warn(const struct loader *l)
{
	warn_of(l, has_expired, "it has expired: clients will refuse it");
	warn_of(l, is_to_come, "it is not valid yet: is the clock of this machine right?");
	/* Most browsers come by what is missing somehow; curl, mail servers and libraries do not.
	 */
	warn_of(l, lacks_chain,
		"the certificate of its issuer is not in the file: many clients will refuse it: "
		"append the intermediate certificates, which the CA gives with it (chain.pem, "
		"say)");
}

/* Hands the jobs' items over, or their problems. Returns how many items. */
static size_t collect(struct loader *l, struct certs_item *items, struct problems *p)
{
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		struct job *j = &l->jobs[i];

		if (j->problem && !j->source->optional)
			problems_add(p, "%s: %s", j->source->place, j->problem);
		else if (j->problem)
			log_warn("%s: %s: %s", j->source->place, j->problem,
				j->item.cert ? "what was loaded from there before is still served"
					     : "not served");
		if (j->item.cert)
			items[n++] = j->item;
		free(j->problem);
		free(j->cert_file);
	}
	free(l->jobs);
	return n;
}

int certs_load_items(const struct certs_source *sources, size_t n_sources,
	const struct certs_item *before, size_t n_before, struct certs_item **items, size_t *n,
	struct problems *p)
{
	struct loader l = {
		.sources = sources,
		.before = before,
		.n_before = n_before,
		.chains = cert_chain_set_new(),
	};
	size_t problems_before = p->n;

	index_before(&l);
	for (size_t i = 0; i < n_sources; i++) {
		const struct certs_source *s = &sources[i];

		if (s->dir && s->keep)
			keep_folder(&l, s);
		else if (s->dir)
			add_folder(&l, s, p);
		else
			add_job(&l, s, mem_strdup(s->cert));
	}
	run_in_threads(&l);
	warn(&l);
	*items = mem_zalloc(l.n * sizeof(**items));
	*n = collect(&l, *items, p);
	cert_chain_set_free(l.chains);
	free(l.by_path);
	if (p->n == problems_before)
		return 0;
	certs_items_free(*items, *n);
	*items = NULL;
	*n = 0;
	return -1;
}

void certs_items_free(struct certs_item *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		cert_unref(items[i].cert);
		free(items[i].key);
	}
	free(items);
}
