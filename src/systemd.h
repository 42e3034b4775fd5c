/* What systemd is told of the process's life (sd_notify(3)); nothing where it is not there. */
#ifndef LINTEL_SYSTEMD_H
#define LINTEL_SYSTEMD_H

#include "config.h"

#ifdef HAVE_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

static inline void systemd_tell(const char *state)
{
#ifdef HAVE_SYSTEMD
	sd_notify(0, state);
#else
	(void)state;
#endif
}

#endif
