#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/privileges.h"

#define USER "nobody" /* there is one everywhere */

static char folder[] = "/tmp/test_privileges.XXXXXX";

/* Tests run in a child, which says what is wrong and ends. */
#define need(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #what);         \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

static void in_child(void (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Root of a user namespace that holds root alone can become nobody. */
static bool user_exists_here(void)
{
	unsigned long first = 0, outside, n = 0;
	FILE *f = fopen("/proc/self/uid_map", "r");
	int got = f ? fscanf(f, "%lu %lu %lu", &first, &outside, &n) : 0;

	if (f)
		fclose(f);
	return got == 3 && getpwnam(USER) && getpwnam(USER)->pw_uid - first < n;
}

static void need_root(void)
{
	if (geteuid() != 0 || !user_exists_here()) {
		print_message("skipped: only root can become another user\n");
		skip();
	}
}

static bool status_has(const char *line)
{
	char text[8192];
	FILE *f = fopen("/proc/self/status", "r");
	size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

	text[n] = '\0';
	if (f)
		fclose(f);
	return strstr(text, line);
}

static bool can_bind(uint16_t port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1, rc;

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	rc = bind(fd, (struct sockaddr *)&in, sizeof(in));
	close(fd);
	return rc == 0 || errno == EADDRINUSE; /* taken is not forbidden */
}

static bool has_group(gid_t wanted)
{
	gid_t groups[100];
	int n = getgroups(100, groups);

	for (int i = 0; i < n; i++)
		if (groups[i] == wanted)
			return true;
	return n < 0;
}

static void drop_and_look(void)
{
	const gid_t of_root[] = {0, 4242};
	struct passwd *pw = getpwnam(USER);
	struct error err = {0};
	bool could_bind = can_bind(443);

	need(setgroups(2, of_root) == 0);
	if (privileges_drop(USER, &err) < 0) {
		fprintf(stderr, "%s\n", err.text);
		_exit(1);
	}
	need(getuid() == pw->pw_uid && geteuid() == pw->pw_uid);
	need(getgid() == pw->pw_gid && getegid() == pw->pw_gid);
	need(has_group(pw->pw_gid) && !has_group(0) && !has_group(4242));
	need(status_has("\nCapInh:\t0000000000000000\n"));
	need(status_has("\nCapAmb:\t0000000000000000\n"));
	if (could_bind) {
		need(status_has("\nCapPrm:\t0000000000000400\n"));
		need(status_has("\nCapEff:\t0000000000000400\n"));
	}
	need(status_has("\nCapBnd:\t0000000000000000\n"));
	need(can_bind(443) == could_bind);
	need(setuid(0) < 0 && errno == EPERM);
	need(setgid(0) < 0 && errno == EPERM);
	need(setgroups(0, NULL) < 0 && errno == EPERM);
	need(chown(folder, 0, 0) < 0 && errno == EPERM);
	need(open("/etc/shadow", 0) < 0 && errno == EACCES);
	need(prctl(PR_GET_KEEPCAPS) == 0);
	need(prctl(PR_GET_DUMPABLE) != 1);
	need(privileges_drop(USER, &err) == 0); /* it is that user already */
	need(privileges_drop("root", &err) < 0);
	need(strcmp(err.text, "user: this process was not started as root, and is not \"root\"") ==
		0);
	need(privileges_own(folder, "root", &err) == 0); /* nothing to do */
}

static void drops_for_good(void **state)
{
	need_root();
	in_child(drop_and_look);
}

static void unknown_user(void **state)
{
	struct error err = {0};

	assert_int_equal(privileges_drop("no-such-user-here", &err), -1);
	assert_string_equal(
		err.text, "user: there is no user \"no-such-user-here\" on this system");
}

static void already_that_user(void **state)
{
	struct passwd *pw = getpwuid(geteuid());
	struct error err = {0};

	if (!pw)
		skip();
	assert_int_equal(privileges_drop(pw->pw_name, &err), 0);
	assert_int_equal(geteuid(), pw->pw_uid);
}

static void owner_is(const char *path, uid_t uid)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_uid, uid);
}

static void gives_away_what_root_made(void **state)
{
	struct error err = {0};
	char file[100], link_path[100], second[100];
	struct passwd *pw;

	need_root();
	pw = getpwnam(USER);
	snprintf(file, sizeof(file), "%s/file", folder);
	snprintf(link_path, sizeof(link_path), "%s/link", folder);
	snprintf(second, sizeof(second), "%s/second", folder);
	assert_int_equal(file_write(file, "x", 1, 0600, NULL), 0);
	assert_int_equal(privileges_own(folder, USER, &err), 0);
	owner_is(folder, pw->pw_uid);
	owner_is(file, 0);
	assert_int_equal(privileges_own(file, USER, &err), 0);
	owner_is(file, pw->pw_uid);
	assert_int_equal(privileges_own(file, USER, &err), 0);

	assert_int_equal(chown(file, 0, 0), 0);
	assert_int_equal(symlink(file, link_path), 0);
	assert_int_equal(privileges_own(link_path, USER, &err), -1);
	assert_non_null(strstr(err.text, "is a link"));
	owner_is(file, 0);
	owner_is(link_path, 0);
	assert_int_equal(link(file, second), 0);
	assert_int_equal(privileges_own(second, USER, &err), -1);
	owner_is(file, 0);
	unlink(second);
	unlink(link_path);
	unlink(file);
	assert_int_equal(privileges_own(file, USER, &err), -1);
	assert_non_null(strstr(err.text, "No such file"));
	assert_int_equal(privileges_own(folder, "no-such-user-here", &err), -1);
	assert_non_null(strstr(err.text, "there is no user"));
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drops_for_good),
		cmocka_unit_test(unknown_user),
		cmocka_unit_test(already_that_user),
		cmocka_unit_test(gives_away_what_root_made),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
