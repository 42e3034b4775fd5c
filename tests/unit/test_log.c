#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define STAMP_LEN strlen("2026-11-25T22:04:39.123Z")

static char folder[] = "/tmp/test_log.XXXXXX";
static char log_path[100], old_path[100];

static char *content(const char *path)
{
	struct error err = {0};
	size_t len;
	char *text = file_read(path, 64u << 20, &len, &err);

	assert_string_equal(err.text, "");
	assert_int_equal(strlen(text), len);
	return text;
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void start(enum log_level level, enum log_format format)
{
	struct error err = {0};

	unlink(log_path);
	log_configure(level, format);
	assert_int_equal(log_start(log_path, &err), 0);
}

/* What the log holds after one message, without the time. */
static void assert_line(enum log_format format, const char *message, const char *want)
{
	size_t skip = format == LOG_JSON ? strlen("{\"time\":\"") : 0;
	char *text;

	start(LOG_INFO, format);
	log_info("%s", message);
	log_stop();
	text = content(log_path);
	assert_true(strlen(text) > skip + STAMP_LEN);
	assert_int_equal(text[skip + 10], 'T');
	assert_int_equal(text[skip + STAMP_LEN - 1], 'Z');
	assert_string_equal(text + skip + STAMP_LEN, want);
	free(text);
}

static void text_lines(void **state)
{
	assert_line(LOG_TEXT, "hello \"you\"", " info  hello \"you\"\n");
	assert_line(LOG_TEXT, "", " info  \n");
	assert_line(LOG_TEXT, "one\ntwo\r\x1b[31m\x7f", " info  one\\x0atwo\\x0d\\x1b[31m\\x7f\n");
}

static void json_lines(void **state)
{
	assert_line(LOG_JSON, "hello", "\",\"level\":\"info\",\"message\":\"hello\"}\n");
	assert_line(LOG_JSON, "a \"b\" \\ \n\x7f",
		"\",\"level\":\"info\",\"message\":\"a \\\"b\\\" \\\\ \\\\x0a\\\\x7f\"}\n");
}

static void only_utf8_passes(void **state)
{
	/* ä, €, U+1F600, the last before the surrogates, the last of all */
	assert_line(LOG_TEXT,
		"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf",
		" info  \xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf\n");
	assert_line(LOG_TEXT, "\x80 \xff \xc3", " info  \\x80 \\xff \\xc3\n");
	assert_line(
		LOG_TEXT, "\xc0\x8a \xc1\xbf", " info  \\xc0\\x8a \\xc1\\xbf\n"); /* over long */
	assert_line(LOG_TEXT, "\xe0\x9f\xbf", " info  \\xe0\\x9f\\xbf\n");
	assert_line(LOG_TEXT, "\xf0\x8f\xbf\xbf", " info  \\xf0\\x8f\\xbf\\xbf\n");
	assert_line(LOG_TEXT, "\xed\xa0\x80", " info  \\xed\\xa0\\x80\n"); /* a surrogate */
	assert_line(LOG_TEXT, "\xf4\x90\x80\x80", " info  \\xf4\\x90\\x80\\x80\n");
	assert_line(LOG_TEXT,
		"\xc2\x9b"
		"31m",
		" info  \\xc2\\x9b31m\n"); /* C1: a terminal's CSI */
	assert_line(LOG_TEXT, "\xe2\x82", " info  \\xe2\\x82\n");
	assert_line(LOG_JSON, "\xff\xc3\xa4",
		"\",\"level\":\"info\",\"message\":\"\\\\xff\xc3\xa4\"}\n");
}

static void long_lines_are_cut(void **state)
{
	char *big = mem_alloc(20001), *text;

	memset(big, 'x', 20000);
	big[20000] = '\0';
	start(LOG_INFO, LOG_TEXT);
	log_info("%s", big);
	log_info("next");
	log_stop();
	text = content(log_path);
	assert_int_equal(count_lines(text), 2);
	assert_non_null(strstr(text, "xxx...\n"));
	free(text);
	free(big);
}

static void levels(void **state)
{
	char *text;

	start(LOG_WARN, LOG_TEXT);
	assert_true(log_wants(LOG_ERROR));
	assert_true(log_wants(LOG_WARN));
	assert_false(log_wants(LOG_INFO));
	errno = EXDEV;
	log_error("an error");
	assert_int_equal(errno, EXDEV);
	log_warn("a warning");
	log_info("not this");
	log_debug("nor this");
	log_configure(LOG_DEBUG, LOG_TEXT);
	log_debug("but this");
	log_stop();
	text = content(log_path);
	assert_int_equal(count_lines(text), 3);
	assert_non_null(strstr(text, " error an error\n"));
	assert_non_null(strstr(text, " warn  a warning\n"));
	assert_non_null(strstr(text, " debug but this\n"));
	free(text);
}

/* Until the writer has written it: it must, so there is no limit but the test driver's. */
static void wait_for(const char *path, const char *wanted)
{
	for (;;) {
		char *text = content(path);
		bool found = strstr(text, wanted);

		free(text);
		if (found)
			return;
		usleep(1000);
	}
}

static void reopens_after_a_rename(void **state)
{
	char *text;

	start(LOG_INFO, LOG_TEXT);
	log_info("before");
	wait_for(log_path, "before");
	assert_int_equal(rename(log_path, old_path), 0);
	log_info("between");
	wait_for(old_path, "between");
	assert_int_equal(log_reopen(NULL), 0);
	log_info("after");
	log_stop();
	text = content(old_path);
	assert_null(strstr(text, "after"));
	free(text);
	text = content(log_path);
	assert_int_equal(count_lines(text), 1);
	assert_non_null(strstr(text, "after"));
	free(text);
}

static void bad_file_leaves_the_old_one(void **state)
{
	struct error err = {0};
	char bad[120];

	snprintf(bad, sizeof(bad), "%s/missing/log", folder);
	assert_int_equal(log_start(bad, &err), -1);
	assert_non_null(strstr(err.text, "log.file: cannot open"));
	assert_non_null(strstr(err.text, bad));
	start(LOG_INFO, LOG_TEXT);
	assert_int_equal(log_set_file(bad, &err), -1);
	log_info("still here");
	wait_for(log_path, "still here");
	assert_int_equal(log_set_file(old_path, &err), 0);
	log_info("moved");
	wait_for(old_path, "moved");
	assert_int_equal(log_reopen(&err), 0); /* the new one's */
	log_info("again");
	log_stop();
	wait_for(old_path, "again");
}

static void full_disk_is_counted_and_told(void **state)
{
	struct error err = {0};
	uint64_t before = log_dropped();
	char wanted[80], *text;

	unlink(log_path);
	log_configure(LOG_INFO, LOG_TEXT);
	assert_int_equal(log_start("/dev/full", &err), 0);
	for (int i = 0; i < 10; i++)
		log_info("lost %d", i);
	while (log_dropped() < before + 10)
		usleep(1000);
	assert_int_equal(log_dropped(), before + 10);
	assert_int_equal(log_set_file(log_path, &err), 0);
	log_info("found");
	log_stop();
	assert_int_equal(log_dropped(), before + 10);
	text = content(log_path);
	snprintf(wanted, sizeof(wanted), " warn  log: %llu lines were lost so far\n",
		(unsigned long long)before + 10);
	assert_int_equal(count_lines(text), 2);
	assert_non_null(strstr(text, " info  found\n"));
	assert_non_null(strstr(text, wanted));
	free(text);
}

/* A pipe that nobody reads stands for the slow disk: the callers go on, and what was lost is told.
 */
static void slow_disk_holds_nobody_up(void **state)
{
	char name[40], buffer[65536], big[1001];
	uint64_t before = log_dropped(), wanted;
	struct str all = {0};
	int ends[2];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	assert_int_equal(pipe(ends), 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", ends[1]);
	log_configure(LOG_INFO, LOG_TEXT);
	assert_int_equal(log_start(name, NULL), 0);
	for (int i = 0; i < 10000; i++)
		log_info("%s", big);
	assert_true(log_dropped() > before);
	wanted = 10000 - (log_dropped() - before) + 1;
	for (size_t lines = 0; lines < wanted;) {
		ssize_t n = read(ends[0], buffer, sizeof(buffer) - 1);

		assert_true(n > 0);
		buffer[n] = '\0';
		lines += count_lines(buffer);
		str_add(&all, buffer, (size_t)n);
	}
	log_stop();
	assert_int_equal(count_lines(all.data), wanted);
	assert_non_null(strstr(all.data, "lines were lost so far\n"));
	str_clear(&all);
	close(ends[1]);
	close(ends[0]);
}

#define THREADS 4
#define LINES   2000

static void *write_lines(void *arg)
{
	for (int i = 0; i < LINES; i++)
		log_info("thread %d line %d end", *(int *)arg, i);
	return NULL;
}

/* No line is lost, torn or out of its thread's order, while the file is changed underneath. */
static void threads_share_it(void **state)
{
	int id[THREADS], next[THREADS] = {0}, thread, number;
	pthread_t threads[THREADS];
	char *text, *line, *rest;
	uint64_t before = log_dropped();

	start(LOG_INFO, LOG_TEXT);
	for (int i = 0; i < THREADS; i++) {
		id[i] = i;
		assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &id[i]), 0);
	}
	for (int i = 0; i < 100; i++) {
		assert_int_equal(log_reopen(NULL), 0);
		log_configure(LOG_INFO, LOG_TEXT);
	}
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	log_stop();
	assert_int_equal(log_dropped(), before);
	text = content(log_path);
	assert_int_equal(count_lines(text), THREADS * LINES);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		int used = 0;

		assert_int_equal(sscanf(line + STAMP_LEN, " info thread %d line %d end%n", &thread,
					 &number, &used),
			2);
		assert_int_equal(STAMP_LEN + (size_t)used, strlen(line));
		assert_int_equal(number, next[thread]++);
	}
	free(text);
}

static void without_the_thread_it_is_standard_error(void **state)
{
	int kept = dup(STDERR_FILENO), fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char *text;

	assert_true(kept >= 0 && fd >= 0);
	dup2(fd, STDERR_FILENO);
	log_configure(LOG_INFO, LOG_TEXT);
	log_info("direct");
	assert_int_equal(log_start("-", NULL), 0);
	log_info("queued");
	log_stop();
	log_stop();
	log_info("direct again");
	dup2(kept, STDERR_FILENO);
	close(kept);
	close(fd);
	text = content(log_path);
	assert_int_equal(count_lines(text), 3);
	assert_true(strstr(text, "direct\n") < strstr(text, "queued\n"));
	assert_true(strstr(text, "queued\n") < strstr(text, "direct again\n"));
	free(text);
}

static int make_folder(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(log_path, sizeof(log_path), "%s/log", folder);
	snprintf(old_path, sizeof(old_path), "%s/log.1", folder);
	return 0;
}

static int remove_folder(void **state)
{
	unlink(log_path);
	unlink(old_path);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_lines),
		cmocka_unit_test(json_lines),
		cmocka_unit_test(only_utf8_passes),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(levels),
		cmocka_unit_test(reopens_after_a_rename),
		cmocka_unit_test(bad_file_leaves_the_old_one),
		cmocka_unit_test(full_disk_is_counted_and_told),
		cmocka_unit_test(slow_disk_holds_nobody_up),
		cmocka_unit_test(threads_share_it),
		cmocka_unit_test(without_the_thread_it_is_standard_error),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
