#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <dirent.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acme/key.h"
#include "autocert/store.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "certgen.h"
#include "tls/cert.h"

enum { OLD, NEW, GENERATIONS };
enum { CERT, KEY, FILES };
static const char *const names[FILES] = {"c/cert.crt", "k/priv.key"};

static char *folder, *text[GENERATIONS][FILES], *path[FILES], *staged[FILES];

static int set_up(void **state)
{
	for (int g = OLD; g <= NEW; g++) {
		EVP_PKEY *key = certgen_key("P-256");
		X509 *x = certgen_cert(&(struct certgen){
			.cn = "a.example", .key = key, .from_s = g - 3600, .until_s = 86400});

		text[g][CERT] = certgen_cert_pem(x);
		text[g][KEY] = certgen_key_pem(key);
		X509_free(x);
		EVP_PKEY_free(key);
	}
	return 0;
}

static int tear_down(void **state)
{
	for (int g = OLD; g <= NEW; g++) {
		free(text[g][CERT]);
		free(text[g][KEY]);
	}
	return 0;
}

static int make_folder(void **state)
{
	folder = certgen_temp();
	for (int f = 0; f < FILES; f++) {
		path[f] = mem_printf("%s/%s", folder, names[f]);
		staged[f] = mem_printf("%s.new", path[f]);
	}
	return 0;
}

static int remove_folder(void **state)
{
	for (int f = 0; f < FILES; f++) {
		free(path[f]);
		free(staged[f]);
	}
	certgen_remove(folder);
	return 0;
}

static void assert_content(const char *file, const char *want)
{
	struct error err = {""};
	size_t len;
	char *found = file_read(file, 1 << 20, &len, &err);

	if (!found)
		fail_msg("%s", err.text);
	assert_string_equal(found, want);
	free(found);
}

static void assert_generation(int g)
{
	assert_content(path[CERT], text[g][CERT]);
	assert_content(path[KEY], text[g][KEY]);
	assert_int_equal(access(staged[CERT], F_OK), -1);
	assert_int_equal(access(staged[KEY], F_OK), -1);
}

static void assert_mode(const char *file, mode_t want)
{
	struct stat st;

	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, want);
}

static void write_generation(int g)
{
	struct error err = {""};

	if (store_write_pair(path[CERT], text[g][CERT], path[KEY], text[g][KEY], &err) < 0)
		fail_msg("%s", err.text);
}

static void writes_and_swaps_a_pair(void **state)
{
	char *sub = mem_printf("%s/k", folder);

	write_generation(OLD);
	assert_generation(OLD);
	assert_mode(path[CERT], 0644);
	assert_mode(path[KEY], 0600);
	assert_mode(sub, 0755);
	chmod(path[KEY], 0666); /* a new file, so the old mode does not stay */
	write_generation(NEW);
	assert_generation(NEW);
	assert_mode(path[KEY], 0600);
	free(sub);
}

static void repair_leaves_a_whole_pair_alone(void **state)
{
	assert_int_equal(store_repair_pair(path[CERT], path[KEY], NULL), 0);
	assert_int_equal(access(path[CERT], F_OK), -1);
	write_generation(OLD);
	assert_int_equal(store_repair_pair(path[CERT], path[KEY], NULL), 0);
	assert_generation(OLD);
}

/* What the disk may hold after a crash: each staged file missing, torn or whole, each rename done
 * or not, whether or not there was a pair before. */
enum staged_state { GONE, TORN, WHOLE, RENAMED, STATES };

static void put(int f, enum staged_state s)
{
	switch (s) {
	case GONE:
	case STATES: break;
	case TORN: certgen_write(staged[f], text[NEW][f], 60, 0600); break;
	case WHOLE: certgen_write_text(staged[f], text[NEW][f], 0600); break;
	case RENAMED: certgen_write_text(path[f], text[NEW][f], 0600); break;
	}
}

static void check_crash(bool had_pair, enum staged_state cert, enum staged_state key)
{
	bool cert_there = cert >= WHOLE, key_there = key >= WHOLE;

	make_folder(NULL);
	write_generation(OLD);
	if (!had_pair) {
		unlink(path[CERT]);
		unlink(path[KEY]);
	}
	put(CERT, cert);
	put(KEY, key);
	assert_int_equal(store_repair_pair(path[CERT], path[KEY], NULL), 0);
	/* One renamed means that both were whole and synced. */
	if (cert_there && key_there)
		assert_generation(NEW);
	else if (had_pair)
		assert_generation(OLD);
	else
		assert_int_equal(access(path[CERT], F_OK), -1);
	assert_int_equal(access(staged[CERT], F_OK), -1);
	assert_int_equal(access(staged[KEY], F_OK), -1);
	remove_folder(NULL);
}

static void repairs_every_crash(void **state)
{
	for (int cert = GONE; cert < STATES; cert++) {
		for (int key = GONE; key < STATES; key++) {
			bool possible = (cert != RENAMED && key != RENAMED) ||
					(cert >= WHOLE && key >= WHOLE);

			if (!possible)
				continue;
			check_crash(true, (enum staged_state)cert, (enum staged_state)key);
			check_crash(false, (enum staged_state)cert, (enum staged_state)key);
		}
	}
}

static void an_older_staged_pair_is_dropped(void **state)
{
	write_generation(NEW);
	certgen_write_text(staged[CERT], text[OLD][CERT], 0644);
	certgen_write_text(staged[KEY], text[OLD][KEY], 0600);
	assert_int_equal(store_repair_pair(path[CERT], path[KEY], NULL), 0);
	assert_generation(NEW);
}

static void says_where_it_may_not_write(void **state)
{
	struct error err = {""};
	char *in_the_way = mem_printf("%s/c", folder);

	certgen_write_text(in_the_way, "a file where a folder is wanted", 0644);
	assert_int_equal(
		store_write_pair(path[CERT], text[OLD][CERT], path[KEY], text[OLD][KEY], &err), -1);
	assert_non_null(strstr(err.text, in_the_way));
	free(in_the_way);
}

static void a_half_pair_in_place_is_left_alone(void **state)
{
	write_generation(OLD);
	unlink(path[KEY]);
	assert_int_equal(store_repair_pair(path[CERT], path[KEY], NULL), 0);
	assert_content(path[CERT], text[OLD][CERT]); /* whoever obtains a new one replaces it */
	write_generation(NEW);
	assert_generation(NEW);
}

static void checks_folders_without_a_trace(void **state)
{
	struct error err = {""};
	char *deep = mem_printf("%s/x/y/cert.crt", folder), *sub = mem_printf("%s/x/y", folder);
	char *in_the_way = mem_printf("%s/file", folder), *beneath = mem_printf("%s/z", in_the_way);

	assert_int_equal(store_check_folder(deep, &err), 0);
	assert_mode(sub, 0755);
	assert_int_equal(rmdir(sub), 0); /* it is empty */
	certgen_write_text(in_the_way, "", 0644);
	assert_int_equal(store_check_folder(beneath, &err), -1);
	assert_non_null(strstr(err.text, in_the_way));
	free(beneath);
	free(in_the_way);
	free(sub);
	free(deep);
}

static int64_t mark_of(const struct conf_autocert *a, const char *mark, const char *content)
{
	certgen_write_text(mark, content, 0600);
	return store_last_failure(a);
}

static void failures_are_marked_beside_the_certificate(void **state)
{
	struct conf_autocert a = {.cert_path = path[CERT], .id = "68435196b59a"};
	char *mark = mem_printf("%s/c/.last_failure-68435196b59a", folder);
	struct error err = {""};

	assert_int_equal(store_last_failure(&a), 0);
	store_clear_failure(&a); /* none is fine */
	assert_int_equal(store_mark_failure(&a, 1795644279, &err), 0);
	assert_content(mark, "2026-11-25T22:04:39Z");
	assert_mode(mark, 0600);
	assert_int_equal(store_last_failure(&a), 1795644279);
	assert_int_equal(store_mark_failure(&a, 1795644280, &err), 0);
	assert_int_equal(store_last_failure(&a), 1795644280);
	/* As others write RFC 3339. */
	assert_int_equal(mark_of(&a, mark, "2026-11-25T23:04:39.123456+01:00\n"), 1795644279);
	assert_int_equal(mark_of(&a, mark, "2026-11-25T17:34:39-04:30"), 1795644279);
	/* And as nobody does. */
	assert_int_equal(mark_of(&a, mark, ""), 0);
	assert_int_equal(mark_of(&a, mark, "yesterday"), 0);
	assert_int_equal(mark_of(&a, mark, "2026-11-25T22:04:39"), 0);
	store_clear_failure(&a);
	assert_int_equal(access(mark, F_OK), -1);
	free(mark);
}

static void an_order_keeps_its_key(void **state)
{
	char *file = mem_printf("%s/autocert/0123456789ab.key", folder);
	EVP_PKEY *key = certgen_key("P-384"), *found;
	struct error err = {""};

	assert_null(store_get_order_key(folder, "0123456789ab", &err));
	store_drop_order_key(folder, "0123456789ab");
	assert_int_equal(store_put_order_key(folder, "0123456789ab", key, &err), 0);
	assert_mode(file, 0600);
	found = store_get_order_key(folder, "0123456789ab", &err);
	assert_int_equal(EVP_PKEY_eq(key, found), 1);
	certgen_write_text(file, "-----BEGIN PRIVATE KEY-----\nMIG", 0600);
	assert_null(store_get_order_key(folder, "0123456789ab", &err));
	assert_non_null(strstr(err.text, file));
	store_drop_order_key(folder, "0123456789ab");
	assert_int_equal(access(file, F_OK), -1);
	EVP_PKEY_free(found);
	EVP_PKEY_free(key);
	free(file);
}

static void assert_hash(const char *state_dir, const char *data, const char *want, bool same)
{
	struct error err = {""};
	char hex[65];

	assert_int_equal(store_keyed_hash(state_dir, data, strlen(data), hex, &err), 0);
	assert_int_equal(strlen(hex), 64);
	assert_int_equal(strcmp(hex, want) == 0, same);
}

static void a_hash_has_a_key_of_its_folder(void **state)
{
	char *file = mem_printf("%s/autocert/fingerprint-key", folder), *other = certgen_temp();
	struct error err = {""};
	struct stat st;
	char hex[65];

	assert_int_equal(store_keyed_hash(folder, "abc", 3, hex, &err), 0);
	assert_mode(file, 0600);
	assert_hash(folder, "abc", hex, true);
	assert_hash(folder, "abd", hex, false);
	assert_hash(other, "abc", hex, false);
	assert_hash(folder, "abc",
		"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", false);
	/* As others make it. */
	certgen_write_text(file, "0123456789abcdef0123456789abcdef", 0600);
	assert_hash(folder, "what do ya want for nothing?",
		"137e6557c3c13a1ca5dc7e52a389a0f86be8cb4db4ae61c62396058b00acacd0", true);
	/* One that is cut off is replaced. */
	certgen_write_text(file, "0123456789abcdef", 0600);
	assert_hash(folder, "abc", hex, false);
	assert_int_equal(store_keyed_hash(folder, "abc", 3, hex, &err), 0);
	assert_hash(folder, "abc", hex, true);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_size, 32);
	assert_int_equal(store_keyed_hash(file, "abc", 3, hex, &err), -1); /* it is no folder */
	assert_non_null(strstr(err.text, file));
	certgen_remove(other);
	free(file);
}

static size_t count_kept_aside(void)
{
	char *sub = mem_printf("%s/k", folder);
	DIR *d = opendir(sub);
	struct dirent *e;
	size_t n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += str_starts(e->d_name, "priv.key.broken-");
	closedir(d);
	free(sub);
	return n;
}

/* The account key at path[KEY]. */
static EVP_PKEY *account_key(bool want_made)
{
	struct error err = {""};
	bool made = !want_made;
	EVP_PKEY *key = store_account_key(path[KEY], &made, &err);

	if (!key)
		fail_msg("%s", err.text);
	assert_int_equal(made, want_made);
	return key;
}

static void an_account_key_is_made_once(void **state)
{
	char *sub = mem_printf("%s/k", folder);
	EVP_PKEY *made = account_key(true), *again = account_key(false);
	EVP_PKEY *other = certgen_key("P-256"), *changed;
	struct error err = {""};

	assert_string_equal(acme_key_algorithm(made), "ES256");
	assert_mode(path[KEY], 0600);
	assert_mode(sub, 0755);
	assert_int_equal(EVP_PKEY_eq(made, again), 1);
	chmod(path[KEY], 0644);
	assert_int_equal(store_put_account_key(path[KEY], other, &err), 0);
	assert_mode(path[KEY], 0600);
	changed = account_key(false);
	assert_int_equal(EVP_PKEY_eq(changed, other), 1);
	assert_int_equal(count_kept_aside(), 0);
	EVP_PKEY_free(changed);
	EVP_PKEY_free(other);
	EVP_PKEY_free(again);
	EVP_PKEY_free(made);
	free(sub);
}

static void assert_account_key(EVP_PKEY *want)
{
	EVP_PKEY *found = account_key(false);

	assert_int_equal(EVP_PKEY_eq(found, want), 1);
	EVP_PKEY_free(found);
}

static void reads_account_keys_of_every_form(void **state)
{
	static const char *const types[] = {"P-256", "RSA:2048"};

	EVP_PKEY_free(account_key(true));
	for (int t = 0; t < 2; t++) {
		EVP_PKEY *key = certgen_key(types[t]);
		char *pkcs8 = certgen_key_pem(key), *traditional = certgen_key_pem_traditional(key);
		unsigned char *der = NULL;
		int len = i2d_PrivateKey(key, &der); /* SEC1, PKCS#1 */

		certgen_write_text(path[KEY], pkcs8, 0600);
		assert_account_key(key);
		certgen_write_text(path[KEY], traditional, 0600);
		assert_account_key(key);
		certgen_write(path[KEY], der, (size_t)len, 0600);
		assert_account_key(key);
		OPENSSL_free(der);
		free(traditional);
		free(pkcs8);
		EVP_PKEY_free(key);
	}
	assert_int_equal(count_kept_aside(), 0);
}

static void a_broken_account_key_is_kept_aside(void **state)
{
	static const char *const broken[] = {"", "no key", "-----BEGIN PRIVATE KEY-----\nMIG"};

	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
		EVP_PKEY *old, *new;

		make_folder(NULL);
		old = account_key(true);
		certgen_write_text(path[KEY], broken[i], 0600);
		new = account_key(true);
		assert_int_equal(EVP_PKEY_eq(old, new), 0);
		assert_account_key(new);
		assert_int_equal(count_kept_aside(), 1);
		EVP_PKEY_free(new);
		EVP_PKEY_free(old);
		remove_folder(NULL);
	}
}

/* It may be a good one: no reason to lose the account. */
static void an_account_key_that_cannot_be_read_stays(void **state)
{
	char *big = mem_zalloc(CERT_FILE_MAX + 2);
	struct error err = {""};
	bool made;

	EVP_PKEY_free(account_key(true));
	memset(big, ' ', CERT_FILE_MAX + 1);
	certgen_write_text(path[KEY], big, 0600);
	assert_null(store_account_key(path[KEY], &made, &err));
	assert_false(made);
	assert_non_null(strstr(err.text, path[KEY]));
	assert_int_equal(count_kept_aside(), 0);
	unlink(path[KEY]);
	mkdir(path[KEY], 0700);
	assert_null(store_account_key(path[KEY], &made, &err));
	assert_non_null(strstr(err.text, "not a regular file"));
	assert_int_equal(count_kept_aside(), 0);
	free(big);
}

static void a_key_is_not_changed_while_it_is_used(void **state)
{
	struct error err = {""};
	int a = store_lock_account(path[KEY], false, &err);
	int b = store_lock_account(path[KEY], false, &err), alone;

	assert_true(a >= 0 && b >= 0);
	assert_int_equal(store_lock_account(path[KEY], true, &err), -1);
	assert_non_null(strstr(err.text, "is being used by an order"));
	store_unlock_account(a);
	store_unlock_account(b);
	store_unlock_account(-1);
	alone = store_lock_account(path[KEY], true, &err);
	assert_true(alone >= 0);
	store_unlock_account(alone);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_and_swaps_a_pair),
		TEST(repair_leaves_a_whole_pair_alone),
		cmocka_unit_test(repairs_every_crash),
		TEST(an_older_staged_pair_is_dropped),
		TEST(says_where_it_may_not_write),
		TEST(a_half_pair_in_place_is_left_alone),
		TEST(checks_folders_without_a_trace),
		TEST(failures_are_marked_beside_the_certificate),
		TEST(an_order_keeps_its_key),
		TEST(a_hash_has_a_key_of_its_folder),
		TEST(an_account_key_is_made_once),
		TEST(reads_account_keys_of_every_form),
		cmocka_unit_test(a_broken_account_key_is_kept_aside),
		TEST(an_account_key_that_cannot_be_read_stays),
		TEST(a_key_is_not_changed_while_it_is_used),
	};

	return cmocka_run_group_tests_name("store", tests, set_up, tear_down);
}
