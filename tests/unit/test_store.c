#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sys/stat.h>
#include <unistd.h>

#include "autocert/store.h"
#include "base/file.h"
#include "base/mem.h"
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

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_and_swaps_a_pair),
		TEST(repair_leaves_a_whole_pair_alone),
		cmocka_unit_test(repairs_every_crash),
		TEST(an_older_staged_pair_is_dropped),
		TEST(says_where_it_may_not_write),
	};

	return cmocka_run_group_tests_name("store", tests, set_up, tear_down);
}
