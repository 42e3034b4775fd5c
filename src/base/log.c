#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logfile.h"
#include "base/str.h"

#define LINE_MAX_BYTES 8192 /* one message, before escaping */

static atomic_int the_level = LOG_INFO, the_format = LOG_TEXT;

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

static void format_line(struct str *line, enum log_level level, const char *message)
{
	struct timespec now;
	char when[CLOCK_RFC3339_SIZE];

	clock_gettime(CLOCK_REALTIME, &now);
	clock_rfc3339(when, now.tv_sec, (int)(now.tv_nsec / 1000000));
	if (atomic_load_explicit(&the_format, memory_order_relaxed) == LOG_JSON) {
		str_addf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"message\":\"", when,
			level_names[level]);
		str_add_printable(line, message, true);
		str_addf(line, "\"}\n");
	} else {
		str_addf(line, "%s %-5s ", when, level_names[level]);
		str_add_printable(line, message, false);
		str_addf(line, "\n");
	}
}

static void loss_line(struct str *line, uint64_t lost)
{
	char text[80];

	snprintf(text, sizeof(text), "log: %llu lines were lost so far", (unsigned long long)lost);
	format_line(line, LOG_WARN, text);
}

static struct logfile sink = {LOGFILE_INIT, .option = "log.file", .loss_line = loss_line};

uint64_t log_dropped(void)
{
	return logfile_dropped(&sink);
}

int log_set_file(const char *file, struct error *err)
{
	int fd = logfile_open(&sink, file, err);

	if (fd < 0)
		return -1;
	logfile_use(&sink, file, fd);
	return 0;
}

int log_reopen(struct error *err)
{
	return logfile_reopen(&sink, err);
}

int log_start(const char *file, struct error *err)
{
	int fd = logfile_open(&sink, file, err);

	if (fd < 0)
		return -1;
	if (logfile_start(&sink, err) < 0) {
		close(fd);
		return -1;
	}
	logfile_use(&sink, file, fd);
	return 0;
}

void log_stop(void)
{
	logfile_stop(&sink);
}

/* Without the thread. */
static void write_directly(const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(STDERR_FILENO, data, len);

		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) { /* somebody made it non-blocking */
			poll(&(struct pollfd){.fd = STDERR_FILENO, .events = POLLOUT}, 1, -1);
		} else if (n == 0 || errno != EINTR) {
			return;
		}
	}
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
	if (!logfile_add(&sink, line.data, line.len))
		write_directly(line.data, line.len);
	str_clear(&line);
	errno = saved;
}
