/* One certificate from start to end: looks at what is there, and where that will not do gets a new
 * one, from an ACME CA by DNS-01 or from the pseudo CA. Straight-line and blocking: one job. */
#ifndef LINTEL_AUTOCERT_OBTAIN_H
#define LINTEL_AUTOCERT_OBTAIN_H

#include "autocert/event.h"
#include "autocert/schedule.h"
#include "autocert/state.h"
#include "autocert/store.h"
#include "base/stop.h"
#include "conf/conf.h"
#include "tls/cert.h"

struct obtain {
	const struct conf *conf;
	const struct conf_autocert *autocert; /* pseudo, or of an ACME CA */
	const struct stop *stop;
	bool forced; /* whatever is there, and however short ago it failed */
	bool first;  /* of this process: an order that is open is gone on with at once */
	bool fresh;  /* after a start or a reload: what is not done now, though wanted, is told */
	void (*say)(void *arg, enum autocert_step step, enum log_level level, const char *text);
	void *arg;
};

enum obtain_result {
	OBTAIN_KEPT,    /* nothing was to be done, or not yet */
	OBTAIN_RENEWED, /* the files are new */
	OBTAIN_FAILED,
	OBTAIN_STOPPED, /* told to, in the middle; an open order is gone on with later */
};

struct obtained {
	enum obtain_result result;
	struct cert *cert;     /* what lies at the paths now; NULL = nothing that could be served */
	struct state state;    /* as it was saved */
	int64_t due;           /* Unix seconds: when to look again */
	int64_t renew_at;      /* when a new one is wanted; 0 = now */
	enum schedule_why why; /* ... and why then */
};

/* Says each step, the failure too (STEP_FAILED). */
void obtain_run(const struct obtain *o, struct obtained *out);
/* When a new one is got or tried again, Unix seconds; 0 = now. */
int64_t obtained_next(const struct obtained *out);
void obtained_clear(struct obtained *out);

#endif
