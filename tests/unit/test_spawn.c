/* The helper process: what it runs, what it refuses, how runs end, what programs are given. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/spawn.h"
#include "base/str.h"

#define LONG_MS 60000 /* nobody waits that long */
#define THREADS 8

static char folder[] = "/tmp/test_spawn.XXXXXX";
static char shell[] = "/bin/sh", flag[] = "-c", name[] = "x", script[] = "eval \"$1\"",
	    other[] = "exit 0", missing[] = "/nowhere/program", no_format[] = "x";
static char *of_shell[] = {shell, flag, script, name}, *of_missing[] = {missing},
	    *of_other[] = {shell, flag, other, name}, *of_words[] = {shell, flag, script, other},
	    *of_plain[] = {no_format};
static char strict_script[] = "printf '%s\\n' \"$@\"";
static char *of_strict[] = {shell, flag, strict_script, name};
static const struct spawn_word any[] = {{NULL, 0, SPAWN_BYTES_MAX, true},
	{NULL, 0, SPAWN_BYTES_MAX, true}, {NULL, 0, SPAWN_BYTES_MAX, true},
	{NULL, 0, SPAWN_BYTES_MAX, true}, {NULL, 0, SPAWN_BYTES_MAX, true},
	{NULL, 0, SPAWN_BYTES_MAX, true}};
static const struct spawn_word kinds[] = {{"abc-.", 2, 4, false}, {"01-", 3, 3, true}};
static const struct spawn_command commands[] = {{of_shell, 4, any, 1}, {of_missing, 1, NULL, 0},
	{of_plain, 1, NULL, 0}, {of_words, 4, any, 6}, {of_strict, 4, kinds, 2}};
#define N_COMMANDS (sizeof(commands) / sizeof(*commands))

/* What a run has said, a line each, with "2:" in front of standard error's. */
struct said {
	struct str text;
	size_t n;
};

static void on_line(void *arg, bool is_stderr, const char *text)
{
	struct said *s = arg;

	str_addf(&s->text, "%s%s\n", is_stderr ? "2:" : "", text);
	s->n++;
}

/* Runs a text in a shell, which the commands here make possible. */
static int shell_run(const char *text, struct said *s, int64_t timeout_ms, const struct stop *stop,
	struct error *err)
{
	const char *words[] = {text};
	const struct spawn_run run = {.command = 0,
		.words = words,
		.n = 1,
		.stop = stop,
		.timeout_ms = timeout_ms,
		.line = s ? on_line : NULL,
		.arg = s};

	return spawn_run(&run, err);
}

static void start(void)
{
	struct error err;

	assert_int_equal(spawn_start(commands, N_COMMANDS, NULL, &err), 0);
}

static int set_up(void **state)
{
	int fd;

	(void)state;
	assert_non_null(mkdtemp(folder));
	of_plain[0] = mem_printf("%s/plain", folder);
	assert_int_equal(file_write(of_plain[0], "exit 0\n", 7, 0755, NULL), 0);
	setenv("SECRET_OF_OURS", "hunter2", 1);
	setenv("EXEC_OF_THEIRS", "passed on", 1);
	fd = open("/dev/null", O_RDONLY); /* one that is not closed by execve() */
	assert_true(fd >= 0 && dup2(fd, 50) == 50);
	signal(SIGPIPE, SIG_IGN);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	unlink(of_plain[0]);
	free(of_plain[0]);
	return rmdir(folder);
}

static void test_known_commands_only(void **state)
{
	const struct spawn_command longer = {of_shell, 3, any, 1},
				   different = {of_other, 4, any, 1};
	const struct spawn_run unknown = {.command = 17, .timeout_ms = LONG_MS};
	const struct spawn_run negative = {.command = -1, .timeout_ms = LONG_MS};
	struct error err;

	(void)state;
	assert_false(spawn_is_settled());
	start();
	assert_true(spawn_is_settled());
	for (int i = 0; i < (int)N_COMMANDS; i++)
		assert_int_equal(spawn_find(&commands[i]), i);
	assert_int_equal(spawn_find(&longer), -1);
	assert_int_equal(spawn_find(&different), -1);
	assert_int_equal(spawn_run(&unknown, &err), -1);
	assert_string_equal(err.text, "was refused by the process that starts programs");
	assert_int_equal(spawn_run(&negative, &err), -1);
	assert_int_equal(shell_run("exit 0", NULL, LONG_MS, NULL, &err), 0);
	spawn_stop();
	assert_false(spawn_is_settled());
}

static void test_none(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(spawn_start(NULL, 0, NULL, &err), 0);
	assert_true(spawn_is_settled());
	assert_int_equal(spawn_find(&commands[0]), -1);
	assert_int_equal(shell_run("exit 0", NULL, LONG_MS, NULL, &err), -1);
	assert_string_equal(err.text, "there is no process that starts programs");
	spawn_stop();
}

static void test_bad_start(void **state)
{
	struct error err;

	(void)state;
	if (geteuid() != 0)
		skip(); /* only root becomes somebody else */
	assert_int_equal(spawn_start(commands, N_COMMANDS, "no-such-user", &err), -1);
	assert_non_null(strstr(err.text, "there is no user \"no-such-user\""));
	assert_int_equal(spawn_find(&commands[0]), -1);
	spawn_stop();
}

static void test_ends(void **state)
{
	const struct spawn_run of_missing_one = {.command = 1, .timeout_ms = LONG_MS},
			       of_plain_one = {.command = 2, .timeout_ms = LONG_MS};
	static char long_word[SPAWN_BYTES_MAX + 2];
	struct error err;

	(void)state;
	start();
	assert_int_equal(shell_run("exit 3", NULL, LONG_MS, NULL, &err), -1);
	assert_string_equal(err.text, "exited with 3");
	assert_int_equal(shell_run("kill -9 $$", NULL, LONG_MS, NULL, &err), -1);
	assert_string_equal(err.text, "was killed by signal 9 (Killed)");
	assert_int_equal(spawn_run(&of_missing_one, &err), -1);
	assert_non_null(strstr(err.text, "cannot be started: No such file or directory"));
	assert_int_equal(spawn_run(&of_plain_one, &err), -1);
	assert_non_null(strstr(err.text, "is the interpreter right that its first line names"));
	memset(long_word, 'x', sizeof(long_word) - 1);
	assert_int_equal(shell_run(long_word, NULL, LONG_MS, NULL, &err), -1);
	assert_non_null(strstr(err.text, "too long"));
	spawn_stop();
}

/* Descriptors, environment, folder, signals, groups: nothing of ours. */
static void test_what_programs_are_given(void **state)
{
	struct said s = {0};
	struct error err;
	char *ignored;

	(void)state;
	start();
	assert_int_equal(shell_run("ls /proc/self/fd | tr '\\n' ' '; echo; env | sort; echo in "
				   "$(pwd); readlink /proc/self/fd/0; grep -E "
				   "'^(SigBlk|SigIgn|NoNewPrivs|CapEff|CapPrm|CapAmb):' "
				   "/proc/self/status",
				 &s, LONG_MS, NULL, &err),
		0);
	assert_int_equal(strncmp(s.text.data, "0 1 2 3 \n", 9), 0); /* 3 is ls's own */
	assert_null(strstr(s.text.data, "hunter2"));
	assert_non_null(strstr(s.text.data, "EXEC_OF_THEIRS=passed on\n"));
	assert_non_null(strstr(s.text.data, "\nHOME=/\n"));
	assert_non_null(strstr(s.text.data, "\nPATH="));
	assert_non_null(strstr(s.text.data, "in /\n"));
	assert_non_null(strstr(s.text.data, "/dev/null\n"));
	assert_non_null(strstr(s.text.data, "SigBlk:\\x090000000000000000\n"));
	ignored = strstr(s.text.data, "SigIgn:\\x09");
	assert_non_null(ignored);
	/* Without 32 and 33, which are the C library's: a make that was used may leave them so. */
	assert_int_equal(strtoull(ignored + 11, NULL, 16) & 0x7fffffff, 0);
	assert_non_null(strstr(s.text.data, "NoNewPrivs:\\x091\n"));
	assert_non_null(strstr(s.text.data, "CapEff:\\x090000000000000000\n"));
	assert_non_null(strstr(s.text.data, "CapPrm:\\x090000000000000000\n"));
	assert_non_null(strstr(s.text.data, "CapAmb:\\x090000000000000000\n"));
	spawn_stop();
	str_clear(&s.text);
}

/* Words stay words, whatever is in them. */
static void test_words(void **state)
{
	const char *words[] = {"printf '%s\\n' \"$@\"", "", "a b", "$(exit 1)", "--", "\"';\\"};
	struct said s = {0};
	const struct spawn_run run = {.command = 3,
		.words = words,
		.n = 6,
		.timeout_ms = LONG_MS,
		.line = on_line,
		.arg = &s};
	struct error err;

	(void)state;
	start();
	assert_int_equal(spawn_run(&run, &err), 0);
	assert_non_null(strstr(s.text.data, "\na b\n$(exit 1)\n--\n\\x22';\\x5c\n"));
	spawn_stop();
	str_clear(&s.text);
}

/* The helper itself insists on number and kinds. */
static void test_words_of_other_kinds(void **state)
{
	static const struct {
		const char *words[3];
		size_t n;
		bool good;
	} cases[] = {
		{{"a-b.", "-01"}, 2, true},
		{{"ab", "000"}, 2, true},
		{{"ab"}, 1, false},
		{{"ab", "000", "ab"}, 3, false},
		{{NULL}, 0, false},
		{{"-ab", "000"}, 2, false},
		{{"a", "000"}, 2, false},
		{{"abcab", "000"}, 2, false},
		{{"aB", "000"}, 2, false},
		{{"a b", "000"}, 2, false},
		{{"", "000"}, 2, false},
		{{"ab", "--help"}, 2, false},
		{{"ab", "00"}, 2, false},
		{{"ab", "00\n"}, 2, false},
	};
	struct error err;

	(void)state;
	start();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct said s = {0};
		const struct spawn_run run = {.command = 4,
			.words = cases[i].words,
			.n = cases[i].n,
			.timeout_ms = LONG_MS,
			.line = on_line,
			.arg = &s};
		int rc = spawn_run(&run, &err);

		assert_int_equal(rc, cases[i].good ? 0 : -1);
		if (!cases[i].good)
			assert_string_equal(
				err.text, "was refused by the process that starts programs");
		assert_int_equal(s.n, cases[i].good ? 2 : 0);
		str_clear(&s.text);
	}
	spawn_stop();
}

static void test_output(void **state)
{
	struct said s = {0};
	struct error err;

	(void)state;
	start();
	assert_int_equal(
		shell_run("echo one; sleep 0.05; echo two >&2; sleep 0.05; printf '\\033[1m"
			  "three'",
			&s, LONG_MS, NULL, &err),
		0);
	assert_string_equal(s.text.data, "one\n2:two\n\\x1b[1mthree\n");
	str_clear(&s.text);
	/* A long line, then more lines than are told, then more bytes than any pipe holds. */
	s = (struct said){0};
	assert_int_equal(shell_run("head -c 3000 /dev/zero | tr '\\0' x; echo; yes | head -c "
				   "4000000; exit 4",
				 &s, LONG_MS, NULL, &err),
		-1);
	assert_string_equal(err.text, "exited with 4");
	assert_int_equal(s.n, SPAWN_LINES_MAX + 1);
	assert_non_null(strstr(s.text.data, "xxx... (3000 bytes)\n"));
	assert_non_null(strstr(s.text.data, "2:and 1999901 more lines, of 1999901 bytes\n"));
	spawn_stop();
	str_clear(&s.text);
}

/* 0 when there is no such process. The kernel's files have no size, and so file_read() is of no use
 * for them. */
static long parent_of(long pid, char *state)
{
	char *path = mem_printf("/proc/%ld/stat", pid);
	FILE *f = fopen(path, "re");
	long parent = 0;

	if (f && fscanf(f, "%*d (%*[^)]) %c %ld", state, &parent) != 2)
		parent = 0;
	if (f)
		fclose(f);
	free(path);
	return parent;
}

/* Whether a process is there, and runs. */
static bool is_alive(long pid)
{
	char state = 'X';

	return parent_of(pid, &state) && state != 'Z' && state != 'X';
}

static bool dies(long pid)
{
	for (int i = 0; i < 1000 && is_alive(pid); i++)
		usleep(10000);
	return !is_alive(pid);
}

static long number_in(const char *text)
{
	return text ? strtol(text, NULL, 10) : 0;
}

/* The group goes with its program: at the time-out, and when the program has ended. */
static void test_grandchildren(void **state)
{
	struct said s = {0};
	struct error err;

	(void)state;
	start();
	assert_int_equal(shell_run("sleep 1000 & echo $!; wait", &s, 300, NULL, &err), -1);
	assert_string_equal(err.text, "did not end within 300ms, and was killed");
	assert_true(number_in(s.text.data) > 0);
	assert_true(dies(number_in(s.text.data)));
	str_clear(&s.text);
	s = (struct said){0};
	assert_int_equal(shell_run("sleep 1000 & echo $!", &s, LONG_MS, NULL, &err), 0);
	assert_true(dies(number_in(s.text.data)));
	str_clear(&s.text);
	spawn_stop();
}

/* What has left the group goes on, as the helper's child, which waits for it at its end: else it
 * would be the daemon's, where that is the first process of a container. */
static void test_orphans(void **state_)
{
	struct said s = {0};
	struct error err;
	char *helper, state;
	long pid;

	(void)state_;
	start();
	assert_int_equal(shell_run("setsid sleep 1000 & echo $!; echo $PPID; until [ \"$(cut -d' ' "
				   "-f6 /proc/$!/stat)\" = $! ]; do sleep 0.01; done",
				 &s, LONG_MS, NULL, &err),
		0);
	pid = number_in(s.text.data);
	helper = strchr(s.text.data, '\n');
	assert_non_null(helper);
	assert_int_equal(parent_of(pid, &state), number_in(helper + 1));
	assert_int_equal(kill((pid_t)pid, SIGKILL), 0);
	for (int i = 0; i < 1000 && kill((pid_t)pid, 0) == 0; i++)
		usleep(10000);
	assert_int_equal(kill((pid_t)pid, 0), -1);
	spawn_stop();
	str_clear(&s.text);
}

static void *stop_soon(void *arg)
{
	usleep(100000);
	stop_set(arg);
	return NULL;
}

static void test_stop(void **state)
{
	struct stop stop;
	struct error err;
	pthread_t thread;

	(void)state;
	start();
	assert_int_equal(stop_init(&stop, NULL), 0);
	assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stop), 0);
	assert_int_equal(shell_run("sleep 1000", NULL, LONG_MS, &stop, &err), -1);
	assert_string_equal(err.text, "stopped");
	pthread_join(thread, NULL);
	assert_int_equal(shell_run("sleep 1000", NULL, LONG_MS, &stop, &err), -1);
	assert_string_equal(err.text, "stopped");
	stop_clear(&stop);
	assert_int_equal(shell_run("exit 0", NULL, LONG_MS, NULL, &err), 0);
	spawn_stop();
}

struct one {
	pthread_t thread;
	int number;
	bool good;
};

static void *run_some(void *arg)
{
	struct one *o = arg;

	o->good = true;
	for (int i = 0; i < 10; i++) {
		char *text = mem_printf("echo %d; exit %d", 1000 * o->number + i, o->number);
		char *ended = mem_printf("exited with %d", o->number);
		struct said s = {0};
		struct error err;

		o->good &= shell_run(text, &s, LONG_MS, NULL, &err) == -1;
		o->good &= strcmp(err.text, ended) == 0;
		o->good &= number_in(s.text.data) == 1000 * o->number + i;
		str_clear(&s.text);
		free(ended);
		free(text);
	}
	return NULL;
}

/* Each thread gets the end and the output of its own runs. */
static void test_many_at_once(void **state)
{
	struct one v[THREADS];

	(void)state;
	start();
	for (int i = 0; i < THREADS; i++) {
		v[i].number = i + 1;
		assert_int_equal(pthread_create(&v[i].thread, NULL, run_some, &v[i]), 0);
	}
	for (int i = 0; i < THREADS; i++) {
		pthread_join(v[i].thread, NULL);
		assert_true(v[i].good);
	}
	spawn_stop();
}

/* Signals that go to all of a process group do not end the helper; its end is the end of what
 * it runs. */
static void test_helper_gone(void **state)
{
	struct said s = {0};
	struct error err;
	long helper;

	(void)state;
	start();
	assert_int_equal(shell_run("echo $PPID", &s, LONG_MS, NULL, &err), 0);
	helper = number_in(s.text.data);
	assert_true(helper > 1 && helper != getpid());
	kill((pid_t)helper, SIGTERM);
	kill((pid_t)helper, SIGINT);
	kill((pid_t)helper, SIGHUP);
	assert_int_equal(shell_run("exit 0", NULL, LONG_MS, NULL, &err), 0);
	str_clear(&s.text);
	s = (struct said){0};
	assert_int_equal(
		shell_run("echo $$; kill -9 $PPID; sleep 1000", &s, LONG_MS, NULL, &err), -1);
	assert_string_equal(err.text, "the process that starts programs is gone: restart lintel");
	assert_true(dies(number_in(s.text.data)));
	assert_int_equal(shell_run("exit 0", NULL, LONG_MS, NULL, &err), -1);
	assert_string_equal(err.text, "the process that starts programs is gone: restart lintel");
	spawn_stop();
	str_clear(&s.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known_commands_only),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_bad_start),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_what_programs_are_given),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_words_of_other_kinds),
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_grandchildren),
		cmocka_unit_test(test_orphans),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_many_at_once),
		cmocka_unit_test(test_helper_gone),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
