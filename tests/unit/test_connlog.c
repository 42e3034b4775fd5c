#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "base/file.h"
#include "base/mem.h"
#include "proxy/connlog.h"

static const struct connlog_entry nothing = {
	.ended_ms = 1764108279007,
	.client = "192.0.2.7:4711",
	.duration_us = 0,
	.handshake_us = -1,
	.connect_us = -1,
	.first_byte_us = -1,
	.close = "handshake_failed",
	.reason = "no_route",
};

static const struct connlog_entry everything = {
	.ended_ms = 1764108279123,
	.client = "[2001:db8::7]:4711",
	.listener = "https",
	.sni = "shop.example",
	.alpn = "http/1.1",
	.protocol = "TLSv1.3",
	.cipher = "TLS_AES_128_GCM_SHA256",
	.group = "X25519",
	.subject = "CN=Ann \"the \\ cat\", O=\xc3\xa4\x1b\n\xff",
	.shaken = true,
	.resumed = true,
	.route = "*.shop.example@https,other",
	.server = "unix:/run/shop app.sock",
	.id = "a1",
	.bytes_in = 1,
	.bytes_out = UINT64_MAX,
	.duration_us = 9000000000000001,
	.handshake_us = 1234,
	.connect_us = 99,
	.first_byte_us = 1000,
	.close = "server",
};

static void assert_line(const struct connlog_entry *e, enum log_format format, const char *want)
{
	struct str line = {0};

	connlog_format(&line, e, format);
	assert_string_equal(line.data, want);
	str_clear(&line);
}

static void text(void **state)
{
	(void)state;
	assert_line(&nothing, LOG_TEXT,
		"time=2025-11-25T22:04:39.007Z client=192.0.2.7:4711 bytes_in=0 bytes_out=0 "
		"duration_ms=0.000 close=handshake_failed reason=no_route\n");
	assert_line(&everything, LOG_TEXT,
		"time=2025-11-25T22:04:39.123Z client=[2001:db8::7]:4711 listener=https "
		"sni=shop.example alpn=http/1.1 protocol=TLSv1.3 cipher=TLS_AES_128_GCM_SHA256 "
		"group=X25519 resumed=true "
		"client_subject=\"CN=Ann \\\"the \\\\ cat\\\", O=\xc3\xa4\\\\x1b\\\\x0a\\\\xff\" "
		"route=*.shop.example@https,other server=\"unix:/run/shop app.sock\" id=a1 "
		"bytes_in=1 bytes_out=18446744073709551615 duration_ms=9000000000000.001 "
		"handshake_ms=1.234 connect_ms=0.099 first_byte_ms=1.000 close=server\n");
}

/* What would be taken for a key, for no value or for two has quotes. */
static void text_quotes(void **state)
{
	struct connlog_entry e = nothing;
	struct str line = {0};

	(void)state;
	e.sni = "";
	e.route = "a=b";
	e.server = "\xc3\xa4";
	e.listener = "a\nclient=forged";
	connlog_format(&line, &e, LOG_TEXT);
	assert_non_null(strstr(line.data, " listener=\"a\\\\x0aclient=forged\" sni=\"\" "));
	assert_non_null(strstr(line.data, " route=\"a=b\" server=\"\xc3\xa4\" "));
	assert_ptr_equal(strchr(line.data, '\n'), line.data + line.len - 1);
	str_clear(&line);
}

static void assert_text(struct json_object *o, const char *key, const char *want)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(o, key, &value));
	assert_int_equal(json_object_get_type(value), json_type_string);
	assert_string_equal(json_object_get_string(value), want);
}

static void assert_time(struct json_object *o, const char *key, double want)
{
	struct json_object *value;

	assert_true(json_object_object_get_ex(o, key, &value));
	assert_int_equal(json_object_get_type(value), json_type_double);
	assert_true(json_object_get_double(value) == want);
}

static struct json_object *parse(const struct connlog_entry *e)
{
	struct json_object *o;
	struct str line = {0};

	connlog_format(&line, e, LOG_JSON);
	assert_ptr_equal(strchr(line.data, '\n'), line.data + line.len - 1);
	o = json_tokener_parse(line.data);
	assert_non_null(o);
	str_clear(&line);
	return o;
}

static void json_of_everything(void **state)
{
	struct json_object *o = parse(&everything), *value;

	(void)state;
	assert_int_equal(json_object_object_length(o), 20);
	assert_text(o, "time", "2025-11-25T22:04:39.123Z");
	assert_text(o, "client", "[2001:db8::7]:4711");
	assert_text(o, "listener", "https");
	assert_text(o, "sni", "shop.example");
	assert_text(o, "alpn", "http/1.1");
	assert_text(o, "protocol", "TLSv1.3");
	assert_text(o, "cipher", "TLS_AES_128_GCM_SHA256");
	assert_text(o, "group", "X25519");
	assert_text(o, "client_subject", "CN=Ann \"the \\ cat\", O=\xc3\xa4\\x1b\\x0a\\xff");
	assert_text(o, "route", "*.shop.example@https,other");
	assert_text(o, "server", "unix:/run/shop app.sock");
	assert_text(o, "id", "a1");
	assert_text(o, "close", "server");
	assert_true(json_object_object_get_ex(o, "resumed", &value));
	assert_int_equal(json_object_get_type(value), json_type_boolean);
	assert_true(json_object_get_boolean(value));
	assert_true(json_object_object_get_ex(o, "bytes_in", &value));
	assert_int_equal(json_object_get_type(value), json_type_int);
	assert_int_equal(json_object_get_uint64(value), 1);
	assert_true(json_object_object_get_ex(o, "bytes_out", &value));
	assert_true(json_object_get_uint64(value) == UINT64_MAX);
	assert_time(o, "duration_ms", 9000000000000.001);
	assert_time(o, "handshake_ms", 1.234);
	assert_time(o, "connect_ms", 0.099);
	assert_time(o, "first_byte_ms", 1.0);
	json_object_put(o);
}

/* A key is there only where there is something to say. */
static void json_of_nothing(void **state)
{
	struct json_object *o = parse(&nothing);

	(void)state;
	assert_int_equal(json_object_object_length(o), 7);
	assert_text(o, "time", "2025-11-25T22:04:39.007Z");
	assert_time(o, "duration_ms", 0);
	assert_text(o, "close", "handshake_failed");
	assert_text(o, "reason", "no_route");
	json_object_put(o);
}

static size_t count_lines(const char *path)
{
	size_t len, n = 0;
	char *all = file_read(path, 1u << 20, &len, NULL);

	assert_non_null(all);
	for (size_t i = 0; i < len; i++)
		n += all[i] == '\n';
	free(all);
	return n;
}

static void on_and_off(void **state)
{
	char path[] = "/tmp/test_connlog.XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	assert_false(connlog_is_on());
	connlog_add(&everything);
	fd = connlog_open(path, NULL);
	assert_true(fd >= 0);
	connlog_use(path, fd);
	connlog_turn_on(LOG_JSON);
	assert_true(connlog_is_on());
	connlog_add(&everything);
	connlog_turn_on(LOG_TEXT);
	connlog_add(&nothing);
	connlog_turn_off();
	assert_false(connlog_is_on());
	connlog_add(&nothing);
	connlog_stop();
	assert_int_equal(count_lines(path), 2);
	assert_int_equal(connlog_dropped(), 0);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
		cmocka_unit_test(text_quotes),
		cmocka_unit_test(json_of_everything),
		cmocka_unit_test(json_of_nothing),
		cmocka_unit_test(on_and_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
