/* The pair of files through a crash at each step of a swap, and of the repair after it: what was
 * not synced is lost then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <fcntl.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "autocert/store.h"
#include "base/mem.h"
#include "certgen.h"
#include "tls/cert.h"

#define SYNCED_MAX 16

static struct {
	bool armed, writes; /* it writes the files; else they have outlasted a crash already */
	int left;           /* steps that are survived */
	ino_t synced[SYNCED_MAX];
	size_t n_synced;
} crash;

/* ---- in the place of libc's ---- */

static void step(void)
{
	if (crash.armed && crash.left-- == 0)
		_exit(EXIT_SUCCESS);
}

int fsync(int fd)
{
	struct stat st = {0};

	if (crash.armed && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (crash.left == 0 && ftruncate(fd, st.st_size / 2) < 0)
			abort();
		step();
		if (crash.n_synced == SYNCED_MAX)
			abort();
		crash.synced[crash.n_synced++] = st.st_ino;
	}
	return (int)syscall(SYS_fsync, fd);
}

static bool is_synced(const char *path)
{
	struct stat st;
	bool found = stat(path, &st) < 0;

	for (size_t i = 0; i < crash.n_synced && !found; i++)
		found = crash.synced[i] == st.st_ino;
	return found;
}

int rename(const char *from, const char *to)
{
	step();
	if (crash.writes && crash.left == 0 && !is_synced(from) && truncate(from, 0) < 0)
		abort();
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlink(const char *path)
{
	step();
	return unlinkat(AT_FDCWD, path, 0);
}

/* ---- the test ---- */

struct pair {
	char *cert, *key; /* PEM */
};

static char *cert_path, *key_path;

static struct pair make_pair(int64_t from_s)
{
	EVP_PKEY *key = certgen_key("P-256");
	X509 *x = certgen_cert(&(struct certgen){
		.cn = "a.example", .key = key, .from_s = from_s, .until_s = 86400});
	struct pair p = {certgen_cert_pem(x), certgen_key_pem(key)};

	X509_free(x);
	EVP_PKEY_free(key);
	return p;
}

static void swap(const struct pair *to)
{
	assert_int_equal(store_write_pair(cert_path, to->cert, key_path, to->key, NULL), 0);
}

static void repair(const struct pair *unused)
{
	(void)unused;
	assert_int_equal(store_repair_pair(cert_path, key_path, NULL), 0);
}

/* In a process that ends after so many steps. Whether it did, before it was done. */
static bool crash_in(void (*what)(const struct pair *), const struct pair *p, int steps)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		crash.armed = true;
		crash.writes = what == swap;
		crash.left = steps;
		what(p);
		_exit(EXIT_FAILURE);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status) == EXIT_SUCCESS;
}

/* The not-before of the pair that is served. */
static int64_t served(void)
{
	struct error err = {""};
	struct cert *c = cert_load(cert_path, key_path, &err);
	int64_t date;

	if (!c)
		fail_msg("%s", err.text);
	date = c->not_before;
	cert_unref(c);
	return date;
}

/* Goes from one pair to the next, with crashes after so many steps of the swap and of the repair.
 * Whether the swap and the repair were cut off. */
static void go(const struct pair *old, const struct pair *new, int steps, int repair_steps,
	bool *swap_cut, bool *repair_cut)
{
	char *folder = certgen_temp();
	int64_t before, after;

	cert_path = mem_printf("%s/c/cert.crt", folder);
	key_path = mem_printf("%s/k/priv.key", folder);
	swap(old);
	before = served();
	*swap_cut = crash_in(swap, new, steps);
	*repair_cut = crash_in(repair, NULL, repair_steps);
	repair(NULL);
	after = served();
	assert_true(*swap_cut ? after >= before : after > before);
	free(cert_path);
	free(key_path);
	certgen_remove(folder);
}

static void a_pair_is_served_after_any_crash(void **state)
{
	struct pair old = make_pair(-3600), new = make_pair(-60);
	int steps = 0, repairs = 0;
	bool swap_cut = true, repair_cut;

	(void)state;
	for (; swap_cut; steps++) {
		repair_cut = true;
		for (int n = 0; repair_cut; n++, repairs++)
			go(&old, &new, steps, n, &swap_cut, &repair_cut);
	}
	assert_true(steps > 6); /* two files: made, synced, renamed */
	assert_true(repairs > 2 * steps);
	free(old.cert);
	free(old.key);
	free(new.cert);
	free(new.key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pair_is_served_after_any_crash),
	};

	return cmocka_run_group_tests_name("store_crash", tests, NULL, NULL);
}
