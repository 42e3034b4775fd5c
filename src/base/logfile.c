#include "base/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"

#define QUEUE_MAX_BYTES (4u << 20) /* lines beyond are dropped */
#define LOOK_MS         100        /* how often a stuck writer looks whether it shall give up */
#define END_MS          1000

static void lose(struct logfile *f, const char *data, size_t len)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < len; i++)
		lines += data[i] == '\n';
	atomic_fetch_add_explicit(&f->dropped, lines, memory_order_relaxed);
}

uint64_t logfile_dropped(const struct logfile *f)
{
	return atomic_load_explicit(&f->dropped, memory_order_relaxed);
}

/* The thread */

/* A pipe is full. False when the rest is not to be waited for: there is another file, or an end. */
static bool wait_for_reader(struct logfile *f)
{
	struct pollfd p = {.fd = f->fd, .events = POLLOUT};
	bool wanted;

	do {
		pthread_mutex_lock(&f->lock);
		wanted = f->next < 0 && (!f->end_until || clock_mono_ms() < f->end_until);
		pthread_mutex_unlock(&f->lock);
	} while (wanted && poll(&p, 1, LOOK_MS) == 0);
	return wanted;
}

/* Returns how much could be written: less than `len` when a disk is full or a pipe closed. */
static size_t write_all(struct logfile *f, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(f->fd, data + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno == EAGAIN && wait_for_reader(f))
			continue;
		else if (n == 0 || errno != EINTR)
			break;
	}
	if (done && data[done - 1] != '\n')
		f->torn = true;
	return done;
}

/* The torn line is in another file, or was removed. */
static bool is_empty(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

/* What cannot be written is lost. */
static void write_lines(struct logfile *f, const char *data, size_t len)
{
	size_t done = 0;

	if (f->torn)
		f->torn = !is_empty(f->fd) && write_all(f, "\n", 1) != 1;
	if (!f->torn)
		done = write_all(f, data, len);
	lose(f, data + done, len - done);
}

static void tell_losses(struct logfile *f)
{
	uint64_t lost = logfile_dropped(f);
	struct str line = {0};

	if (!f->loss_line || lost == f->told || f->torn)
		return;
	f->loss_line(&line, lost);
	/* Not counted when it is lost itself: it comes again. */
	if (write_all(f, line.data, line.len) == line.len)
		f->told = lost;
	str_clear(&line);
}

/* These two with the lock held, but for what may take its time. */

static void change_file(struct logfile *f)
{
	int before = f->fd;

	f->fd = f->next;
	f->next = -1;
	if (before < 0)
		return;
	pthread_mutex_unlock(&f->lock);
	close(before);
	pthread_mutex_lock(&f->lock);
}

static void write_queued(struct logfile *f)
{
	struct str mine = f->queued;
	bool more = f->on;

	f->queued = (struct str){0};
	pthread_mutex_unlock(&f->lock);
	write_lines(f, mine.data, mine.len);
	tell_losses(f);
	str_clear(&mine);
	if (more && f->gather_ms)
		poll(NULL, 0, f->gather_ms);
	pthread_mutex_lock(&f->lock);
}

static void *run_writer(void *arg)
{
	struct logfile *f = arg;
	sigset_t all;

	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_mutex_lock(&f->lock);
	for (;;) {
		if (f->next >= 0)
			change_file(f);
		else if (f->queued.len)
			write_queued(f);
		else if (!f->on && f->fd >= 0)
			change_file(f); /* to none */
		else if (f->stopping)
			break;
		else
			pthread_cond_wait(&f->wake, &f->lock);
	}
	pthread_mutex_unlock(&f->lock);
	return NULL;
}

/* The owner */

int logfile_start(struct logfile *f, struct error *err)
{
	int rc;

	if (f->started)
		return 0;
	f->stopping = f->torn = false;
	rc = pthread_create(&f->thread, NULL, run_writer, f);
	if (rc) {
		errno = rc;
		return error_set_errno(err, "%s: cannot start the log's thread", f->option);
	}
	f->started = true;
	return 0;
}

static void end(struct logfile *f, bool stopping)
{
	pthread_mutex_lock(&f->lock);
	f->on = false;
	f->stopping = stopping;
	f->end_until = clock_mono_ms() + END_MS;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	free(f->file);
	f->file = NULL;
}

void logfile_rest(struct logfile *f)
{
	end(f, false);
}

void logfile_stop(struct logfile *f)
{
	if (!f->started)
		return;
	end(f, true);
	pthread_join(f->thread, NULL);
	f->started = false;
}

int logfile_open(const struct logfile *f, const char *file, struct error *err)
{
	int fd;

	if (strcmp(file, "-") == 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
			0640);
	if (fd < 0 && errno == ENXIO)
		return error_set(err,
			"%s: cannot open %s: nobody reads from this pipe: start its reader first",
			f->option, file);
	if (fd < 0) {
		char what[64];

		snprintf(what, sizeof(what), "%s: cannot open", f->option);
		return file_write_error(err, what, file);
	}
	return fd;
}

void logfile_use(struct logfile *f, const char *file, int fd)
{
	char *name = mem_strdup(file); /* may be our own */
	int never_used;

	pthread_mutex_lock(&f->lock);
	never_used = f->next;
	f->next = fd;
	f->on = true;
	f->end_until = 0;
	pthread_cond_signal(&f->wake);
	pthread_mutex_unlock(&f->lock);
	if (never_used >= 0)
		close(never_used);
	free(f->file);
	f->file = name;
}

int logfile_reopen(struct logfile *f, struct error *err)
{
	int fd;

	if (!f->file)
		return 0;
	fd = logfile_open(f, f->file, err);
	if (fd < 0)
		return -1;
	logfile_use(f, f->file, fd);
	return 0;
}

/* Any thread */

bool logfile_add(struct logfile *f, const char *data, size_t len)
{
	bool on, fits;

	pthread_mutex_lock(&f->lock);
	on = f->on;
	fits = f->queued.len + len <= QUEUE_MAX_BYTES;
	if (on && fits) {
		str_add(&f->queued, data, len);
		pthread_cond_signal(&f->wake);
	}
	pthread_mutex_unlock(&f->lock);
	if (on && !fits)
		lose(f, data, len);
	return on;
}
