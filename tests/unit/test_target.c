/* What each provider of notifications sends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "conffile.h"
#include "notify/target.h"

#define HOOK  "provider: webhook, url: 'http://h/x', "
#define PLAIN "format: plain, "

/* A configuration with this one target. */
static struct conf *load(const char *target)
{
	char *text = mem_printf(BASE "notifications: [{ %s }]\n", target);
	struct problems p = {0};
	struct conf *c;

	conffile_write(conffile_path, text);
	c = conf_load(conffile_path, &p);
	for (size_t i = 0; i < p.n; i++)
		print_error("%s\n", p.lines[i]);
	assert_non_null(c);
	free(text);
	return c;
}

static struct target_request make(struct conf *c)
{
	static const struct notify_field field = {"main", "v"};
	struct target_request r = {0};
	struct message m;

	message_init(&m, LOG_ERROR, "T", "`m`", &field, 1);
	target_make(c->notifications, &m, &r);
	message_clear(&m);
	return r;
}

static void assert_made(const char *target, const char *want_url, const char *want_body)
{
	struct conf *c = load(target);
	struct target_request r = make(c);

	assert_string_equal(r.method, "POST");
	assert_string_equal(r.url, want_url);
	assert_string_equal(r.body, want_body);
	target_request_clear(&r);
	conf_unref(c);
}

static void makes_gotify(void **state)
{
	assert_made("provider: gotify, url: 'https://h/p//', token: t", "https://h/p/message",
		"{\"title\":\"T\",\"message\":\"\\\\`m\\\\`\\n\\n- **main**: `v`\",\"priority\":8,"
		"\"extras\":{\"client::display\":{\"contentType\":\"text\\/markdown\"}}}");
	assert_made(PLAIN "provider: gotify, url: 'http://h', token: t", "http://h/message",
		"{\"title\":\"T\",\"message\":\"`m`\\n\\nmain: v\",\"priority\":8}");
}

static void makes_ntfy(void **state)
{
	assert_made("provider: ntfy, url: 'https://ntfy.sh', topic: t", "https://ntfy.sh/",
		"{\"topic\":\"t\",\"title\":\"T\",\"message\":\"\\\\`m\\\\`\\n\\n- **main**: `v`\","
		"\"priority\":4,\"markdown\":true}");
	/* the topic's own URL */
	assert_made(PLAIN "provider: ntfy, url: 'https://h/p/t/', topic: t", "https://h/p/",
		"{\"topic\":\"t\",\"title\":\"T\",\"message\":\"`m`\\n\\nmain: "
		"v\",\"priority\":4}");
	assert_made(PLAIN "provider: ntfy, url: 'https://h/pt', topic: t", "https://h/pt/",
		"{\"topic\":\"t\",\"title\":\"T\",\"message\":\"`m`\\n\\nmain: "
		"v\",\"priority\":4}");
}

static void makes_webhooks(void **state)
{
	assert_made(PLAIN HOOK, "http://h/x",
		"{\"title\": \"T\", \"message\": \"`m`\", \"fields\": "
		"[{\"name\":\"main\",\"value\":\"v\",\"inline\":false}], \"color\": 13840175}");
	assert_made(HOOK "template: discord", "http://h/x",
		"{\"embeds\": [{\"title\": \"T\", \"description\": \"\\\\`m\\\\`\", \"fields\": "
		"[{\"name\":\"main\",\"value\":\"`v`\",\"inline\":false}], \"color\": 13840175}], "
		"\"allowed_mentions\": {\"parse\": []}}");
	assert_made(PLAIN HOOK "mime_type: text/plain", "http://h/x", "T\n\n`m`\n\nmain: v\n");
	assert_made(PLAIN HOOK
		"mime_type: application/x-www-form-urlencoded, payload: 't=$message'",
		"http://h/x", "t=%60m%60");
}

static void takes_method_and_type(void **state)
{
	struct conf *c = load(HOOK "method: PUT, mime_type: text/x");
	struct target_request r = make(c);

	assert_string_equal(r.method, "PUT");
	assert_string_equal(r.content_type, "text/x");
	target_request_clear(&r);
	conf_unref(c);

	c = load(HOOK "method: GET");
	r = make(c);
	assert_string_equal(r.method, "GET");
	assert_null(r.body);
	target_request_clear(&r);
	conf_unref(c);
}

static void assert_check(const char *payload, const char *want)
{
	char *target = mem_printf(HOOK "%s", payload);
	struct conf *c = load(target);
	struct error err = {""};

	assert_int_equal(webhook_check(c->notifications, &err), *want ? -1 : 0);
	assert_string_equal(err.text, want);
	conf_unref(c);
	free(target);
}

static void tells_a_payload_that_is_no_json(void **state)
{
	assert_check("", "");
	assert_check("payload: '{\"t\": \"$title $fields\", \"n\": $color, \"f\": $fields}'", "");
	assert_check("payload: text, mime_type: text/plain", "");
	assert_check("payload: '\"$title\"', mime_type: application/x+json", "");
	assert_check("payload: '{\"text\": \"$title\"'",
		"is no JSON, as its mime_type says, once it is filled in: unexpected end of data");
	assert_check("payload: '{\"text\": \"$title\",}'",
		"is no JSON, as its mime_type says, once it is filled in: unexpected character");
	assert_check("payload: '{} $title'",
		"is no JSON, as its mime_type says, once it is filled in: unexpected character");
	assert_check("payload: text",
		"is no JSON, as its mime_type says, once it is filled in: boolean expected");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(makes_gotify),
		cmocka_unit_test(makes_ntfy),
		cmocka_unit_test(makes_webhooks),
		cmocka_unit_test(takes_method_and_type),
		cmocka_unit_test(tells_a_payload_that_is_no_json),
	};

	return cmocka_run_group_tests(tests, conffile_set_up, conffile_tear_down);
}
