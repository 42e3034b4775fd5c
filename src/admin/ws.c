#include "admin/ws.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <wslay/wslay.h>

#include "admin/conns.h"
#include "base/mem.h"

#define GUID        "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */
#define KEY_LEN     24                                     /* of 16 bytes in base64 */
#define MESSAGE_MAX (64 << 10)                             /* bytes, of the client's */
#define OUTPUT_MAX  (256 << 10)                            /* queued in the bufferevent */
/* Queued beyond that, for one that does not read: */
#define QUEUE_MAX    (1 << 20) /* bytes */
#define MESSAGES_MAX 4096      /* the answers to its pings may have no bytes */
#define CLOSE_S      10

struct ws {
	struct evhttp_connection *evcon;
	struct bufferevent *bev;
	wslay_event_context_ptr ctx;
	struct event *end; /* frees it, outside of everybody's callbacks */
	void (*gone)(void *arg);
	void *arg;
	unsigned close_code; /* wanted; 0 = not yet */
	bool close_queued, over;
};

/* ---- the handshake ---- */

static const char *header(struct evhttp_request *req, const char *name)
{
	return evhttp_find_header(evhttp_request_get_input_headers(req), name);
}

/* Whether a list of tokens has this one (RFC 9110, 5.6.1). */
static bool has_token(const char *list, const char *token)
{
	size_t len = strlen(token);

	while (list && *list) {
		list += strspn(list, " \t,");
		if (strncasecmp(list, token, len) == 0 && (!list[len] || strchr(" \t,", list[len])))
			return true;
		list += strcspn(list, ",");
	}
	return false;
}

static bool is_key(const char *key)
{
	unsigned char bytes[KEY_LEN];

	/* Padding counts as bytes here. */
	return key && strlen(key) == KEY_LEN && key[KEY_LEN - 1] == '=' &&
	       key[KEY_LEN - 2] == '=' &&
	       EVP_DecodeBlock(bytes, (const unsigned char *)key, KEY_LEN) == KEY_LEN / 4 * 3;
}

int ws_check(struct evhttp_request *req, int *status, struct error *err)
{
	const char *version = header(req, "Sec-WebSocket-Version");

	*status = 426;
	if (evhttp_request_get_command(req) != EVHTTP_REQ_GET ||
		!has_token(header(req, "Upgrade"), "websocket") ||
		!has_token(header(req, "Connection"), "upgrade"))
		return error_set(err, "this is a WebSocket: ask with Upgrade: websocket");
	if (!version || strcmp(version, "13") != 0)
		return error_set(err, "only version 13 of WebSocket is spoken here");
	*status = 400;
	if (!is_key(header(req, "Sec-WebSocket-Key")))
		return error_set(err, "Sec-WebSocket-Key is not 16 bytes in base64");
	return 0;
}

static void answer(struct ws *ws, const char *key)
{
	unsigned char hash[SHA_DIGEST_LENGTH], accept[SHA_DIGEST_LENGTH * 2];
	char text[KEY_LEN + sizeof(GUID)];

	strcpy(text, key);
	strcat(text, GUID);
	SHA1((const unsigned char *)text, strlen(text), hash);
	EVP_EncodeBlock(accept, hash, sizeof(hash));
	evbuffer_add_printf(bufferevent_get_output(ws->bev),
		"HTTP/1.1 101 Switching Protocols\r\n"
		"Upgrade: websocket\r\n"
		"Connection: Upgrade\r\n"
		"Sec-WebSocket-Accept: %s\r\n"
		"\r\n",
		(const char *)accept);
}

/* ---- frames ---- */

static void end_soon(struct ws *ws)
{
	ws->over = true;
	event_active(ws->end, EV_TIMEOUT, 0);
}

static ssize_t on_want_bytes(
	wslay_event_context_ptr ctx, uint8_t *buf, size_t len, int flags, void *arg)
{
	struct ws *ws = arg;
	int n = evbuffer_remove(bufferevent_get_input(ws->bev), buf, len);

	(void)flags;
	if (n > 0)
		return n;
	wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
	return -1;
}

static ssize_t on_give_bytes(
	wslay_event_context_ptr ctx, const uint8_t *data, size_t len, int flags, void *arg)
{
	struct ws *ws = arg;
	struct evbuffer *output = bufferevent_get_output(ws->bev);

	(void)flags;
	if (evbuffer_get_length(output) > OUTPUT_MAX || evbuffer_add(output, data, len) < 0) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	return (ssize_t)len;
}

static bool is_overfull(struct ws *ws)
{
	return wslay_event_get_queued_msg_length(ws->ctx) > QUEUE_MAX ||
	       wslay_event_get_queued_msg_count(ws->ctx) > MESSAGES_MAX;
}

/* Moves frames out. A close would overtake text that is queued: it is queued when that is gone. */
static void pump(struct ws *ws)
{
	if (ws->over)
		return;
	if (wslay_event_send(ws->ctx) < 0 || is_overfull(ws)) {
		end_soon(ws);
		return;
	}
	if (ws->close_code && !ws->close_queued && !wslay_event_get_queued_msg_count(ws->ctx)) {
		ws->close_queued = true;
		wslay_event_queue_close(ws->ctx, (uint16_t)ws->close_code, NULL, 0);
		if (wslay_event_send(ws->ctx) < 0)
			end_soon(ws);
	}
	if (!wslay_event_want_read(ws->ctx) && !wslay_event_want_write(ws->ctx) &&
		!evbuffer_get_length(bufferevent_get_output(ws->bev)))
		end_soon(ws);
}

static void on_readable(struct bufferevent *bev, void *arg)
{
	const struct timeval patience = {.tv_sec = CLOSE_S};
	struct ws *ws = arg;

	(void)bev;
	if (ws->over)
		return;
	/* What is no frame has made wslay queue a close. */
	if (wslay_event_recv(ws->ctx) < 0)
		event_add(ws->end, &patience);
	pump(ws);
}

static void on_written(struct bufferevent *bev, void *arg)
{
	(void)bev;
	pump(arg);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	(void)bev;
	(void)what;
	end_soon(arg);
}

/* ---- life ---- */

static void ws_free(struct ws *ws)
{
	event_free(ws->end);
	wslay_event_context_free(ws->ctx);
	free(ws);
}

static void on_end(evutil_socket_t fd, short what, void *arg)
{
	struct ws *ws = arg;

	(void)fd;
	(void)what;
	evhttp_connection_set_closecb(ws->evcon, NULL, NULL);
	evhttp_connection_free(ws->evcon);
	ws->gone(ws->arg);
	ws_free(ws);
}

struct ws *ws_accept(
	struct event_base *base, struct evhttp_request *req, void (*gone)(void *arg), void *arg)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = on_want_bytes,
		.send_callback = on_give_bytes,
	};
	struct ws *ws = mem_zalloc(sizeof(*ws));

	ws->evcon = evhttp_request_get_connection(req);
	ws->bev = evhttp_connection_get_bufferevent(ws->evcon);
	ws->gone = gone;
	ws->arg = arg;
	ws->end = event_new(base, -1, 0, on_end, ws);
	if (!ws->end || wslay_event_context_server_init(&ws->ctx, &callbacks, ws) != 0)
		abort(); /* out of memory */
	wslay_event_config_set_max_recv_msg_length(ws->ctx, MESSAGE_MAX);
	bufferevent_setcb(ws->bev, on_readable, on_written, on_event, ws);
	bufferevent_set_timeouts(ws->bev, NULL, NULL); /* else HTTP's end it */
	bufferevent_enable(ws->bev, EV_READ | EV_WRITE);
	answer(ws, header(req, "Sec-WebSocket-Key"));
	on_readable(ws->bev, ws); /* frames that came with the request */
	return ws;
}

void ws_send(struct ws *ws, const char *text)
{
	const struct wslay_event_msg msg = {
		.opcode = WSLAY_TEXT_FRAME,
		.msg = (const uint8_t *)text,
		.msg_length = strlen(text),
	};

	if (ws->over || ws->close_code)
		return;
	wslay_event_queue_msg(ws->ctx, &msg);
	pump(ws);
}

void ws_close(struct ws *ws, unsigned code)
{
	const struct timeval patience = {.tv_sec = CLOSE_S};

	if (ws->over || ws->close_code)
		return;
	ws->close_code = code;
	event_add(ws->end, &patience);
	pump(ws);
}

void ws_abandon(struct ws *ws)
{
	if (!ws->over)
		conns_flush(ws->bev); /* the close frame */
	evhttp_connection_set_closecb(ws->evcon, NULL, NULL);
	bufferevent_setcb(ws->bev, NULL, NULL, NULL, NULL);
	ws_free(ws);
}
