#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#define LINE_MAX_BYTES  8192       /* one message, before escaping */
#define QUEUE_MAX_BYTES (4u << 20) /* lines beyond are dropped */

static atomic_int the_level = LOG_INFO, the_format = LOG_TEXT;
static atomic_uint_fast64_t dropped;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	struct str queued; /* whole lines */
	bool running, stopping;
	uint64_t dropped_told; /* the writer's */
	bool torn;             /* the writer's: the last line was written in part */
	char *file;
	int fd; /* set before the writer starts; then dup3 changes what it refers to */
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .fd = STDERR_FILENO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_configure(enum log_level level, enum log_format format)
{
	atomic_store_explicit(&the_level, (int)level, memory_order_relaxed);
	atomic_store_explicit(&the_format, (int)format, memory_order_relaxed);
}

bool log_wants(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&the_level, memory_order_relaxed);
}

uint64_t log_dropped(void)
{
	return atomic_load_explicit(&dropped, memory_order_relaxed);
}

/* The length of the printable UTF-8 character at `s` (RFC 3629), 0 when there is none: broken, over
 * long, a surrogate, or a control character (C0, DEL, C1). */
static size_t printable(const unsigned char *s)
{
	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] < 0xc2 || s[0] > 0xf4 || (s[1] & 0xc0) != 0x80)
		return 0;
	if (s[0] < 0xe0)
		return s[0] == 0xc2 && s[1] < 0xa0 ? 0 : 2;
	if ((s[2] & 0xc0) != 0x80 || (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f))
		return 0;
	if (s[0] < 0xf0)
		return 3;
	if ((s[3] & 0xc0) != 0x80 || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return 4;
}

/* Control characters would let a line forge another, or drive a terminal; bytes that are not UTF-8
 * would make a line that is no JSON. In JSON they show as text, "\\x1b". */
static void add_escaped(struct str *line, const char *s, bool json)
{
	while (*s) {
		size_t len = printable((const unsigned char *)s);

		if (!len)
			str_addf(line, "%s\\x%02x", json ? "\\" : "", (unsigned char)*s);
		else if (json && (*s == '"' || *s == '\\'))
			str_addf(line, "\\%c", *s);
		else
			str_add(line, s, len);
		s += len ? len : 1;
	}
}

static void format_line(struct str *line, enum log_level level, const char *message)
{
	struct timespec now;
	char when[CLOCK_RFC3339_SIZE];

	clock_gettime(CLOCK_REALTIME, &now);
	clock_rfc3339(when, now.tv_sec, (int)(now.tv_nsec / 1000000));
	if (atomic_load_explicit(&the_format, memory_order_relaxed) == LOG_JSON) {
		str_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"", when,
			level_names[level]);
		add_escaped(line, message, true);
		str_addf(line, "\"}\n");
	} else {
		str_addf(line, "%s %-5s ", when, level_names[level]);
		add_escaped(line, message, false);
		str_addf(line, "\n");
	}
}

/* Returns how much could be written: less than `len` when a disk is full or a pipe closed. */
static size_t write_all(int fd, const char *data, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = write(fd, data + done, len - done);

		if (n > 0)
			done += (size_t)n;
		else if (n < 0 && errno == EAGAIN) /* a pipe that somebody made non-blocking */
			poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
		else if (n == 0 || errno != EINTR)
			break;
	}
	return done;
}

/* The writer's: what cannot be written is lost, and counted. */
static void write_lines(const char *data, size_t len)
{
	size_t done = 0;

	if (sink.torn)
		sink.torn = write_all(sink.fd, "\n", 1) != 1;
	if (!sink.torn)
		done = write_all(sink.fd, data, len);
	if (done && data[done - 1] != '\n')
		sink.torn = true;
	for (; done < len; done++)
		dropped += data[done] == '\n';
}

static void tell_losses(void)
{
	uint64_t lost = log_dropped();
	struct str line = {0};
	char text[80];

	if (lost == sink.dropped_told)
		return;
	snprintf(text, sizeof(text), "log: %llu lines were lost so far", (unsigned long long)lost);
	format_line(&line, LOG_WARN, text);
	/* Not counted when it is lost itself: it comes again. */
	if (!sink.torn && write_all(sink.fd, line.data, line.len) == line.len)
		sink.dropped_told = lost;
	str_clear(&line);
}

static void *run_writer(void *arg)
{
	struct str mine = {0};
	sigset_t all;

	(void)arg;
	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_mutex_lock(&sink.lock);
	while (sink.queued.len || !sink.stopping) {
		if (!sink.queued.len) {
			pthread_cond_wait(&sink.wake, &sink.lock);
			continue;
		}
		mine = sink.queued;
		sink.queued = (struct str){0};
		pthread_mutex_unlock(&sink.lock);
		write_lines(mine.data, mine.len);
		tell_losses();
		str_clear(&mine);
		pthread_mutex_lock(&sink.lock);
	}
	pthread_mutex_unlock(&sink.lock);
	return NULL;
}

/* The descriptor's number stays for ever; what it refers to is exchanged. */
static int open_file(const char *file, struct error *err)
{
	int fd, rc = 0;

	if (strcmp(file, "-") == 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		return file_write_error(err, "log.file: cannot open", file);
	if (sink.fd == STDERR_FILENO) {
		sink.fd = fd;
	} else {
		if (dup3(fd, sink.fd, O_CLOEXEC) < 0)
			rc = error_set_errno(err, "log.file: cannot change to %s", file);
		close(fd);
	}
	return rc;
}

int log_set_file(const char *file, struct error *err)
{
	char *name = mem_strdup(file);

	if (open_file(file, err) < 0) {
		free(name);
		return -1;
	}
	free(sink.file);
	sink.file = name;
	return 0;
}

int log_reopen(struct error *err)
{
	return sink.file ? open_file(sink.file, err) : 0;
}

static void close_file(void)
{
	if (sink.fd != STDERR_FILENO)
		close(sink.fd);
	sink.fd = STDERR_FILENO;
	free(sink.file);
	sink.file = NULL;
	sink.torn = false;
}

int log_start(const char *file, struct error *err)
{
	int rc;

	if (log_set_file(file, err) < 0)
		return -1;
	sink.stopping = false;
	rc = pthread_create(&sink.thread, NULL, run_writer, NULL);
	if (rc) {
		errno = rc;
		error_set_errno(err, "cannot start the log's thread");
		close_file();
		return -1;
	}
	pthread_mutex_lock(&sink.lock);
	sink.running = true;
	pthread_mutex_unlock(&sink.lock);
	return 0;
}

void log_stop(void)
{
	pthread_mutex_lock(&sink.lock);
	if (!sink.running) {
		pthread_mutex_unlock(&sink.lock);
		return;
	}
	sink.running = false;
	sink.stopping = true;
	pthread_cond_signal(&sink.wake);
	pthread_mutex_unlock(&sink.lock);
	pthread_join(sink.thread, NULL);
	tell_losses();
	close_file();
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char message[LINE_MAX_BYTES];
	struct str line = {0};
	int saved = errno;
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	if (vsnprintf(message, sizeof(message), fmt, ap) >= LINE_MAX_BYTES)
		memcpy(message + LINE_MAX_BYTES - 4, "...", 4);
	va_end(ap);
	format_line(&line, level, message);
	pthread_mutex_lock(&sink.lock);
	if (!sink.running) {
		write_all(STDERR_FILENO, line.data, line.len);
	} else if (sink.queued.len + line.len > QUEUE_MAX_BYTES) {
		dropped++;
	} else {
		str_add(&sink.queued, line.data, line.len);
		pthread_cond_signal(&sink.wake);
	}
	pthread_mutex_unlock(&sink.lock);
	str_clear(&line);
	errno = saved;
}
