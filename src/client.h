/* The commands that ask the running daemon, through its admin listener. They read the `admin` block
 * of the configuration file and nothing else of it. Main thread, blocking. */
#ifndef LINTEL_CLIENT_H
#define LINTEL_CLIENT_H

#include <stdbool.h>

/* Each prints what the daemon says and returns the exit status of the program. */
int client_certs(const char *conf_file, bool json);
/* `name` NULL = all. Shows the progress as it comes. */
int client_renew(const char *conf_file, const char *name);
int client_status(const char *conf_file, bool json); /* as a table, or as the daemon answers it */
int client_reload(const char *conf_file);
/* Takes a server out or in: `mode` is what the API calls it. */
int client_server(const char *conf_file, const char *mode, const char *route, const char *server);

#endif
