#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/logfile.h"
#include "base/mem.h"

static char folder[] = "/tmp/test_logfile.XXXXXX";
static char path[100], other[100], fifo[100];
static struct logfile file = {LOGFILE_INIT, .option = "some.log"};

static char *content(const char *of)
{
	struct error err = {0};
	size_t len;
	char *text = file_read(of, 64u << 20, &len, &err);

	assert_string_equal(err.text, "");
	return text;
}

static void assert_content(const char *of, const char *want)
{
	char *text = content(of);

	assert_string_equal(text, want);
	free(text);
}

/* The writer gets there: there is no limit but the test driver's. */
static void wait_for_content(const char *of, const char *want)
{
	for (bool same = false; !same; usleep(1000)) {
		char *text = content(of);

		same = strcmp(text, want) == 0;
		free(text);
	}
}

static void use(const char *name)
{
	int fd = logfile_open(&file, name, NULL);

	assert_true(fd >= 0);
	logfile_use(&file, name, fd);
}

static bool add(const char *line)
{
	return logfile_add(&file, line, strlen(line));
}

static int start(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	unlink(fifo);
	return mkfifo(fifo, 0600) < 0 ? -1 : logfile_start(&file, NULL);
}

static int stop(void **state)
{
	(void)state;
	logfile_stop(&file);
	return 0;
}

static void lines_want_a_file(void **state)
{
	assert_false(add("for nobody\n"));
	use(path);
	assert_true(add("one\n"));
	logfile_rest(&file);
	assert_false(add("for nobody\n"));
	wait_for_content(path, "one\n");
	use(other);
	assert_true(add("two\n"));
	logfile_stop(&file);
	assert_false(add("for nobody\n"));
	assert_content(path, "one\n");
	assert_content(other, "two\n");
	assert_int_equal(logfile_dropped(&file), 0);
}

static void a_file_at_rest_is_closed(void **state)
{
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	char end[100];
	ssize_t n;

	use(fifo);
	assert_true(add("one\n"));
	logfile_rest(&file);
	while ((n = read(reader, end, sizeof(end))) != 0) /* until nobody writes to it */
		assert_true(n > 0 ? n == 4 : errno == EAGAIN);
	assert_int_equal(logfile_reopen(&file, NULL), 0); /* nothing to do */
	close(reader);
}

/* Asked to reopen faster than its thread comes to it, it keeps nothing open. */
static void a_file_never_written_to_is_closed(void **state)
{
	struct logfile idle = {LOGFILE_INIT, .option = "some.log"};
	int first = logfile_open(&idle, path, NULL), second = logfile_open(&idle, path, NULL);

	(void)state;
	assert_true(first >= 0 && second >= 0);
	logfile_use(&idle, path, first);
	logfile_use(&idle, path, second);
	assert_int_equal(fcntl(first, F_GETFD), -1);
	assert_int_not_equal(fcntl(second, F_GETFD), -1);
	assert_int_equal(logfile_start(&idle, NULL), 0);
	logfile_stop(&idle);
	assert_int_equal(fcntl(second, F_GETFD), -1);
}

static void a_pipe_without_reader_is_refused(void **state)
{
	struct error err;

	assert_int_equal(logfile_open(&file, fifo, &err), -1);
	assert_non_null(strstr(err.text, "some.log: cannot open "));
	assert_non_null(strstr(err.text, ": nobody reads from this pipe: start its reader first"));
}

#define BIG 100000 /* bytes: more than a pipe takes */

static char *big_line(void)
{
	char *line = mem_alloc(BIG + 1);

	memset(line, 'x', BIG);
	line[BIG - 1] = '\n';
	line[BIG] = '\0';
	return line;
}

static void wait_for_bytes(int reader)
{
	assert_int_equal(poll(&(struct pollfd){.fd = reader, .events = POLLIN}, 1, -1), 1);
}

/* Whoever waits for the end, or for another file, is not held up by who does not read. */
static void a_stuck_pipe_can_be_left(void **state)
{
	uint64_t before = logfile_dropped(&file);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	char *line = big_line();

	use(fifo);
	assert_true(add(line));
	wait_for_bytes(reader); /* else it is the other file that it goes to */
	use(path);
	assert_true(add("one\n"));
	while (logfile_dropped(&file) != before + 1)
		usleep(1000);
	logfile_stop(&file);
	assert_content(path, "one\n");
	close(reader);
	free(line);
}

static void the_end_does_not_wait_for_a_reader(void **state)
{
	uint64_t before = logfile_dropped(&file);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	char *line = big_line();

	use(fifo);
	assert_true(add(line));
	logfile_stop(&file);
	assert_int_equal(logfile_dropped(&file), before + 1);
	close(reader);
	free(line);
}

static void a_reader_that_comes_back_is_served(void **state)
{
	uint64_t before = logfile_dropped(&file);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	char got[100] = "";

	use(fifo);
	close(reader);
	assert_true(add("lost\n"));
	while (logfile_dropped(&file) != before + 1)
		usleep(1000);
	reader = open(fifo, O_RDONLY | O_NONBLOCK);
	assert_true(add("found\n"));
	logfile_stop(&file);
	assert_int_equal(read(reader, got, sizeof(got) - 1), 6);
	assert_string_equal(got, "found\n");
	close(reader);
}

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Lines that nobody takes wait up to a bound; then they are dropped, at once. */
static void the_queue_has_a_bound(void **state)
{
	uint64_t before = logfile_dropped(&file);
	int reader = open(fifo, O_RDONLY | O_NONBLOCK);
	char *line = big_line();

	use(fifo);
	for (int i = 0; i < 100; i++) /* 10 MB */
		assert_true(add(line));
	/* 41 fit in, and what the writer has taken meanwhile is 41 more at most. */
	assert_in_range(logfile_dropped(&file), before + 100 - 2 * 41, before + 100 - 41);
	logfile_stop(&file);
	assert_int_equal(logfile_dropped(&file), before + 100);
	close(reader);
	free(line);
}

/* A disk that gets full within a line, and has room again. */
static void what_follows_a_torn_line_is_whole(void **state)
{
	uint64_t before = logfile_dropped(&file);

	use(path);
	limit_files(10);
	assert_true(add("first\nsecond\nthird\n"));
	while (logfile_dropped(&file) != before + 2)
		usleep(1000);
	assert_true(add("fourth\n"));
	while (logfile_dropped(&file) != before + 3)
		usleep(1000);
	limit_files(RLIM_INFINITY);
	assert_true(add("fifth\n"));
	logfile_stop(&file);
	assert_content(path, "first\nseco\nfifth\n");
	assert_int_equal(logfile_dropped(&file), before + 3);
}

static int make_folder(void **state)
{
	(void)state;
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/log", folder);
	snprintf(other, sizeof(other), "%s/other", folder);
	snprintf(fifo, sizeof(fifo), "%s/fifo", folder);
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	unlink(path);
	unlink(other);
	unlink(fifo);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lines_want_a_file, start, stop),
		cmocka_unit_test_setup_teardown(a_file_at_rest_is_closed, start, stop),
		cmocka_unit_test_setup_teardown(a_file_never_written_to_is_closed, start, stop),
		cmocka_unit_test_setup_teardown(a_pipe_without_reader_is_refused, start, stop),
		cmocka_unit_test_setup_teardown(a_stuck_pipe_can_be_left, start, stop),
		cmocka_unit_test_setup_teardown(the_end_does_not_wait_for_a_reader, start, stop),
		cmocka_unit_test_setup_teardown(the_queue_has_a_bound, start, stop),
		cmocka_unit_test_setup_teardown(a_reader_that_comes_back_is_served, start, stop),
		cmocka_unit_test_setup_teardown(what_follows_a_torn_line_is_whole, start, stop),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
