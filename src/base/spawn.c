#include "base/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/helper.h"
#include "base/mem.h"
#include "base/str.h"

#define KILLED_MS 5000 /* that the helper may take to say that it has killed something */
#define READ_SIZE 4096
#define GONE      "the process that starts programs is gone: restart lintel"

/* Written by spawn_start() and spawn_stop() only. */
static struct {
	bool settled;
	int fd; /* a request each */
	pid_t pid;
	struct spawn_command *commands;
	size_t n;
} helper = {.fd = -1};

/* --- the helper --- */

bool spawn_word_fits(const struct spawn_word *w, const char *text)
{
	size_t len = strlen(text);

	return len >= w->min && len <= w->max && (w->dash || *text != '-') &&
	       (!w->chars || strspn(text, w->chars) == len);
}

static int check(const struct spawn_command *c, struct error *err)
{
	size_t bytes = 0;

	for (size_t i = 0; i < c->n; i++)
		bytes += strlen(c->words[i]) + 1;
	if (c->n < 1 || c->n > SPAWN_WORDS_MAX || c->n_follow > SPAWN_WORDS_MAX ||
		bytes > SPAWN_BYTES_MAX)
		return error_set(err, "a command has at most %d words, and %d bytes",
			SPAWN_WORDS_MAX, SPAWN_BYTES_MAX);
	return 0;
}

static void remember(const struct spawn_command *v, size_t n)
{
	helper.commands = mem_zalloc(n * sizeof(*v));
	helper.n = n;
	for (size_t i = 0; i < n; i++) {
		helper.commands[i] = v[i];
		helper.commands[i].words = mem_zalloc(v[i].n * sizeof(char *));
		for (size_t k = 0; k < v[i].n; k++)
			helper.commands[i].words[k] = mem_strdup(v[i].words[k]);
	}
}

int spawn_start(const struct spawn_command *v, size_t n, const char *user, struct error *err)
{
	struct helper_hello hello;
	int pair[2];

	helper.settled = true;
	for (size_t i = 0; i < n; i++)
		if (check(&v[i], err) < 0)
			return -1;
	if (!n)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set_errno(err, "the process that starts programs: cannot make a "
					    "socketpair");
	remember(v, n);
	helper.pid = fork();
	if (helper.pid == 0)
		helper_main(pair[1], helper.commands, n, user);
	close(pair[1]);
	helper.fd = pair[0];
	if (helper.pid < 0)
		error_set_errno(err, "cannot make the process that starts programs");
	else if (recv(helper.fd, &hello, sizeof(hello), 0) != sizeof(hello))
		error_set(err, "the process that starts programs has ended at once");
	else if (*hello.problem)
		error_set(err, "the process that starts programs: %s", hello.problem);
	else
		return 0;
	spawn_stop();
	helper.settled = true;
	return -1;
}

void spawn_stop(void)
{
	if (helper.fd >= 0)
		close(helper.fd);
	if (helper.pid > 0)
		while (waitpid(helper.pid, NULL, 0) < 0 && errno == EINTR)
			continue;
	for (size_t i = 0; i < helper.n; i++) {
		for (size_t k = 0; k < helper.commands[i].n; k++)
			free(helper.commands[i].words[k]);
		free(helper.commands[i].words);
	}
	free(helper.commands);
	helper.commands = NULL;
	helper.n = 0;
	helper.fd = -1;
	helper.pid = 0;
	helper.settled = false;
}

bool spawn_is_settled(void)
{
	return helper.settled;
}

int spawn_find(const struct spawn_command *c)
{
	for (size_t i = 0; i < helper.n; i++) {
		const struct spawn_command *known = &helper.commands[i];
		size_t k = 0;

		while (k < c->n && k < known->n && strcmp(c->words[k], known->words[k]) == 0)
			k++;
		if (k == c->n && k == known->n)
			return (int)i;
	}
	return -1;
}

/* --- output --- */

struct output {
	int fd; /* not blocking */
	bool is_stderr;
	char line[SPAWN_LINE_MAX];
	size_t len;     /* of the line, however much of it is kept */
	size_t *lines;  /* of the run, told or not */
	size_t *untold; /* bytes */
};

static void end_line(struct output *o, const struct spawn_run *run)
{
	char text[4 * SPAWN_LINE_MAX + 64];
	size_t kept = o->len < SPAWN_LINE_MAX ? o->len : SPAWN_LINE_MAX;

	if (!o->len)
		return;
	if (++*o->lines > SPAWN_LINES_MAX) {
		*o->untold += o->len;
	} else if (run->line) {
		str_escape(text, 4 * SPAWN_LINE_MAX + 1, o->line, kept);
		if (kept < o->len)
			snprintf(text + strlen(text), 64, "... (%zu bytes)", o->len);
		run->line(run->arg, o->is_stderr, text);
	}
	o->len = 0;
}

static void take(struct output *o, const struct spawn_run *run, const char *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (bytes[i] == '\n' || bytes[i] == '\r') {
			end_line(o, run);
			continue;
		}
		if (o->len < SPAWN_LINE_MAX)
			o->line[o->len] = bytes[i];
		o->len++;
	}
}

/* At most `max` bytes of what is there. Closed at its end. */
static void read_output(struct output *o, const struct spawn_run *run, size_t max)
{
	char bytes[READ_SIZE];
	ssize_t n = 1;

	while (o->fd >= 0 && max && n > 0) {
		n = read(o->fd, bytes, max < sizeof(bytes) ? max : sizeof(bytes));
		if (n > 0) {
			take(o, run, bytes, (size_t)n);
			max -= (size_t)n;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			close(o->fd);
			o->fd = -1;
		}
	}
}

/* --- a run --- */

struct running {
	const struct spawn_run *run;
	int socket; /* where its answer comes */
	struct output out[2];
	size_t lines, untold;
	bool stopped, late; /* and so it is killed */
};

static void close_all(int *fds, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static int send_request(const struct spawn_run *run, const int fds[HELPER_FDS], struct error *err)
{
	struct helper_request r = {.command = (uint32_t)run->command, .n = (uint32_t)run->n};
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(HELPER_FDS * sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = &r};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = CMSG_LEN(HELPER_FDS * sizeof(int))};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	size_t at = 0;

	for (size_t i = 0; i < run->n; i++) {
		size_t len = strlen(run->words[i]) + 1;

		if (run->n > SPAWN_WORDS_MAX || len > sizeof(r.words) - at)
			return error_set(err, "what it is to be told is too long");
		memcpy(r.words + at, run->words[i], len);
		at += len;
	}
	iov.iov_len = offsetof(struct helper_request, words) + at;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(HELPER_FDS * sizeof(int));
	memcpy(CMSG_DATA(c), fds, HELPER_FDS * sizeof(int));
	if (sendmsg(helper.fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
		return 0;
	return errno == EAGAIN ? error_set(err, "the process that starts programs does not answer")
			       : error_set(err, GONE);
}

/* What the program gets goes to the helper, what is ours into `r`. */
static int begin(struct running *r, struct error *err)
{
	int theirs[HELPER_FDS] = {-1, -1, -1}, ours[HELPER_FDS] = {-1, -1, -1}, pair[2], rc = -1;

	for (int i = 0; i < HELPER_FDS; i++) {
		if ((i == HELPER_SOCKET
				    ? socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)
				    : pipe2(pair, O_CLOEXEC)) < 0) {
			error_set_errno(err, "cannot make a pipe");
			goto out;
		}
		ours[i] = pair[0];
		theirs[i] = pair[1];
		fcntl(ours[i], F_SETFL, O_NONBLOCK);
	}
	rc = send_request(r->run, theirs, err);
out:
	close_all(theirs, HELPER_FDS);
	if (rc < 0) {
		close_all(ours, HELPER_FDS);
		return -1;
	}
	r->socket = ours[HELPER_SOCKET];
	for (int i = 0; i < 2; i++)
		r->out[i] = (struct output){.fd = ours[HELPER_STDOUT + i],
			.is_stderr = i == 1,
			.lines = &r->lines,
			.untold = &r->untold};
	return 0;
}

/* Until there is something to read on the socket; output is read meanwhile. False when there is
 * not in time. */
static bool wait_for_end(struct running *r, const struct stop *stop, int64_t deadline_ms)
{
	for (;;) {
		int64_t left = deadline_ms - clock_mono_ms();
		struct pollfd fds[] = {{.fd = r->socket, .events = POLLIN},
			{.fd = r->out[0].fd, .events = POLLIN},
			{.fd = r->out[1].fd, .events = POLLIN},
			{.fd = stop ? stop->fd : -1, .events = POLLIN}};

		if (stop_is_set(stop) || left < 0)
			return false;
		if (poll(fds, 4, left < INT_MAX ? (int)left + 1 : INT_MAX) < 0)
			continue;
		for (int i = 0; i < 2; i++)
			if (fds[1 + i].revents)
				read_output(&r->out[i], r->run, READ_SIZE);
		if (fds[0].revents)
			return true;
	}
}

static int tell_end(const struct running *r, struct error *err)
{
	struct helper_answer a;
	int64_t ms = r->run->timeout_ms;

	ssize_t n = recv(r->socket, &a, sizeof(a), MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return error_set(err, "the process that starts programs does not answer");
	if (n != sizeof(a))
		return error_set(err, GONE);
	if (a.end == HELPER_KILLED && r->stopped)
		return error_set(err, "stopped");
	if (a.end == HELPER_KILLED && r->late)
		return error_set(err, "did not end within %lld%s, and was killed",
			(long long)(ms % 1000 ? ms : ms / 1000), ms % 1000 ? "ms" : "s");
	switch ((enum helper_end)a.end) {
	case HELPER_EXITED: return a.value ? error_set(err, "exited with %d", (int)a.value) : 0;
	case HELPER_KILLED:
		return error_set(
			err, "was killed by signal %d (%s)", (int)a.value, strsignal((int)a.value));
	case HELPER_REFUSED:
		return error_set(err, "was refused by the process that starts programs");
	case HELPER_FAILED: break;
	}
	errno = a.value;
	error_set_errno(err, "cannot be started");
	if (a.value == ENOENT || a.value == ENOEXEC)
		return error_set(err,
			"cannot be started: %s: is the interpreter right that its first line "
			"names (#!/bin/sh), without a CR at the line's end?",
			strerror(a.value));
	return -1;
}

int spawn_run(const struct spawn_run *run, struct error *err)
{
	struct running r = {.run = run};
	char more[96];
	int rc;

	if (helper.fd < 0 || begin(&r, err) < 0)
		return helper.fd < 0 ? error_set(err, "there is no process that starts programs")
				     : -1;
	if (!wait_for_end(&r, run->stop, clock_mono_ms() + run->timeout_ms)) {
		r.stopped = stop_is_set(run->stop);
		r.late = !r.stopped;
		shutdown(r.socket, SHUT_WR);
		wait_for_end(&r, NULL, clock_mono_ms() + KILLED_MS);
	}
	/* What is in the pipes still: no more than fits, as others may hold their ends. */
	for (int i = 0; i < 2; i++) {
		read_output(&r.out[i], run, 64 << 10);
		end_line(&r.out[i], run);
	}
	if (r.lines > SPAWN_LINES_MAX && run->line) {
		snprintf(more, sizeof(more), "and %zu more lines, of %zu bytes",
			r.lines - SPAWN_LINES_MAX, r.untold);
		run->line(run->arg, true, more);
	}
	rc = tell_end(&r, err);
	close_all((int[]){r.socket, r.out[0].fd, r.out[1].fd}, 3);
	return rc;
}
