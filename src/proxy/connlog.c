#include "proxy/connlog.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/logfile.h"

#define TELL_EVERY_MS 10000

atomic_int connlog_mode = -1;
/* Thousands a second: a wake-up and a write for each would cost more than the line. */
static struct logfile sink = {LOGFILE_INIT, .option = "connection_log.file", .gather_ms = 20};

/* Lines */

/* Whether text can stand without quotes: nobody then takes it for two, or for something else. */
static bool is_plain(const char *s)
{
	for (size_t i = 0; s[i]; i++)
		if (s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '=' || s[i] == '\\')
			return false;
	return *s;
}

static void add_key(struct str *line, const char *key, bool json)
{
	str_add(line, json ? ",\"" : " ", json ? 2 : 1);
	str_add(line, key, strlen(key));
	str_add(line, json ? "\":" : "=", json ? 2 : 1);
}

static void add_text(struct str *line, const char *key, const char *value, bool json)
{
	bool quoted;

	if (!value)
		return;
	quoted = json || !is_plain(value);
	add_key(line, key, json);
	str_add(line, "\"", quoted);
	str_add_printable(line, value, true);
	str_add(line, "\"", quoted);
}

static void add_bool(struct str *line, const char *key, bool value, bool json)
{
	const char *word = value ? "true" : "false";

	add_key(line, key, json);
	str_add(line, word, strlen(word));
}

static void add_number(struct str *line, const char *key, uint64_t value, bool json)
{
	char digits[24];

	add_key(line, key, json);
	str_add(line, digits, (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, value));
}

/* As milliseconds. */
static void add_time(struct str *line, const char *key, int64_t us, bool json)
{
	char digits[32];

	if (us < 0)
		return;
	add_key(line, key, json);
	str_add(line, digits,
		(size_t)snprintf(
			digits, sizeof(digits), "%" PRId64 ".%03d", us / 1000, (int)(us % 1000)));
}

void connlog_format(struct str *line, const struct connlog_entry *e, enum log_format format)
{
	char when[CLOCK_RFC3339_SIZE];
	bool json = format == LOG_JSON;

	clock_rfc3339(when, e->ended_ms / 1000, (int)(e->ended_ms % 1000));
	str_addf(line, json ? "{\"time\":\"%s\"" : "time=%s", when);
	add_text(line, "client", e->client, json);
	add_text(line, "listener", e->listener, json);
	add_text(line, "sni", e->sni, json);
	add_text(line, "alpn", e->alpn, json);
	add_text(line, "protocol", e->protocol, json);
	add_text(line, "cipher", e->cipher, json);
	add_text(line, "group", e->group, json);
	if (e->shaken)
		add_bool(line, "resumed", e->resumed, json);
	add_text(line, "client_subject", e->subject, json);
	add_text(line, "route", e->route, json);
	add_text(line, "server", e->server, json);
	add_text(line, "id", e->id, json);
	add_number(line, "bytes_in", e->bytes_in, json);
	add_number(line, "bytes_out", e->bytes_out, json);
	add_time(line, "duration_ms", e->duration_us, json);
	add_time(line, "handshake_ms", e->handshake_us, json);
	add_time(line, "connect_ms", e->connect_us, json);
	add_time(line, "first_byte_ms", e->first_byte_us, json);
	add_text(line, "close", e->close, json);
	add_text(line, "reason", e->reason, json);
	str_add(line, json ? "}\n" : "\n", json ? 2 : 1);
}

void connlog_add(const struct connlog_entry *e)
{
	int mode = atomic_load_explicit(&connlog_mode, memory_order_relaxed);
	struct str line = {0};

	if (mode < 0) /* turned off meanwhile */
		return;
	connlog_format(&line, e, (enum log_format)mode);
	logfile_add(&sink, line.data, line.len);
	str_clear(&line);
}

/* Control */

int connlog_open(const char *file, struct error *err)
{
	return logfile_start(&sink, err) < 0 ? -1 : logfile_open(&sink, file, err);
}

void connlog_use(const char *file, int fd)
{
	logfile_use(&sink, file, fd);
}

void connlog_turn_on(enum log_format format)
{
	atomic_store_explicit(&connlog_mode, (int)format, memory_order_relaxed);
}

void connlog_turn_off(void)
{
	atomic_store_explicit(&connlog_mode, -1, memory_order_relaxed);
	logfile_rest(&sink);
}

int connlog_reopen(struct error *err)
{
	return logfile_reopen(&sink, err);
}

uint64_t connlog_dropped(void)
{
	return logfile_dropped(&sink);
}

static uint64_t told; /* control's, as the next */
static int64_t told_at;

static void tell(uint64_t lost)
{
	told = lost;
	told_at = clock_mono_ms();
	log_warn("connection log: %llu lines were lost so far: its disk is full, or who reads it "
		 "is too slow",
		(unsigned long long)lost);
}

void connlog_tell_losses(void)
{
	uint64_t lost = connlog_dropped();

	if (lost != told && (!told_at || clock_mono_ms() - told_at >= TELL_EVERY_MS))
		tell(lost);
}

void connlog_stop(void)
{
	atomic_store_explicit(&connlog_mode, -1, memory_order_relaxed);
	logfile_stop(&sink);
	if (connlog_dropped() != told)
		tell(connlog_dropped());
}
