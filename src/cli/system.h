/* What the program asks the operating system: time, memory, files, signals. */
#ifndef IMP_CLI_SYSTEM_H
#define IMP_CLI_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "impasto.h"

double imp_cli_seconds(void); /* since some fixed moment */

/* Bytes that the process could still use: free memory and what a control group leaves; UINT64_MAX when not known. */
uint64_t imp_cli_memory_available(void);

/* Bytes of address space that `ulimit -v` still leaves; UINT64_MAX without a limit. */
uint64_t imp_cli_address_space_left(void);

/* Has the C library give memory back to the system as soon as it is released, so that what is resident is what is in
   use. */
void imp_cli_return_memory(void);

/* The most resident memory the process has had so far, in bytes. */
uint64_t imp_cli_memory_peak(void);

/* The most that it will have had when it ends, with bytes at most in this context; some of them may be there already. */
uint64_t imp_cli_memory_expected(const imp_context *context, uint64_t bytes);

/* Whether both paths lead to one existing file, by whatever links. */
bool imp_cli_same_file(const char *a, const char *b);

bool imp_cli_is_file(const char *path);
bool imp_cli_is_folder(const char *path);

/* Keeps the folder for this process until it ends, or says that another one which runs keeps it; on a file system of the
   network only one of the same machine. IMP_CLI_UNLOCKED: neither can be had there, as errno says. */
typedef enum imp_cli_lock { IMP_CLI_LOCKED, IMP_CLI_TAKEN, IMP_CLI_UNLOCKED } imp_cli_lock;
imp_cli_lock imp_cli_lock_folder(const char *folder);

/* The folder that the running program lies in: what is installed with it is found from there, wherever that is. */
bool imp_cli_program_folder(char *folder, size_t size);

/* From here on SIGINT, SIGTERM and SIGHUP only note that they came; a second one ends the process at once. */
void imp_cli_catch_signals(void);

/* The signal that came, or 0. */
int imp_cli_signal(void);

/* Columns of the terminal that standard output is; 0 when it is none. */
int imp_cli_terminal_width(void);

#endif
