/* The states of providers that are in no configuration any more, or `local` now: nobody else looks
 * at them, and the TXT records in their journals would stay for ever. Blocking: one job; the job
 * of no such provider may run beside it. */
#ifndef LINTEL_AUTOCERT_LEFTOVERS_H
#define LINTEL_AUTOCERT_LEFTOVERS_H

#include "base/stop.h"
#include "conf/conf.h"

/* Removes their TXT records through the providers of `c`, and the states with neither a record nor
 * an open order. Logs what it has done, and a warning for each state that somebody must see to;
 * what cannot be read stays. */
void leftovers_remove(const struct conf *c, const struct stop *stop);

#endif
