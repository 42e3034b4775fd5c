#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <netdb.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/file.h"
#include "base/log.h"
#include "base/sandbox.h"

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
	__has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define WITH_SECCOMP false
#else
#define WITH_SECCOMP true
#endif

static char folder[] = "/tmp/test_sandbox.XXXXXX";
static char path_buffer[8][200];

/* FOLDER/name, valid for the next seven calls. "in" is writable in the sandbox, "out" is not. */
static const char *at(const char *name)
{
	static unsigned int turn;
	char *path = path_buffer[turn++ % 8];

	snprintf(path, sizeof(path_buffer[0]), "%s/%s", folder, name);
	return path;
}

/* Tests run in a child, which says what is wrong and ends. */
#define need(what)                                                                                 \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: not so: %s (errno: %s)\n", __FILE__, __LINE__,     \
				#what, strerror(errno));                                           \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* How a child ended that ran `run` in the sandbox. */
static int in_sandbox(void (*run)(void))
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		const char *const writable[] = {at("in"), at("single")};
		struct rlimit no_core = {0, 0};
		struct error err = {0};

		setrlimit(RLIMIT_CORE, &no_core);
		if (sandbox_enter(writable, 2, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			_exit(1);
		}
		run();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void need_landlock(void)
{
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 1) {
		print_message("skipped: this kernel has no Landlock\n");
		skip();
	}
}

static void need_seccomp(void)
{
	if (!WITH_SECCOMP) {
		print_message("skipped: no seccomp in a build with this sanitizer\n");
		skip();
	}
}

static bool status_has(const char *line)
{
	size_t len;
	char text[8192];
	FILE *f = fopen("/proc/self/status", "r");

	len = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	text[len] = '\0';
	if (f)
		fclose(f);
	return strstr(text, line);
}

static void look_at_status(void)
{
	need(status_has("\nNoNewPrivs:\t1\n"));
	need(!WITH_SECCOMP || status_has("\nSeccomp:\t2\n"));
}

static void is_in_force(void **state)
{
	assert_int_equal(in_sandbox(look_at_status), 0);
}

static void use_files(void)
{
	struct error err = {0};
	size_t len;
	char *data;
	int fd;

	data = file_read("/etc/passwd", 1 << 20, &len, &err);
	need(data && len > 0);
	free(data);
	data = file_read(at("out/there"), 100, &len, &err);
	need(data && strcmp(data, "there") == 0);
	free(data);
	need(file_make_dirs(at("in/a/b"), 0755, &err) == 0);
	need(file_write(at("in/a/b/file"), "x", 1, 0600, &err) == 0);
	need(file_write(at("in/a/b/file"), "y", 1, 0644, &err) == 0);
	need(rename(at("in/a/b/file"), at("in/moved")) == 0);
	need(unlink(at("in/moved")) == 0);
	need(rmdir(at("in/a/b")) == 0);
	need((fd = file_lock(at("in/lock"), &err)) >= 0);
	need(close(fd) == 0);
	need((fd = open(at("single"), O_WRONLY | O_APPEND)) >= 0);
	need(write(fd, "x", 1) == 1);
	need((fd = open("/dev/null", O_RDWR)) >= 0);
	need(write(fd, "x", 1) == 1);
}

static void files_where_they_are_wanted(void **state)
{
	need_landlock();
	assert_int_equal(in_sandbox(use_files), 0);
}

static void forbidden_files(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd;

	need(sandbox_is_entered());
	need(open(at("out/new"), O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
	need(open(at("out/there"), O_WRONLY) < 0 && errno == EACCES);
	need(open(at("out/there"), O_RDWR | O_APPEND) < 0 && errno == EACCES);
	need(unlink(at("out/there")) < 0 && errno == EACCES);
	need(rename(at("out/there"), at("out/here")) < 0 && errno == EACCES);
	need(rename(at("out/there"), at("in/here")) < 0); /* EACCES or EXDEV */
	need(mkdir(at("out/dir"), 0755) < 0 && errno == EACCES);
	need(open(at("in/../out/new"), O_WRONLY | O_CREAT, 0600) < 0 && errno == EACCES);
	need(symlink("/etc/passwd", at("in/link")) < 0);
	need(mknod(at("in/fifo"), S_IFIFO | 0600, 0) < 0);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", at("out/sock"));
	need((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	need(bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 && errno == EACCES);
}

static void no_files_elsewhere(void **state)
{
	need_landlock();
	assert_int_equal(in_sandbox(forbidden_files), 0);
	assert_int_equal(access(at("out/there"), F_OK), 0);
}

static void forbid_truncate(void)
{
	need(open(at("out/there"), O_RDONLY | O_TRUNC) < 0 && errno == EACCES);
	need(truncate(at("out/there"), 0) < 0 && errno == EACCES);
}

static void no_truncation_elsewhere(void **state)
{
	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) < 3) {
		print_message("skipped: this kernel's Landlock does not cover truncate()\n");
		skip();
	}
	assert_int_equal(in_sandbox(forbid_truncate), 0);
}

static void use_log(void)
{
	char *text;
	size_t len;

	log_configure(LOG_INFO, LOG_TEXT);
	need(log_start(at("in/log"), NULL) == 0);
	log_info("first");
	need(rename(at("in/log"), at("in/log.1")) == 0);
	need(log_reopen(NULL) == 0);
	log_info("second");
	need(log_set_file(at("out/log"), NULL) < 0);
	log_stop();
	text = file_read(at("in/log"), 1000, &len, NULL);
	need(text && strstr(text, "second"));
	free(text);
}

static void log_is_reopened(void **state)
{
	need_landlock();
	assert_int_equal(in_sandbox(use_log), 0);
}

static void *send_byte(void *arg)
{
	prctl(PR_SET_NAME, "sender");
	need(status_has("\nNoNewPrivs:\t1\n"));
	need(!WITH_SECCOMP || status_has("\nSeccomp:\t2\n"));
	need(write(*(int *)arg, "x", 1) == 1);
	return NULL;
}

static void use_threads_and_sockets(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	struct sockaddr_in in = {.sin_family = AF_INET};
	struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
	socklen_t len = sizeof(in);
	int listener, one = 1, client, server, fd;
	pthread_t thread;
	char c;

	need((listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) >= 0);
	need(setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) == 0);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	need(bind(listener, (struct sockaddr *)&in, sizeof(in)) == 0);
	need(listen(listener, 10) == 0);
	need(getsockname(listener, (struct sockaddr *)&in, &len) == 0);
	need((client = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
	need(connect(client, (struct sockaddr *)&in, sizeof(in)) == 0);
	need((server = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0);
	need(pthread_create(&thread, NULL, send_byte, &client) == 0);
	need(recv(server, &c, 1, 0) == 1 && c == 'x');
	need(pthread_join(thread, NULL) == 0);
	need(shutdown(server, SHUT_WR) == 0);
	need(read(client, &c, 1) == 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", at("in/sock"));
	need((fd = socket(AF_UNIX, SOCK_STREAM, 0)) >= 0);
	need(bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0);
	need(chmod(un.sun_path, 0660) == 0);
	need(listen(fd, 1) == 0);
	need(unlink(un.sun_path) == 0);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	if (fd >= 0) /* not everywhere; the sandbox is not why */
		bind(fd, (struct sockaddr *)&in6, sizeof(in6));
	else
		need(errno == EAFNOSUPPORT);
}

static void threads_and_sockets(void **state)
{
	need_landlock();
	assert_int_equal(in_sandbox(use_threads_and_sockets), 0);
}

static void on_fired(evutil_socket_t fd, short what, void *arg)
{
	(*(int *)arg)++;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
	return size * n;
}

/* One turn of each library that the daemon goes on using. */
static void use_libraries(void)
{
	struct timeval soon = {0, 1000};
	struct addrinfo *found = NULL, hints = {.ai_socktype = SOCK_STREAM};
	struct event_base *base;
	struct event *timer, *term;
	unsigned char random[16];
	EVP_PKEY *key;
	sigset_t set;
	int fired = 0, rc;
	CURL *curl;

	need((base = event_base_new()) != NULL);
	timer = evtimer_new(base, on_fired, &fired);
	term = evsignal_new(base, SIGTERM, on_fired, &fired);
	evtimer_add(timer, &soon);
	event_add(term, NULL);
	raise(SIGTERM);
	kill(getpid(), SIGTERM);
	while (fired < 2)
		need(event_base_loop(base, EVLOOP_ONCE) == 0);
	event_free(timer);
	event_free(term);
	event_base_free(base);
	sigemptyset(&set);
	need(eventfd(0, EFD_CLOEXEC) >= 0 && epoll_create1(EPOLL_CLOEXEC) >= 0);
	need(timerfd_create(CLOCK_MONOTONIC, 0) >= 0 && signalfd(-1, &set, 0) >= 0);

	rc = getaddrinfo("localhost", "443", &hints, &found);
	need(rc == 0 && found);
	freeaddrinfo(found);
	rc = getaddrinfo("no-such-host.invalid", "443", &hints, &found);
	need(rc == EAI_NONAME || rc == EAI_AGAIN || rc == EAI_NODATA);

	need(RAND_bytes(random, sizeof(random)) == 1);
	need((key = EVP_EC_gen("P-256")) != NULL);
	EVP_PKEY_free(key);

	/* Nobody listens on port 1: refused by the machine, not by the sandbox. */
	need((curl = curl_easy_init()) != NULL);
	curl_easy_setopt(curl, CURLOPT_URL, "https://localhost:1/");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	need(curl_easy_perform(curl) == CURLE_COULDNT_CONNECT);
	curl_easy_cleanup(curl);
}

static void libraries_go_on(void **state)
{
	need_landlock();
	curl_global_init(CURL_GLOBAL_DEFAULT);
	assert_int_equal(in_sandbox(use_libraries), 0);
}

static void try_harmless_calls(void)
{
	void *page;

	/* What a library may try first is answered as by a kernel that lacks it. */
	need(syscall(SYS_clone3, NULL, 0) < 0 && errno == ENOSYS);
	need(syscall(SYS_memfd_create, "x", 0) < 0 && errno == ENOSYS);
	need(syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == ENOSYS);
	need(syscall(9999) < 0 && errno == ENOSYS);
	need(fork() < 0 && errno == ENOSYS);
	need(socket(AF_PACKET, SOCK_RAW, 0) < 0 && errno == ENOSYS);
	need(socket(AF_NETLINK, SOCK_RAW, 9) < 0 && errno == ENOSYS); /* NETLINK_AUDIT */
	need(mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0) == MAP_FAILED);
	need(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) !=
		MAP_FAILED);
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	need(page != MAP_FAILED); /* what was written is never run */
	need(mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0 && errno == ENOSYS);
	need(mprotect(page, 4096, PROT_READ) == 0);
	need(kill(getppid(), 0) < 0 && errno == ENOSYS);
	need(kill(getpid(), 0) == 0);
}

static void unlisted_calls_are_not_there(void **state)
{
	need_seccomp();
	assert_int_equal(in_sandbox(try_harmless_calls), 0);
}

static void exec_true(void)
{
	char name[] = "true", *argv[] = {name, NULL}, *envp[] = {NULL};

	execve("/bin/true", argv, envp);
	_exit(errno == EACCES ? 3 : 4);
}

static void try_mount(void)
{
	syscall(SYS_mount, "none", folder, "tmpfs", 0, NULL);
	_exit(4);
}

static void try_ptrace(void)
{
	syscall(SYS_ptrace, 0, 0, NULL, NULL);
	_exit(4);
}

static void try_namespace(void)
{
	unshare(CLONE_NEWUSER);
	_exit(4);
}

static void try_bpf(void)
{
	syscall(SYS_bpf, 0, NULL, 0);
	_exit(4);
}

static void killed(void (*run)(void))
{
	int status = in_sandbox(run);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void attacks_end_the_process(void **state)
{
	need_seccomp();
	killed(exec_true);
	killed(try_mount);
	killed(try_ptrace);
	killed(try_namespace);
	killed(try_bpf);
}

static void no_program_without_seccomp_either(void **state)
{
	int status;

	need_landlock();
	if (WITH_SECCOMP)
		skip(); /* the test above */
	status = in_sandbox(exec_true);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
}

static void missing_path_is_named(void **state)
{
	const char *path = at("missing");
	int status;
	pid_t pid;

	need_landlock();
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct error err = {0};

		need(sandbox_enter(&path, 1, &err) < 0);
		need(strstr(err.text, "sandbox: cannot allow writing to"));
		need(strstr(err.text, path) && strstr(err.text, "No such file"));
		need(!sandbox_is_entered());
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static int make_folder(void **state)
{
	if (!mkdtemp(folder) || mkdir(at("in"), 0755) < 0 || mkdir(at("out"), 0755) < 0 ||
		file_write(at("single"), "", 0, 0600, NULL) < 0)
		return -1;
	return file_write(at("out/there"), "there", 5, 0600, NULL);
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
		cmocka_unit_test(is_in_force),
		cmocka_unit_test(files_where_they_are_wanted),
		cmocka_unit_test(no_files_elsewhere),
		cmocka_unit_test(no_truncation_elsewhere),
		cmocka_unit_test(log_is_reopened),
		cmocka_unit_test(threads_and_sockets),
		cmocka_unit_test(libraries_go_on),
		cmocka_unit_test(unlisted_calls_are_not_there),
		cmocka_unit_test(attacks_end_the_process),
		cmocka_unit_test(no_program_without_seccomp_either),
		cmocka_unit_test(missing_path_is_named),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
