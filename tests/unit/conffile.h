/* A configuration file in a folder of its own, for the tests of conf. */
#ifndef LINTEL_TESTS_CONFFILE_H
#define LINTEL_TESTS_CONFFILE_H

#include "base/error.h"

/* The two blocks that a file must have; what a test adds begins on line 3. */
#define BASE                                                                                       \
	"listen: [{ address: \":443\", name: https }]\n"                                           \
	"routes: [{ hosts: [default], backends: [\"127.0.0.1:1\"] }]\n"

extern char conffile_folder[], conffile_path[];

/* For cmocka_run_group_tests(): $LT_TOKEN is set, $LT_NONE is not. */
int conffile_set_up(void **state);
int conffile_tear_down(void **state);

void conffile_write(const char *path, const char *text);

/* All problems, each line without the file's name; clears them. Returns a new string. */
char *conffile_joined(struct problems *p);
/* conf_load() of a file with this text finds exactly the problems `want`, joined. */
void conffile_assert_refused(const char *text, const char *want);

#endif
