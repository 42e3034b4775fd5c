#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

static char folder[] = "/tmp/test_file.XXXXXX";
static char path_buffer[8][200];

/* FOLDER/name, valid for the next seven calls. */
static const char *in_folder(const char *name)
{
	static unsigned int turn;
	char *path = path_buffer[turn++ % 8];

	snprintf(path, sizeof(path_buffer[0]), "%s/%s", folder, name);
	return path;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void assert_content(const char *path, const char *want)
{
	struct error err = {0};
	size_t len;
	char *data = file_read(path, 1000, &len, &err);

	assert_string_equal(err.text, "");
	assert_non_null(data);
	assert_int_equal(len, strlen(want));
	assert_string_equal(data, want);
	free(data);
}

static void writes_with_exactly_the_mode(void **state)
{
	const char *path = in_folder("modes");
	mode_t old = umask(0077);
	struct error err = {0};

	assert_int_equal(file_write(path, "one", 3, 0644, &err), 0);
	assert_int_equal(mode_of(path), 0644);
	assert_content(path, "one");
	assert_int_equal(file_write(path, "second", 6, 0600, &err), 0);
	assert_int_equal(mode_of(path), 0600); /* the file that was there does not keep its own */
	assert_content(path, "second");
	assert_int_equal(file_write(path, "", 0, 0640, &err), 0);
	assert_content(path, "");
	assert_int_equal(access(in_folder("modes.new"), F_OK), -1);
	umask(old);
}

static void write_replaces_leftovers_and_links(void **state)
{
	const char *path = in_folder("target"), *other = in_folder("other");

	assert_int_equal(file_write(other, "other", 5, 0644, NULL), 0);
	assert_int_equal(symlink(other, in_folder("target.new")), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_int_equal(file_write(path, "mine", 4, 0644, NULL), 0);
	assert_content(path, "mine");
	assert_content(other, "other"); /* neither link was followed */
}

static void staged_is_not_there_until_committed(void **state)
{
	const char *path = in_folder("staged");
	struct error err = {0};

	assert_int_equal(file_write(path, "old", 3, 0644, NULL), 0);
	assert_int_equal(file_stage(path, "new", 3, 0600, &err), 0);
	assert_content(path, "old");
	assert_content(in_folder("staged.new"), "new");
	assert_int_equal(file_commit(path, &err), 0);
	assert_int_equal(file_sync_folder(path, &err), 0);
	assert_content(path, "new");
	assert_int_equal(mode_of(path), 0600);
	assert_int_equal(file_commit(path, &err), -1); /* nothing is staged any more */
	assert_content(path, "new");
}

static void failed_write_leaves_the_old_file(void **state)
{
	const char *path = in_folder("is_folder");
	struct error err = {0};

	assert_int_equal(mkdir(path, 0755), 0);
	assert_int_equal(file_write(path, "x", 1, 0644, &err), -1);
	assert_non_null(strstr(err.text, "cannot rename"));
	assert_non_null(strstr(err.text, path));
	assert_int_equal(access(in_folder("is_folder.new"), F_OK), -1);
	assert_int_equal(file_write(in_folder("missing/x"), "x", 1, 0644, &err), -1);
	assert_non_null(strstr(err.text, "cannot create"));
	assert_non_null(strstr(err.text, "its folder does not exist"));
}

static void read_has_limits(void **state)
{
	const char *path = in_folder("ten");
	struct error err = {0};
	size_t len = 77;
	char *data;

	assert_int_equal(file_write(path,
				 "0123\0"
				 "56789",
				 10, 0644, NULL),
		0);
	data = file_read(path, 10, &len, &err);
	assert_non_null(data);
	assert_int_equal(len, 10);
	assert_memory_equal(data,
		"0123\0"
		"56789",
		11);
	free(data);
	assert_null(file_read(path, 9, &len, &err));
	assert_non_null(strstr(err.text, "more than 9 bytes"));
	assert_null(file_read(in_folder("nothing"), 9, &len, &err));
	assert_non_null(strstr(err.text, "does not exist"));
	assert_null(file_read(folder, 9, &len, &err));
	assert_non_null(strstr(err.text, "not a regular file"));
	assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
	assert_null(file_read(in_folder("fifo"), 9, &len, &err));
	assert_non_null(strstr(err.text, "not a regular file"));
}

static void assert_path(char *path, const char *want)
{
	assert_string_equal(path, want);
	free(path);
}

static void folders_and_resolving(void **state)
{
	assert_path(file_folder("a"), ".");
	assert_path(file_folder("/a"), "/");
	assert_path(file_folder("/a/b"), "/a");
	assert_path(file_folder("a/b/c"), "a/b");
	assert_path(file_folder(""), ".");
	assert_path(file_resolve("/s", "x/y"), "/s/x/y");
	assert_path(file_resolve("/s", "/x/y"), "/x/y");
}

static void makes_what_is_missing(void **state)
{
	mode_t old = umask(0077);
	struct error err = {0};

	assert_int_equal(file_make_dirs(in_folder("a/b//c/"), 0755, &err), 0);
	assert_int_equal(mode_of(in_folder("a")), 0755);
	assert_int_equal(mode_of(in_folder("a/b/c")), 0755);
	assert_int_equal(file_make_dirs(in_folder("a/b/d"), 0700, &err), 0);
	assert_int_equal(mode_of(in_folder("a/b")), 0755); /* what was there keeps its mode */
	assert_int_equal(mode_of(in_folder("a/b/d")), 0700);
	assert_int_equal(file_make_dirs("/", 0755, &err), 0);
	assert_int_equal(file_make_dirs("", 0755, &err), 0);
	assert_string_equal(err.text, "");
	umask(old);

	assert_int_equal(file_write(in_folder("a/file"), "", 0, 0644, NULL), 0);
	assert_int_equal(file_make_dirs(in_folder("a/file"), 0755, &err), -1);
	assert_non_null(strstr(err.text, "a file has that name"));
	assert_int_equal(file_make_dirs(in_folder("a/file/x"), 0755, &err), -1);
	assert_non_null(strstr(err.text, in_folder("a/file")));
}

/* With the sentence that making it would have, and makes nothing. */
static void tells_what_could_be_made(void **state)
{
	const char *file = in_folder("check/file"), *lock = in_folder("check/lock");
	struct error err = {0}, made;

	assert_int_equal(file_check_dirs(in_folder("check/x/y"), &err), 1);
	assert_int_equal(access(in_folder("check"), F_OK), -1);
	assert_int_equal(file_make_dirs(in_folder("check"), 0755, &err), 0);
	assert_int_equal(file_check_dirs(in_folder("check"), &err), 0);
	assert_int_equal(file_check_write("cannot write", file, &err), 0);
	assert_int_equal(access(file, F_OK), -1);
	assert_string_equal(err.text, "");

	assert_int_equal(file_write(file, "", 0, 0644, NULL), 0);
	assert_int_equal(file_check_write("cannot write", file, &err), 0);
	assert_int_equal(file_check_dirs(file, &err), -1);
	assert_int_equal(file_make_dirs(file, 0755, &made), -1);
	assert_string_equal(err.text, made.text);
	assert_int_equal(file_check_dirs(in_folder("check/file/x"), &err), -1);
	assert_string_equal(err.text, made.text);

	assert_int_equal(file_check_write(FILE_OPENING_LOCK, in_folder("none/lock"), &err), -1);
	assert_int_equal(file_lock(in_folder("none/lock"), &made), -1);
	assert_string_equal(err.text, made.text);
	assert_int_equal(file_make_dirs(lock, 0755, NULL), 0);
	assert_int_equal(file_check_write(FILE_OPENING_LOCK, lock, &err), -1);
	assert_int_equal(file_lock(lock, &made), -1);
	assert_string_equal(err.text, made.text);
}

/* The lock is held by another process, which is named; it ends with that process. */
static void second_process_is_refused(void **state)
{
	const char *path = in_folder("lock");
	int ready[2], quit[2], fd, status;
	struct error err = {0};
	char wanted[40], c;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(quit), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(quit[1]);
		fd = file_lock(path, NULL);
		if (fd < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		_exit(read(quit[0], &c, 1) == 0 ? 0 : 1); /* with the lock in hand */
	}
	close(ready[1]);
	close(quit[0]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(file_lock(path, &err), -1);
	snprintf(wanted, sizeof(wanted), "process %d:", (int)pid);
	assert_non_null(strstr(err.text, wanted));
	assert_non_null(strstr(err.text, path));
	close(quit[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ready[0]);

	err.text[0] = '\0';
	fd = file_lock(path, &err);
	assert_string_equal(err.text, "");
	assert_true(fd >= 0);
	assert_int_equal(mode_of(path), 0600);
	snprintf(wanted, sizeof(wanted), "%d\n", (int)getpid());
	assert_content(path, wanted);
	assert_int_equal(file_lock(path, NULL), -1); /* by the same process too */
	close(fd);
	fd = file_lock(path, NULL);
	assert_true(fd >= 0);
	close(fd);
}

static void write_errors_say_what_to_do(void **state)
{
	const struct {
		int number;
		const char *advice;
	} rows[] = {
		{ENOENT, "make it"},
		{EACCES, "must have the right to write there"},
		{ENOSPC, "No space left on device: make room there"},
		{EDQUOT, "make room there"},
		{EROFS, "Read-only file system: make it writable, or choose another path"},
	};
	struct error err = {""};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		errno = rows[i].number;
		assert_int_equal(file_write_error(&err, "cannot write", "/x/y"), -1);
		assert_true(strncmp(err.text, "cannot write /x/y: ", 19) == 0);
		assert_non_null(strstr(err.text, rows[i].advice));
	}
}

static void lock_where_it_cannot_be(void **state)
{
	struct error err = {0};

	assert_int_equal(file_lock(in_folder("missing/lock"), &err), -1);
	assert_non_null(strstr(err.text, "cannot open the lock file"));
	assert_int_equal(symlink("elsewhere", in_folder("lock_link")), 0);
	assert_int_equal(file_lock(in_folder("lock_link"), &err), -1);
}

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	char command[100];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_with_exactly_the_mode),
		cmocka_unit_test(write_replaces_leftovers_and_links),
		cmocka_unit_test(staged_is_not_there_until_committed),
		cmocka_unit_test(failed_write_leaves_the_old_file),
		cmocka_unit_test(read_has_limits),
		cmocka_unit_test(folders_and_resolving),
		cmocka_unit_test(makes_what_is_missing),
		cmocka_unit_test(tells_what_could_be_made),
		cmocka_unit_test(second_process_is_refused),
		cmocka_unit_test(write_errors_say_what_to_do),
		cmocka_unit_test(lock_where_it_cannot_be),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
