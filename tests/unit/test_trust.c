/* Programs that others could replace: owners, modes, folders above, symbolic links. */
#include "base/trust.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static char folder[] = "/tmp/test_trust.XXXXXX";

static int set_up(void **state)
{
	(void)state;
	umask(022);
	return mkdtemp(folder) && chdir(folder) == 0 && mkdir("good", 0755) == 0 &&
			       mkdir("state", 0755) == 0 &&
			       file_write("good/program", "x", 1, 0755, NULL) == 0 &&
			       file_write("state/program", "x", 1, 0755, NULL) == 0 &&
			       symlink("../good/program", "state/link") == 0 &&
			       symlink("state/link", "through") == 0 &&
			       symlink("loop", "loop") == 0 && symlink(folder, "good/up") == 0
		       ? 0
		       : -1;
}

static int tear_down(void **state)
{
	static const char *const files[] = {
		"good/program", "good/up", "state/program", "state/link", "through", "loop"};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		unlink(files[i]);
	rmdir("good");
	rmdir("state");
	return chdir("/") == 0 ? rmdir(folder) : -1;
}

/* NULL = it may be trusted; else part of the sentence. */
static void assert_trust(const char *path, const char *says)
{
	char full[200], state_dir[200];
	struct error err = {""};
	int rc;

	snprintf(full, sizeof(full), "%s/%s", folder, path);
	snprintf(state_dir, sizeof(state_dir), "%s/state", folder);
	rc = trust_check(full, state_dir, &err);
	if (says && !strstr(err.text, says))
		fail_msg("%s: \"%s\" lacks \"%s\"", path, err.text, says);
	if (rc != (says ? -1 : 0))
		fail_msg("%s: %d: %s", path, rc, err.text);
}

static void good(void **state)
{
	(void)state;
	assert_trust("good/program", NULL);
	assert_trust("./good//../good/program", NULL);
	assert_trust("good/up/good/program", NULL);
	assert_int_equal(trust_check("/bin/sh", NULL, NULL), 0);
	assert_int_equal(trust_check("/bin/sh", "/not/there", NULL), 0);
}

static void below_the_folder(void **state)
{
	(void)state;
	assert_trust("state/program", "/state/program lies below /tmp/test_trust.");
	assert_trust("state/../good/program", "lies below");
	assert_trust("good/up/state/program", "lies below");
	assert_trust("state/link", "lies below");
	assert_trust("through", "/through lies below");
}

static void modes(void **state)
{
	static const mode_t bad[] = {0775, 0757, 0777};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		chmod("good/program", bad[i]);
		assert_trust("good/program", "/good/program, and so put another program in its");
		chmod("good/program", 0755);
		chmod("good", bad[i]);
		assert_trust("good/program", "/good, and so put another program in its place");
		chmod("good", 01000 | bad[i]);
		assert_trust("good/program", NULL);
		chmod("good", 0755);
	}
	chmod("good/program", 01775); /* which means nothing with a file */
	assert_trust("good/program", "others than its owner may write to");
	chmod("good/program", 0755);
}

static void owners(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip(); /* only root gives files away */
	assert_int_equal(chown("good", 4711, 0), 0);
	assert_trust("good/program", "/good belongs to another user (uid 4711), who could");
	assert_int_equal(chown("state", 4711, 0), 0); /* it is the daemon's user, then */
	assert_trust("good/program", NULL);
	assert_int_equal(chown("good", 0, 0), 0);
	assert_int_equal(chown("state", 0, 0), 0);
	assert_int_equal(lchown("good/up", 4711, 0), 0);
	assert_trust("good/up/good/program", "/good/up belongs to another user (uid 4711)");
	assert_int_equal(lchown("good/up", 0, 0), 0);
}

static void what_is_not_there(void **state)
{
	(void)state;
	assert_trust("good/gone", "cannot look at");
	assert_trust("loop", "too many symbolic links");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(below_the_folder),
		cmocka_unit_test(modes),
		cmocka_unit_test(owners),
		cmocka_unit_test(what_is_not_there),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
