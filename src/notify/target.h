/* The providers of notifications: each makes one HTTP request of a message. Plain data of one
 * thread; part of notify/. */
#ifndef LINTEL_NOTIFY_TARGET_H
#define LINTEL_NOTIFY_TARGET_H

#include "conf/conf.h"
#include "notify/message.h"

struct target_request {
	const char *method;       /* as in the configuration, or static */
	const char *content_type; /* the same */
	char *url;
	char *body; /* NULL = none */
};

void target_make(
	const struct conf_notification *c, const struct message *m, struct target_request *out);
void target_request_clear(struct target_request *r);

/* Those of one provider each. */
void webhook_make(
	const struct conf_notification *c, const struct message *m, struct target_request *out);
void gotify_make(
	const struct conf_notification *c, const struct message *m, struct target_request *out);
void ntfy_make(
	const struct conf_notification *c, const struct message *m, struct target_request *out);

/* Whether the webhook's payload is JSON, once its words are filled in; a sentence when not. */
int webhook_check(const struct conf_notification *c, struct error *err);

#endif
