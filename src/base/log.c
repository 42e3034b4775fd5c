#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"

#define LINE_MAX_BYTES  8192        /* one message, before escaping */
#define QUEUE_MAX_BYTES (4u << 20)  /* lines beyond are dropped */

static atomic_int the_level = LOG_INFO, the_format = LOG_TEXT;
static atomic_uint_fast64_t dropped;

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	struct str queued; /* whole lines */
	bool running, stopping;
	uint64_t dropped_told;
	char *file;
	int fd; /* replaced by dup3, so that the writer needs no lock */
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

/* Control characters would let a line forge another, or a terminal be driven. */
static void add_escaped(struct str *line, const char *s, bool json)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (json && (c == '"' || c == '\\'))
			str_addf(line, "\\%c", c);
		else if (json && c < 0x20)
			str_addf(line, "\\u%04x", c);
		else if (c < 0x20 || c == 0x7f)
			str_addf(line, "\\x%02x", c);
		else
			str_add(line, s, 1);
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

static void write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) { /* a full disk, a closed pipe: the rest is lost, and counted */
			for (; len; len--)
				dropped += *data++ == '\n';
			return;
		}
		data += n;
		len -= (size_t)n;
	}
}

static void *run_writer(void *arg)
{
	struct str mine = {0};

	(void)arg;
	pthread_mutex_lock(&sink.lock);
	while (sink.queued.len || !sink.stopping) {
		uint64_t lost = log_dropped();

		if (!sink.queued.len) {
			pthread_cond_wait(&sink.wake, &sink.lock);
			continue;
		}
		mine = sink.queued;
		sink.queued = (struct str){0};
		if (lost != sink.dropped_told) {
			char text[80];

			snprintf(text, sizeof(text), "log: %llu lines were lost so far",
				(unsigned long long)lost);
			format_line(&mine, LOG_WARN, text);
			sink.dropped_told = lost;
		}
		pthread_mutex_unlock(&sink.lock);
		write_all(sink.fd, mine.data, mine.len);
		str_clear(&mine);
		pthread_mutex_lock(&sink.lock);
	}
	pthread_mutex_unlock(&sink.lock);
	return NULL;
}

/* The descriptor's number stays for ever; what it refers to is exchanged. */
static int open_file(const char *file, struct error *err)
{
	int fd;

	if (strcmp(file, "-") == 0)
		fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	else
		fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
	if (fd < 0)
		return error_set_errno(err, "log.file: cannot open %s", file);
	if (sink.fd == STDERR_FILENO) {
		sink.fd = fd;
	} else {
		dup3(fd, sink.fd, O_CLOEXEC);
		close(fd);
	}
	return 0;
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

int log_start(const char *file, struct error *err)
{
	int rc;

	if (log_set_file(file, err) < 0)
		return -1;
	sink.stopping = false;
	rc = pthread_create(&sink.thread, NULL, run_writer, NULL);
	if (rc) {
		errno = rc;
		return error_set_errno(err, "cannot start the log's thread");
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
	if (sink.fd != STDERR_FILENO)
		close(sink.fd);
	sink.fd = STDERR_FILENO;
	free(sink.file);
	sink.file = NULL;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	char message[LINE_MAX_BYTES];
	struct str line = {0};
	va_list ap;

	if (!log_wants(level))
		return;
	va_start(ap, fmt);
	vsnprintf(message, sizeof(message), fmt, ap);
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
}
