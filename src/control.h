/* The control loop: signals, reload, publishing snapshots, timers, drain. The main thread. */
#ifndef LINTEL_CONTROL_H
#define LINTEL_CONTROL_H

/* Serves until it is told to stop. Returns the exit status: 0 clean, 1 start-up failed. */
int control_run(const char *conf_file);

#endif
