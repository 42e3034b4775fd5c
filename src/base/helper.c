#include "base/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/privileges.h"
#include "base/str.h"

#define RUNS_MAX   32
#define CONTROL_FD 3

extern char **environ;

struct child {
	pid_t pid;  /* and its process group; 0 = this place is free */
	int socket; /* the run's */
	bool cancelled;
};

struct helper {
	const struct spawn_command *commands;
	size_t n;
	char *env[SPAWN_ENV_MAX + 1];
	int signals; /* of children that have ended */
	struct child children[RUNS_MAX];
};

static void answer(int socket, enum helper_end end, int value)
{
	const struct helper_answer a = {.end = (int32_t)end, .value = value};

	/* Whoever has cancelled it may not be there any more. */
	(void)!send(socket, &a, sizeof(a), MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* --- becoming the helper --- */

static bool is_passed_on(const char *variable)
{
	return str_starts(variable, "PATH=") || str_starts(variable, "LANG=") ||
	       str_starts(variable, "EXEC_");
}

/* What the daemon was given for itself, secrets among it, is not for programs. */
static void make_environment(struct helper *h)
{
	bool has_path = false;
	size_t n = 0;

	/* The user's own is state_dir, often: the daemon would say what programs find there. */
	h->env[n++] = mem_strdup("HOME=/");
	for (char **e = environ; e && *e && n < SPAWN_ENV_MAX - 1; e++) {
		if (is_passed_on(*e))
			h->env[n++] = mem_strdup(*e);
		has_path |= str_starts(*e, "PATH=");
	}
	if (!has_path)
		h->env[n++] = mem_strdup("PATH=/usr/local/bin:/usr/bin:/bin");
}

/* Only the socket stays, as CONTROL_FD; the standard three lead nowhere. Copies come first, beyond
 * all that is going to be replaced. */
static int close_descriptors(int fd)
{
	int control = fcntl(fd, F_DUPFD, CONTROL_FD + 1), opened = open("/dev/null", O_RDWR);
	int null = fcntl(opened, F_DUPFD, CONTROL_FD + 1);

	if (control < 0 || null < 0 || dup3(control, CONTROL_FD, O_CLOEXEC) < 0)
		return -1;
	for (int i = 0; i < CONTROL_FD; i++)
		if (dup2(null, i) < 0)
			return -1;
	return close_range(CONTROL_FD + 1, ~0U, 0);
}

/* Signals that are sent to the daemon's process group, by a terminal or a service manager, must not
 * end the programs of a cleanup: when the daemon ends, it is seen by its socket. */
static int set_signals(struct helper *h, struct error *err)
{
	sigset_t set;

	sigfillset(&set);
	sigprocmask(SIG_SETMASK, &set, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	h->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return h->signals < 0 ? error_set_errno(err, "cannot make a signalfd") : 0;
}

static int become_helper(struct helper *h, const char *user, struct error *err)
{
	if (user && geteuid() == 0 && privileges_drop(user, err) < 0)
		return -1;
	make_environment(h);
	if (privileges_give_up(err) < 0)
		return -1;
	/* Programs are this user too, and must not read what this process has from its parent. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set_errno(err, "cannot refuse new privileges");
	/* Orphans of programs come here, and not to the daemon where it is a container's first
	 * process: it waits for none, and they would be zombies for as long as it runs. */
	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return error_set_errno(err, "cannot take orphans");
	return set_signals(h, err);
}

/* --- one run --- */

/* In the child. Nothing of the helper is left to the program but the three descriptors. */
static _Noreturn void become_program(
	const struct helper *h, char *const *argv, const int fds[HELPER_FDS], pid_t helper)
{
	sigset_t none;

	setpgid(0, 0);
	/* A helper that is killed cannot kill anybody any more. */
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != helper)
		_exit(127);
	for (int i = 1; i < NSIG; i++)
		signal(i, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (chdir("/") == 0 && dup2(fds[HELPER_STDOUT], STDOUT_FILENO) >= 0 &&
		dup2(fds[HELPER_STDERR], STDERR_FILENO) >= 0)
		execve(argv[0], argv, h->env);
	answer(fds[HELPER_SOCKET], HELPER_FAILED, errno);
	_exit(127);
}

/* The command's own words, then those of the request. False when it is none: it comes from a daemon
 * that may have been taken over. */
static bool make_argv(const struct helper *h, struct helper_request *r, size_t len,
	char *argv[2 * SPAWN_WORDS_MAX + 1])
{
	const struct spawn_command *c;
	char *p = r->words, *end = (char *)r + len;
	size_t n = 0;

	if (len < offsetof(struct helper_request, words) || r->command >= h->n ||
		r->n != h->commands[r->command].n_follow)
		return false;
	c = &h->commands[r->command];
	while (n < c->n) {
		argv[n] = c->words[n];
		n++;
	}
	for (uint32_t i = 0; i < r->n; i++) {
		char *nul = memchr(p, '\0', (size_t)(end - p));

		if (!nul || !spawn_word_fits(&c->follow[i], p))
			return false;
		argv[n++] = p;
		p = nul + 1;
	}
	argv[n] = NULL;
	return true;
}

/* Takes the socket when it returns true. */
static bool start_run(
	struct helper *h, struct helper_request *r, size_t len, const int fds[HELPER_FDS])
{
	char *argv[2 * SPAWN_WORDS_MAX + 1];
	struct child *c = h->children;
	pid_t helper = getpid();

	while (c < h->children + RUNS_MAX && c->pid)
		c++;
	if (c == h->children + RUNS_MAX || !make_argv(h, r, len, argv)) {
		answer(fds[HELPER_SOCKET], HELPER_REFUSED, 0);
		return false;
	}
	*c = (struct child){.pid = fork(), .socket = fds[HELPER_SOCKET]};
	if (c->pid == 0)
		become_program(h, argv, fds, helper);
	if (c->pid < 0) {
		c->pid = 0;
		answer(fds[HELPER_SOCKET], HELPER_FAILED, errno);
		return false;
	}
	setpgid(c->pid, c->pid); /* whoever of the two comes first */
	return true;
}

/* Descriptors that came with a message, the first HELPER_FDS of them; whether there are so many. */
static bool take_descriptors(struct msghdr *m, int fds[HELPER_FDS])
{
	struct cmsghdr *c = CMSG_FIRSTHDR(m);
	size_t n = 0;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
		n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		memcpy(fds, CMSG_DATA(c), n * sizeof(int)); /* there is no room for more */
	}
	if (n == HELPER_FDS)
		return true;
	while (n > 0)
		close(fds[--n]);
	return false;
}

/* False when the daemon has gone. */
static bool take_request(struct helper *h)
{
	static struct helper_request r;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(HELPER_FDS * sizeof(int))];
	} control;
	struct iovec iov = {.iov_base = &r, .iov_len = sizeof(r)};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_LEN(HELPER_FDS * sizeof(int))};
	int fds[HELPER_FDS];
	ssize_t len = recvmsg(CONTROL_FD, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

	if (len < 0)
		return errno == EAGAIN || errno == EINTR || errno == ENOBUFS;
	if (len == 0)
		return false;
	if (!take_descriptors(&m, fds))
		return true;
	if (!start_run(h, &r, (size_t)len, fds))
		close(fds[HELPER_SOCKET]);
	close(fds[HELPER_STDOUT]);
	close(fds[HELPER_STDERR]);
	return true;
}

/* --- the end of runs --- */

/* While its leader is not waited for, nobody else can have the group's number. */
static void kill_group(const struct child *c)
{
	kill(-c->pid, SIGKILL);
	kill(c->pid, SIGKILL); /* in case that it has no group of its own yet */
}

static void reap(struct child *c)
{
	siginfo_t info = {0};

	kill_group(c);
	waitid(P_PID, (id_t)c->pid, &info, WEXITED);
	answer(c->socket, info.si_code == CLD_EXITED ? HELPER_EXITED : HELPER_KILLED,
		info.si_status);
	close(c->socket);
	c->pid = 0;
}

/* Programs, and what they have left behind, which is nobody else's to wait for. */
static void on_children(struct helper *h)
{
	struct signalfd_siginfo signal;

	while (read(h->signals, &signal, sizeof(signal)) > 0)
		continue;
	for (;;) {
		struct child *c = h->children;
		siginfo_t info = {0};

		if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || !info.si_pid)
			return;
		while (c < h->children + RUNS_MAX && c->pid != info.si_pid)
			c++;
		if (c < h->children + RUNS_MAX)
			reap(c);
		else
			waitid(P_PID, (id_t)info.si_pid, &info, WEXITED);
	}
}

static _Noreturn void end(const struct helper *h)
{
	for (size_t i = 0; i < RUNS_MAX; i++)
		if (h->children[i].pid)
			kill_group(&h->children[i]);
	_exit(0);
}

static _Noreturn void serve(struct helper *h)
{
	for (;;) {
		struct pollfd fds[2 + RUNS_MAX] = {
			{.fd = CONTROL_FD, .events = POLLIN}, {.fd = h->signals, .events = POLLIN}};

		for (size_t i = 0; i < RUNS_MAX; i++) {
			const struct child *c = &h->children[i];

			fds[2 + i].fd = c->pid && !c->cancelled ? c->socket : -1;
			fds[2 + i].events = POLLIN;
		}
		if (poll(fds, 2 + RUNS_MAX, -1) < 0 && errno != EINTR)
			end(h);
		/* Nobody says anything on a run's socket: it was closed. */
		for (size_t i = 0; i < RUNS_MAX; i++)
			if (fds[2 + i].revents) {
				h->children[i].cancelled = true;
				kill_group(&h->children[i]);
			}
		if (fds[1].revents)
			on_children(h);
		if (fds[0].revents && !take_request(h))
			end(h);
	}
}

void helper_main(int fd, const struct spawn_command *v, size_t n, const char *user)
{
	static struct helper h;
	struct helper_hello hello = {""};
	struct error err;

	prctl(PR_SET_NAME, "lintel-helper", 0, 0, 0);
	if (close_descriptors(fd) < 0)
		_exit(1);
	h.commands = v;
	h.n = n;
	if (become_helper(&h, user, &err) < 0)
		memcpy(hello.problem, err.text, sizeof(hello.problem));
	(void)!send(CONTROL_FD, &hello, sizeof(hello), MSG_NOSIGNAL);
	if (*hello.problem)
		_exit(1);
	serve(&h);
}
