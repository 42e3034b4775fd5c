/* Renewals that are forced and watched through the admin listener: POST, JSON lines, WebSocket. The
 * renewals are played by the test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "adminpeer.h"
#include "base/mem.h"
#include "base/str.h"

static void wait_for(atomic_int *count, int n)
{
	while (*count < n)
		usleep(1000);
}

static void play(enum autocert_step step, const char *text, bool ok)
{
	int before = d.played;

	d.event = (struct autocert_event){
		.provider = step == STEP_DONE ? NULL : "main",
		.step = step,
		.level = LOG_INFO,
		.text = text,
		.ok = ok,
	};
	command('e');
	wait_for(&d.played, before + 1);
}

/* So that what is not read fills up soon. */
static int connect_narrowly(void)
{
	int fd = connect_to(), size = 4096;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	return fd;
}

/* Up to and with this; at most `size` - 1 bytes. */
static void read_until(int fd, const char *end, char *out, size_t size)
{
	size_t len = 0;

	for (*out = '\0'; !strstr(out, end); out[len] = '\0') {
		assert_true(len < size - 1);
		if (recv(fd, out + len, 1, 0) != 1)
			fail_msg("it ended after: %s", out);
		len++;
	}
}

/* ---- POST ---- */

#define POST      "POST /api/v1/cert/renew"
#define JSON_TYPE "Content-Type: application/json\r\n"
#define LINES     "Accept: application/x-ndjson\r\n"

static void send_post(int fd, const char *headers, const char *body)
{
	char *request =
		mem_printf(POST " HTTP/1.1\r\n" HOST JSON_TYPE "Content-Length: %zu\r\n%s\r\n%s",
			strlen(body), headers, body);

	send_text(fd, request);
	free(request);
}

static const char *post(const char *headers, const char *body)
{
	int fd = connect_to();

	send_post(fd, headers, body);
	return receive(fd);
}

static void posts_are_answered(void **state)
{
	start(NULL);
	message_of(post("", "{\"name\":\"main\"}"), 202);
	assert_string_equal(d.renewed[0], "main");
	message_of(post("", "{}"), 202);
	assert_string_equal(d.renewed[1], "");
	message_of(post("", ""), 202);
	assert_int_equal(d.renewals, 3);
	assert_null(d.watches[0]);

	assert_has(message_of(post("", "{\"name\":\"extra[1]\"}"), 200), "nothing to renew");
	assert_has(message_of(post("", "{\"name\":\"a\\u001b\\\"\"}"), 404), "\"a\\x1b\\x22\"");
	assert_has(message_of(post(LINES, "{\"name\":\"extra[9]\"}"), 404), "extra[9]");
	d.running = true;
	assert_string_equal(message_of(post("", "{}"), 409), "cert renewal already in progress");
	message_of(post(LINES, "{}"), 409);
	assert_int_equal(d.renewals, 3);
}

/* Above all nothing that was meant for one may renew all of them. */
static void wrong_posts_are_refused(void **state)
{
	static const char *const bodies[] = {"[]", "{", "1", "null", "\"main\"", "{\"name\":1}",
		"{\"name\":null}", "{\"name\":[\"main\"]}", "{\"nam\":\"main\"}",
		"{\"name\":\"main\",\"x\":1}", "\xff"};

	start(NULL);
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		message_of(post("", bodies[i]), 400);
		message_of(post(LINES, bodies[i]), 400);
	}
	message_of(post("Origin: http://evil.example\r\n", "{}"), 403);
	message_of(ask(POST " HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}"), 415);
	message_of(ask(POST " HTTP/1.1\r\nHost: evil.example\r\n" JSON "\r\n{}"), 403);
	assert_int_equal(d.renewals, 0);
	message_of(post("Origin: http://localhost\r\n", "{}"), 202);
}

static void token_is_wanted(void **state)
{
	start("sesame");
	message_of(post("", "{}"), 401);
	message_of(post(LINES "Authorization: Bearer other\r\n", "{}"), 401);
	message_of(ask_with("GET /api/v1/cert/renew",
			   HOST "Upgrade: websocket\r\nConnection: Upgrade\r\n"
				"Sec-WebSocket-Version: 13\r\n"
				"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"),
		401);
	assert_int_equal(d.renewals, 0);
	message_of(post("Authorization: Bearer sesame\r\n", "{}"), 202);
}

/* ---- JSON lines ---- */

static void assert_member(struct json_object *o, const char *key, const char *want)
{
	struct json_object *m = NULL;

	if (!json_object_object_get_ex(o, key, &m))
		fail_msg("there is no %s", key);
	assert_string_equal(json_object_to_json_string(m), want);
}

static void lines_come_as_it_goes(void **state)
{
	char head[1024], line[1024];
	struct json_object *o, *none;
	int fd;

	start(NULL);
	fd = connect_to();
	send_post(fd, LINES, "{\"name\":\"main\"}");
	wait_for(&d.renewals, 1);
	read_until(fd, "\r\n\r\n", head, sizeof(head));
	assert_int_equal(status_of(head), 200);
	assert_has(head, "\r\nContent-Type: application/x-ndjson\r\n");
	assert_has(head, "\r\nCache-Control: no-store\r\n");
	assert_has(head, "\r\nTransfer-Encoding: chunked\r\n");

	play(STEP_ORDER, "says \"hello\"\n/x", false);
	read_until(fd, "\r\n", line, sizeof(line)); /* the chunk's length */
	read_until(fd, "\n", line, sizeof(line));
	o = json_tokener_parse(line);
	assert_member(o, "provider", "\"main\"");
	assert_member(o, "step", "\"order\"");
	assert_member(o, "level", "\"info\"");
	assert_member(o, "message", "\"says \\\"hello\\\"\\n\\/x\"");
	assert_true(json_object_object_get_ex(o, "time", &none));
	assert_false(json_object_object_get_ex(o, "ok", &none));
	json_object_put(o);

	play(STEP_DONE, "not everything was renewed", false);
	assert_has(receive(fd), "\"ok\":false}\n\r\n0\r\n\r\n");
	assert_int_equal(d.unwatched, 0);
}

static void lines_outlive_their_reader(void **state)
{
	struct linger reset = {.l_onoff = 1};
	int fd;

	start(NULL);
	for (int i = 0; i < 4; i++) {
		fd = connect_to();
		send_post(fd, LINES, "{}");
		wait_for(&d.renewals, i + 1);
		if (i % 2)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		close(fd);
	}
	play(STEP_ISSUED, "one", false);
	play(STEP_SWAPPED, "two", false);
	play(STEP_DONE, "done", true);
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);
}

static char *large_text(void)
{
	char *text = mem_zalloc(60001);

	memset(text, 'x', 60000);
	return text;
}

static void lines_unread_end(void **state)
{
	char *text = large_text();
	int fd;

	start(NULL);
	fd = connect_narrowly();
	send_post(fd, LINES, "{}");
	wait_for(&d.renewals, 1);
	while (!d.unwatched)
		play(STEP_NOTE, text, false);
	play(STEP_DONE, "done", true);
	close(fd);
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);
	free(text);
}

static void stop_ends_lines(void **state)
{
	const char *answer;
	int fds[2];

	start(NULL);
	for (int i = 0; i < 2; i++) {
		fds[i] = connect_to();
		send_post(fds[i], LINES, "{}");
	}
	wait_for(&d.renewals, 2);
	close(fds[1]);
	play(STEP_NOTE, "going on", false);
	stop(NULL);
	answer = receive(fds[0]);
	assert_has(answer, "going on");
	assert_has(answer, "lintel stops");
	assert_has(answer, "\"ok\":false}\n\r\n0\r\n\r\n");
}

/* ---- WebSocket: the handshake ---- */

#define PATH "/api/v1/cert/renew"
#define KEY  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE                                                                                    \
	HOST "Upgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"                           \
	     "Sec-WebSocket-Version: 13\r\n"

/* The answer's head is read. */
static void upgrade(int fd, const char *query, const char *more)
{
	char head[1024];

	char *request = mem_printf("GET " PATH "%s HTTP/1.1\r\n" UPGRADE KEY "\r\n%s", query, more);

	send_text(fd, request);
	free(request);
	read_until(fd, "\r\n\r\n", head, sizeof(head));
	assert_int_equal(status_of(head), 101);
	assert_has(head, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n");
	/* RFC 6455, 1.3 */
	assert_has(head, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
}

static int open_ws(const char *query)
{
	int fd = connect_to();

	upgrade(fd, query, "");
	return fd;
}

static void names_are_taken(void **state)
{
	int fds[4];

	start(NULL);
	fds[0] = open_ws("");
	fds[1] = open_ws("?name=main");
	fds[2] = open_ws("?name=extra[1]");
	fds[3] = open_ws("?name=extra%5B1%5D");
	assert_int_equal(d.renewals, 2);
	assert_string_equal(d.renewed[0], "");
	assert_string_equal(d.renewed[1], "main");
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void wrong_handshakes_are_refused(void **state)
{
#define HEAD(upgrade, connection, version) HOST upgrade connection version KEY
#define U                                  "Upgrade: websocket\r\n"
#define C                                  "Connection: Upgrade\r\n"
#define V                                  "Sec-WebSocket-Version: 13\r\n"
	static const char *const not_upgrades[] = {
		HOST,
		HEAD("", C, V),
		HEAD(U, "", V),
		HEAD(U, C, ""),
		HEAD("Upgrade: h2c\r\n", C, V),
		HEAD("Upgrade: websockets\r\n", C, V),
		HEAD(U, "Connection: close\r\n", V),
		HEAD(U, "Connection: Upgrades\r\n", V),
		HEAD(U, C, "Sec-WebSocket-Version: 8\r\n"),
		HEAD(U, C, "Sec-WebSocket-Version: 130\r\n"),
	};
	static const char *const keys[] = {"", "Sec-WebSocket-Key:\r\n",
		"Sec-WebSocket-Key: c2hvcnQ=\r\n",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSE=\r\n",
		"Sec-WebSocket-Key: dGhl*HNhbXBsZSBub25jZQ==\r\n",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==dGhlIHNhbXBsZSBub25jZQ==\r\n"};
	static const char *const queries[] = {
		"?name", "?nam=main", "?name=main&name=main", "?name=main&x=1", "?=main"};
	const char *answer;
	char text[1024];
	int fd;

	start(NULL);
	for (size_t i = 0; i < sizeof(not_upgrades) / sizeof(not_upgrades[0]); i++) {
		answer = ask_with("GET " PATH, not_upgrades[i]);
		message_of(answer, 426);
		assert_has(answer, "\r\nUpgrade: websocket\r\n");
		assert_has(answer, "\r\nSec-WebSocket-Version: 13\r\n");
	}
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		snprintf(text, sizeof(text), UPGRADE "%s", keys[i]);
		message_of(ask_with("GET " PATH, text), 400);
	}
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		snprintf(text, sizeof(text), "GET " PATH "%s", queries[i]);
		message_of(ask_with(text, UPGRADE KEY), 400);
	}
	message_of(ask_with("GET " PATH "?name=nobody", UPGRADE KEY), 404);
	message_of(ask_with("GET " PATH "?name=", UPGRADE KEY), 404);
	message_of(ask_with("GET " PATH, UPGRADE KEY "Origin: http://evil.example\r\n"), 403);
	message_of(ask_with("GET " PATH, UPGRADE KEY "Origin: null\r\n"), 403);
	assert_int_equal(status_of(ask_with("HEAD " PATH, UPGRADE KEY)), 426);
	message_of(ask_with("PUT " PATH, UPGRADE KEY), 405);
	assert_int_equal(d.renewals, 0);

	fd = connect_to();
	send_text(fd, "GET " PATH " HTTP/1.1\r\n" UPGRADE KEY
		      "Origin: http://localhost\r\nSec-WebSocket-Protocol: x\r\n"
		      "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
	read_until(fd, "\r\n\r\n", text, sizeof(text));
	assert_int_equal(status_of(text), 101);
	assert_lacks(text, "Sec-WebSocket-Extensions");
	assert_lacks(text, "Sec-WebSocket-Protocol");
	close(fd);
}

/* ---- WebSocket: frames (RFC 6455, 5.2) ---- */

#define TEXT  0x1
#define CLOSE 0x8
#define PING  0x9
#define PONG  0xa
#define FIN   0x80

static void read_exactly(int fd, void *out, size_t n)
{
	assert_int_equal(recv(fd, out, n, MSG_WAITALL), (ssize_t)n);
}

/* The next frame; its payload becomes a string in `out`. Returns the opcode. */
static int read_frame(int fd, char *out, size_t size)
{
	uint8_t head[2];
	uint16_t two;
	size_t len;

	read_exactly(fd, head, 2);
	assert_int_equal(head[0] & 0xf0, FIN);
	len = head[1];
	if (len == 126) {
		read_exactly(fd, &two, 2);
		len = ntohs(two);
	}
	assert_true(len < size && len != 127);
	if (len)
		read_exactly(fd, out, len);
	out[len] = '\0';
	return head[0] & 0xf;
}

static void assert_text(int fd, const char *part)
{
	char text[1024];

	assert_int_equal(read_frame(fd, text, sizeof(text)), TEXT);
	assert_has(text, part);
}

/* The frames before it are passed over; code 0 = there is none. */
static void assert_closed(int fd, unsigned code)
{
	uint8_t payload[1024] = {0};

	while (read_frame(fd, (char *)payload, sizeof(payload)) != CLOSE)
		memset(payload, 0, sizeof(payload));
	assert_int_equal(payload[0] << 8 | payload[1], code);
}

/* Masked, as a client must. */
static void send_frame(int fd, unsigned first, const char *payload, size_t len)
{
	const uint8_t mask[4] = {1, 2, 3, 4};
	uint8_t *frame = mem_zalloc(len + 14);
	size_t at = 0;

	frame[at++] = (uint8_t)first;
	if (len < 126) {
		frame[at++] = (uint8_t)(0x80 | len);
	} else {
		assert_true(len < 65536);
		frame[at++] = 0x80 | 126;
		frame[at++] = (uint8_t)(len >> 8);
		frame[at++] = (uint8_t)len;
	}
	memcpy(frame + at, mask, 4);
	at += 4;
	for (size_t i = 0; i < len; i++)
		frame[at++] = (uint8_t)payload[i] ^ mask[i % 4];
	assert_int_equal(send(fd, frame, at, MSG_NOSIGNAL), (ssize_t)at);
	free(frame);
}

static void assert_ended(int fd)
{
	assert_string_equal(receive(fd), "");
}

static void ws_tells_each_step(void **state)
{
	int fd;

	start(NULL);
	fd = open_ws("?name=main");
	play(STEP_ORDER, "order placed", false);
	assert_text(fd, " info autocert: main: order placed");
	play(STEP_ISSUED, "issued", false);
	play(STEP_DONE, "done", true);
	assert_text(fd, "issued");
	assert_closed(fd, 1000);
	send_frame(fd, FIN | CLOSE, "\x03\xe8", 2);
	assert_ended(fd);
	assert_int_equal(d.unwatched, 0);
}

static void ws_tells_why_nothing_begins(void **state)
{
	int fd;

	start(NULL);
	d.running = true;
	fd = open_ws("");
	assert_text(fd, "cert renewal already in progress");
	assert_closed(fd, 1000);
	send_frame(fd, FIN | CLOSE, "\x03\xe8", 2);
	assert_ended(fd);
	fd = open_ws("?name=extra[1]");
	assert_text(fd, "nothing to renew");
	assert_closed(fd, 1000);
	close(fd);
	assert_int_equal(d.renewals, 0);
}

/* One that does not answer the close is left after a while. */
static void ws_waits_for_no_close(void **state)
{
	int fd;

	start(NULL);
	d.running = true;
	fd = open_ws("");
	assert_text(fd, "cert renewal already in progress");
	assert_closed(fd, 1000);
	assert_ended(fd);
}

static void ws_answers_pings(void **state)
{
	char payload[1024];
	int fd;

	start(NULL);
	fd = connect_to();
	upgrade(fd, "", "\x89\x82\1\2\3\4ik"); /* a ping that came with the request */
	assert_int_equal(read_frame(fd, payload, sizeof(payload)), PONG);
	assert_string_equal(payload, "hi");
	send_text(fd, "\x89");
	send_text(fd, "\x82\1\2\3");
	play(STEP_NOTE, "meanwhile", false);
	assert_text(fd, "meanwhile");
	send_text(fd, "\4ik");
	assert_int_equal(read_frame(fd, payload, sizeof(payload)), PONG);
	assert_string_equal(payload, "hi");

	/* What it says is let go, in one piece or in several. */
	send_frame(fd, FIN | TEXT, "hello", 5);
	send_frame(fd, TEXT, "hel", 3);
	send_frame(fd, FIN | PING, "", 0);
	send_frame(fd, FIN, "lo", 2);
	assert_int_equal(read_frame(fd, payload, sizeof(payload)), PONG);
	send_frame(fd, FIN | PONG, "unasked", 7);
	play(STEP_DONE, "done", true);
	assert_closed(fd, 1000);
	close(fd);
}

static void ws_refuses_wrong_frames(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		unsigned code;
	} wrong[] = {
		{"\x81\x02hi", 4, 1002},                         /* not masked */
		{"\xc1\x80\0\0\0\0", 6, 1002},                   /* a reserved bit */
		{"\x83\x80\0\0\0\0", 6, 1002},                   /* reserved opcodes */
		{"\x8f\x80\0\0\0\0", 6, 1002},                   /* ... of control */
		{"\x80\x80\0\0\0\0", 6, 1002},                   /* the rest of nothing */
		{"\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 12, 1002},  /* text within text */
		{"\x88\x81\0\0\0\0x", 7, 0},                     /* half a close code */
		{"\x88\x82\0\0\0\0\x03\xed", 8, 1002},           /* 1005 is no such */
		{"\x81\x82\0\0\0\0\xff\xfe", 8, 1007},           /* no UTF-8 */
		{"\x81\x81\0\0\0\0\xc3", 7, 1007},               /* half of it */
		{"\x88\x84\0\0\0\0\x03\xe8\xff\xff", 10, 1007},  /* ... in a reason */
		{"\x81\xff\0\0\0\0\0\1\0\1\0\0\0\0x", 15, 1009}, /* 64 KiB and one */
		/* wslay gives no code for what is no frame at all. */
		{"\x09\x80\0\0\0\0", 6, 0},                                  /* a ping in pieces */
		{"\x89\xfe\x00\x7e\0\0\0\0", 8, 0},                          /* ... of 126 bytes */
		{"\x81\xfe\x00\x01\0\0\0\0x", 9, 0},                         /* a length too long */
		{"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14, 0}, /* below zero */
	};
	int fd;

	start(NULL);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		fd = open_ws("");
		assert_int_equal(
			send(fd, wrong[i].bytes, wrong[i].len, MSG_NOSIGNAL), wrong[i].len);
		assert_closed(fd, wrong[i].code);
		assert_ended(fd);
		wait_for(&d.unwatched, (int)i + 1);
	}
	play(STEP_DONE, "done", true); /* nobody watches */
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);
}

static void ws_joins_no_more_than_it_may(void **state)
{
	char *text = large_text();
	int fd;

	start(NULL);
	fd = open_ws("");
	send_frame(fd, FIN | TEXT, text, 60000);
	send_frame(fd, TEXT, text, 60000);
	send_frame(fd, FIN, text, 60000);
	assert_closed(fd, 1009);
	assert_ended(fd);
	free(text);
}

static void ws_may_be_left(void **state)
{
	struct linger reset = {.l_onoff = 1};
	int fd;

	start(NULL);
	for (int i = 0; i < 4; i++) {
		fd = open_ws("");
		if (i == 1) {
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		} else if (i == 2) {
			send_frame(fd, FIN | CLOSE, "\x03\xe9", 2);
			assert_closed(fd, 1001);
		} else if (i == 3) {
			shutdown(fd, SHUT_WR);
			assert_ended(fd);
			fd = -1;
		}
		close(fd);
		wait_for(&d.unwatched, i + 1);
	}
	assert_int_equal(d.renewals, 4);
	play(STEP_DONE, "done", true);
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);
}

static void ws_unread_ends(void **state)
{
	char *text = large_text();
	int fd;

	start(NULL);
	fd = connect_narrowly();
	upgrade(fd, "", "");
	while (!d.unwatched)
		play(STEP_NOTE, text, false);
	close(fd);
	free(text);
}

/* It asks and asks, and never takes the answers. */
static void ws_pings_unread_end(void **state)
{
	struct timeval patience = {.tv_sec = 60};
	char pings[6 * 4096];
	int fd;

	start(NULL);
	fd = connect_narrowly();
	upgrade(fd, "", "");
	for (size_t i = 0; i < sizeof(pings); i += 6)
		memcpy(pings + i, "\x89\x80\0\0\0\0", 6);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	while (!d.unwatched)
		if (send(fd, pings, sizeof(pings), MSG_NOSIGNAL) < 0)
			break;
	wait_for(&d.unwatched, 1);
	close(fd);
}

/* Half of the places at most are theirs, whichever way they watch; others are answered. */
static void watchers_leave_places(void **state)
{
	int fds[32], last;

	start(NULL);
	for (int i = 0; i < 32; i += 2) {
		fds[i] = open_ws("");
		fds[i + 1] = connect_to();
		send_post(fds[i + 1], LINES, "{}");
		wait_for(&d.renewals, i + 2);
	}
	assert_has(message_of(post(LINES, "{}"), 503), "too many watch a renewal already");
	assert_has(message_of(ask_with("GET " PATH, UPGRADE KEY), 503), "too many watch");
	assert_int_equal(d.renewals, 32);
	message_of(post("", "{}"), 202);
	assert_int_equal(status_of(ask_with("GET /healthz", HOST)), 200);

	close(fds[0]);
	wait_for(&d.unwatched, 1);
	last = open_ws("");
	play(STEP_NOTE, "they stay", false);
	assert_text(last, "they stay");
	close(last);
	for (int i = 1; i < 32; i++)
		close(fds[i]);
}

static void stop_closes_ws(void **state)
{
	int fds[4];

	start(NULL);
	for (int i = 0; i < 4; i++)
		fds[i] = open_ws("");
	close(fds[0]);
	send_frame(fds[1], FIN | CLOSE, "\x03\xe8", 2);
	wait_for(&d.unwatched, 2);
	play(STEP_NOTE, "going on", false);
	stop(NULL);
	for (int i = 2; i < 4; i++) {
		assert_text(fds[i], "going on");
		assert_closed(fds[i], 1001);
		assert_ended(fds[i]);
	}
	close(fds[1]);
}

/* A renewal that was stopped with the daemon is no end like others. */
static void stopped_renewals_are_told(void **state)
{
	int fd;

	start(NULL);
	fd = open_ws("");
	play(STEP_DONE, "not everything was renewed", false);
	assert_closed(fd, 1000);
	close(fd);
	d.view.draining = true;
	fd = open_ws("");
	play(STEP_DONE, "done", true);
	assert_closed(fd, 1000);
	close(fd);
	fd = open_ws("");
	play(STEP_DONE, "not everything was renewed", false);
	assert_closed(fd, 1001);
	close(fd);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, stop)
	const struct CMUnitTest tests[] = {
		TEST(posts_are_answered),
		TEST(wrong_posts_are_refused),
		TEST(token_is_wanted),
		TEST(lines_come_as_it_goes),
		TEST(lines_outlive_their_reader),
		TEST(lines_unread_end),
		TEST(stop_ends_lines),
		TEST(names_are_taken),
		TEST(wrong_handshakes_are_refused),
		TEST(ws_tells_each_step),
		TEST(ws_tells_why_nothing_begins),
		TEST(ws_waits_for_no_close),
		TEST(ws_answers_pings),
		TEST(ws_refuses_wrong_frames),
		TEST(ws_joins_no_more_than_it_may),
		TEST(ws_may_be_left),
		TEST(ws_unread_ends),
		TEST(ws_pings_unread_end),
		TEST(watchers_leave_places),
		TEST(stop_closes_ws),
		TEST(stopped_renewals_are_told),
	};

	signal(SIGPIPE, SIG_IGN); /* as the daemon does */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
