#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakeca.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/enc.h"
#include "base/mem.h"
#include "base/str.h"

#define REQUEST_MAX 65536

static struct {
	int listening, port;
	pthread_t thread;
	char *(*answer)(const struct fakeca_request *req);
} ca;

static char *decode(struct json_object *jws, const char *key)
{
	struct json_object *value;
	uint8_t *data;
	size_t len;
	char *text;

	if (!json_object_object_get_ex(jws, key, &value))
		return NULL;
	data = enc_base64url_decode(json_object_get_string(value), &len, NULL);
	text = data ? mem_strndup((char *)data, len) : NULL;
	free(data);
	return text;
}

/* Up to the end of the body; its start, or NULL. */
static char *read_request(int fd, char buffer[REQUEST_MAX])
{
	size_t len = 0;
	ssize_t n;

	while ((n = recv(fd, buffer + len, REQUEST_MAX - 1 - len, 0)) > 0) {
		char *end, *length;

		buffer[len += (size_t)n] = '\0';
		end = strstr(buffer, "\r\n\r\n");
		length = strcasestr(buffer, "\r\nContent-Length:");
		if (end && strlen(end + 4) >= (length ? (size_t)atoi(length + 17) : 0))
			return end + 4;
	}
	return NULL;
}

/* With "@" replaced, and Content-Length put in. */
static void send_answer(int fd, const char *method, const char *text)
{
	struct str s = {0};
	const char *body;
	size_t head;

	for (; *text; text++) {
		if (*text == '@')
			str_addf(&s, "http://127.0.0.1:%d", ca.port);
		else
			str_add(&s, text, 1);
	}
	body = strstr(s.data, "\r\n\r\n") + 4;
	head = (size_t)(body - s.data) - 2;
	dprintf(fd, "%.*sContent-Length: %zu\r\n\r\n%s", (int)head, s.data, strlen(body),
		strcmp(method, "HEAD") == 0 ? "" : body);
	str_clear(&s);
}

static void converse(int fd)
{
	static char buffer[REQUEST_MAX];
	char *body, *header, *text;

	while ((body = read_request(fd, buffer))) {
		struct fakeca_request req = {0};
		struct json_object *jws = json_tokener_parse(body);

		sscanf(buffer, "%7s %63s", req.method, req.path);
		header = decode(jws, "protected");
		req.header = header ? json_tokener_parse(header) : NULL;
		req.payload = decode(jws, "payload");
		text = ca.answer(&req);
		if (text)
			send_answer(fd, req.method, text);
		else
			recv(fd, buffer, sizeof(buffer), 0); /* until the client leaves */
		free(text);
		free(req.payload);
		json_object_put(req.header);
		free(header);
		json_object_put(jws);
		if (!text)
			return;
	}
}

static void *serve(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(ca.listening, NULL, NULL)) >= 0) {
		converse(fd);
		close(fd);
	}
	return NULL;
}

void fakeca_start(char *(*answer)(const struct fakeca_request *req))
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(in);

	ca.answer = answer;
	ca.listening = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(bind(ca.listening, (struct sockaddr *)&in, len), 0);
	assert_int_equal(listen(ca.listening, 8), 0);
	assert_int_equal(getsockname(ca.listening, (struct sockaddr *)&in, &len), 0);
	ca.port = ntohs(in.sin_port);
	assert_int_equal(pthread_create(&ca.thread, NULL, serve, NULL), 0);
}

char *fakeca_url(const char *path)
{
	return mem_printf("http://127.0.0.1:%d%s", ca.port, path);
}

void fakeca_stop(void)
{
	shutdown(ca.listening, SHUT_RDWR);
	pthread_join(ca.thread, NULL);
	close(ca.listening);
}
