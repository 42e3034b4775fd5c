/* The command line. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "control.h"

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "check") == 0)
		return control_check(argv[3]);
	if (argc >= 3)
		return control_run(argv[argc - 1]);
	puts("lintel " PACKAGE_VERSION);
	return 2;
}
