#include "ask.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/conf.h"

#define ANSWER_MAX (64u << 20)

static char *url_of(const struct address *a, const char *path)
{
	switch (a->kind) {
	case ADDRESS_UNIX: return mem_printf("http://localhost%s", path);
	case ADDRESS_ANY: return mem_printf("http://127.0.0.1:%u%s", a->port, path);
	case ADDRESS_IP:
	case ADDRESS_NAME: break;
	}
	return mem_printf("http://%s%s", a->text, path);
}

static int load_admin(const char *conf_file, struct conf_admin *admin)
{
	struct problems p = {0};
	int rc = conf_load_admin(conf_file, admin, &p);

	for (size_t i = 0; i < p.n; i++)
		fprintf(stderr, "%s\n", p.lines[i]);
	problems_clear(&p);
	if (rc == 0 && !admin->set) {
		fprintf(stderr,
			"lintel: %s: there is no admin block, so the daemon cannot be asked; add "
			"one, say admin: { address: 127.0.0.1:8888 }, and start lintel again\n",
			conf_file);
		rc = -1;
	}
	return rc;
}

/* Why there was no answer. */
static void complain(const char *conf_file, const struct address *a, const struct error *err)
{
	fprintf(stderr, "lintel: asking the daemon at %s: %s; ", a->text, err->text);
	if (a->kind == ADDRESS_UNIX && access(a->host, W_OK) < 0 && errno == EACCES)
		fprintf(stderr, "only root and the user and group that it runs as may\n");
	else
		fprintf(stderr, "does lintel run with %s?\n", conf_file);
}

static void complain_of_token(const char *conf_file, const struct conf_admin *admin)
{
	const char *why = admin->token ? "refuses the token of" : "wants a token, which is not in";

	fprintf(stderr,
		"lintel: the daemon at %s %s %s; was admin.token changed without a reload?\n",
		admin->address.text, why, conf_file);
}

int ask_daemon(const char *conf_file, struct fetch_request *req, const char *path,
	struct fetch_response *res)
{
	struct conf_admin admin;
	struct error err;
	char *url;
	int rc;

	if (load_admin(conf_file, &admin) < 0)
		return -1;
	url = url_of(&admin.address, path);
	req->url = url;
	req->unix_path = admin.address.kind == ADDRESS_UNIX ? admin.address.host : NULL;
	req->bearer = admin.token;
	req->max_bytes = ANSWER_MAX;
	rc = fetch(req, res, &err);
	if (rc < 0)
		complain(conf_file, &admin.address, &err);
	if (rc == 0 && res->status == 401) {
		complain_of_token(conf_file, &admin);
		fetch_response_clear(res);
		rc = -1;
	}
	free(url);
	conf_admin_clear(&admin);
	return rc;
}

void ask_say_refusal(const struct fetch_response *res, struct json_object *answer)
{
	struct json_object *errors, *message;

	if (json_object_object_get_ex(answer, "errors", &errors) &&
		json_object_is_type(errors, json_type_array))
		for (size_t i = 0; i < json_object_array_length(errors); i++)
			fprintf(stderr, "%s\n",
				json_object_get_string(json_object_array_get_idx(errors, i)));
	else if (json_object_object_get_ex(answer, "message", &message))
		fprintf(stderr, "lintel: the daemon answered %ld: %s\n", res->status,
			json_object_get_string(message));
	else
		fprintf(stderr,
			"lintel: the daemon answered %ld, but not as lintel does; is another "
			"program at admin.address?\n",
			res->status);
}
