#include "notify/target.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

void target_make(
	const struct conf_notification *c, const struct message *m, struct target_request *out)
{
	switch (c->provider) {
	case NOTIFY_WEBHOOK: webhook_make(c, m, out); break;
	case NOTIFY_GOTIFY: gotify_make(c, m, out); break;
	case NOTIFY_NTFY: ntfy_make(c, m, out); break;
	}
}

void target_request_clear(struct target_request *r)
{
	if (r->url)
		OPENSSL_cleanse(r->url, strlen(r->url)); /* there may be a token in it */
	free(r->url);
	free(r->body);
	*r = (struct target_request){0};
}
