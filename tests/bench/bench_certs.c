/* Figures for the certificate table: how long a start, a reload without a change and one with one
 * changed file take, the swap of one, what a certificate costs in memory, and what its first use
 * costs.
 *
 *     bench_certs [COUNT [FOLDER]]
 *
 * COUNT (10000) P-256 leaves with two names and one shared intermediate are made in FOLDER (a
 * temporary one, removed at the end); a FOLDER that has COUNT files already is used as it is. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../unit/certgen.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "tls/certs.h"

#define KEYS 64 /* as many different keys; every leaf is another one */

struct maker {
	const char *folder;
	EVP_PKEY *ca_key, *keys[KEYS];
	X509 *ca;
	char *ca_pem;
};

static void write_file(const struct maker *m, int i)
{
	char alt[128], *path = mem_printf("%s/%06d.pem", m->folder, i);
	EVP_PKEY *key = m->keys[i % KEYS];
	char *cert, *key_pem, *all;
	X509 *x;

	snprintf(alt, sizeof(alt), "DNS:shop%06d.example.com,DNS:www.shop%06d.example.com", i, i);
	x = certgen_cert(&(struct certgen){.cn = "leaf",
		.alt_names = alt,
		.key = key,
		.issuer = m->ca,
		.issuer_key = m->ca_key});
	cert = certgen_cert_pem(x);
	key_pem = certgen_key_pem(key);
	all = certgen_join(cert, m->ca_pem, key_pem);
	certgen_write_text(path, all, 0600);
	free(all);
	free(key_pem);
	free(cert);
	X509_free(x);
	free(path);
}

static void make_files(struct maker *m, int count)
{
	m->ca_key = certgen_key("P-256");
	m->ca = certgen_cert(
		&(struct certgen){.cn = "intermediate of the bench", .key = m->ca_key});
	m->ca_pem = certgen_cert_pem(m->ca);
	for (int i = 0; i < KEYS; i++)
		m->keys[i] = certgen_key("P-256");
	for (int i = 0; i < count; i++)
		write_file(m, i);
}

static void free_maker(struct maker *m)
{
	for (int i = 0; i < KEYS; i++)
		EVP_PKEY_free(m->keys[i]);
	EVP_PKEY_free(m->ca_key);
	X509_free(m->ca);
	free(m->ca_pem);
}

static size_t heap_bytes(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* Wall and CPU, of all threads: on a busy machine only the second says something. */
struct stopwatch {
	int64_t wall_us, cpu_us;
};

static int64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static struct stopwatch begin(void)
{
	return (struct stopwatch){clock_mono_us(), cpu_us()};
}

static void print(const char *what, struct stopwatch began, size_t n)
{
	double wall = (double)(clock_mono_us() - began.wall_us);
	double cpu = (double)(cpu_us() - began.cpu_us);

	printf("%-28s wall %9.2f ms, %8.3f us each; CPU %9.2f ms, %8.3f us each\n", what,
		wall / 1000, wall / (double)n, cpu / 1000, cpu / (double)n);
}

static struct certs *build(
	const char *what, const struct certs_source *s, const struct certs *before)
{
	struct stopwatch began = begin();
	struct problems p = {0};
	struct certs *t = certs_build(s, 1, before, &p);
	size_t read, kept;

	if (!t) {
		fprintf(stderr, "%s\n", p.lines[0]);
		exit(1);
	}
	print(what, began, certs_count(t));
	certs_loaded(t, &read, &kept);
	printf("%-28s %zu read, %zu kept\n", "", read, kept);
	return t;
}

/* As after a renewal: one pair of files is read, all else taken over. */
static void swap_one(const struct maker *m, const struct certs *before)
{
	char *path = mem_printf("%s/%06d.pem", m->folder, 0);
	struct certs_source s[] = {
		{.place = "bench", .cert = path, .key = path, .optional = true},
		{.place = "bench", .dir = m->folder, .keep = true},
	};
	struct stopwatch began = begin();
	struct problems p = {0};
	struct certs *t = certs_build(s, 2, before, &p);

	print("swap of one, all others kept", began, certs_count(t));
	certs_unref(t);
	free(path);
}

static void first_use(const struct certs *t)
{
	size_t n = certs_count(t) < 2000 ? certs_count(t) : 2000, heap = heap_bytes();
	struct cert_cache *cache = cert_cache_new(n);
	struct stopwatch began = begin();

	for (size_t i = 0; i < n; i++) {
		struct error err = {""};

		if (!cert_cache_get(cache, certs_at(t, i), &err)) {
			fprintf(stderr, "%s\n", err.text);
			exit(1);
		}
	}
	print("first use", began, n);
	printf("%-28s %.2f KiB each\n", "", (double)(heap_bytes() - heap) / (double)n / 1024);
	cert_cache_free(cache);
}

static void look_up(const struct certs *t, int count)
{
	struct stopwatch began = begin();
	size_t found = 0;

	for (int i = 0; i < count; i++) {
		char name[64];

		snprintf(name, sizeof(name), "www.shop%06d.example.com", i * 7 % count);
		found += certs_find(t, name) != NULL;
	}
	print("look-up (name made, too)", began, found);
}

int main(int argc, char **argv)
{
	int count = argc > 1 ? atoi(argv[1]) : 10000;
	char *temp = argc > 2 ? NULL : certgen_temp();
	struct maker m = {.folder = temp ? temp : argv[2]};
	struct certs_source s = {.place = "bench", .dir = m.folder};
	char *last = mem_printf("%s/%06d.pem", m.folder, count - 1);
	struct certs *t, *next;
	size_t heap;

	setvbuf(stdout, NULL, _IOLBF, 0);
	log_configure(LOG_ERROR, LOG_TEXT);
	if (access(last, F_OK) < 0)
		make_files(&m, count);
	sleep(3); /* till the files are no longer young, so that they need not be read again */
	heap = heap_bytes();
	t = build("start", &s, NULL);
	printf("%-28s %.3f KiB a certificate\n", "memory",
		(double)(heap_bytes() - heap) / (double)certs_count(t) / 1024);
	next = build("reload, nothing changed", &s, t);
	certs_unref(t);
	t = next;
	if (m.ca) {
		write_file(&m, count / 2);
		next = build("reload, one file changed", &s, t);
		certs_unref(t);
		t = next;
	}
	swap_one(&m, t);
	look_up(t, count);
	first_use(t);
	certs_unref(t);
	free(last);
	free_maker(&m);
	if (temp)
		certgen_remove(temp);
	return 0;
}
