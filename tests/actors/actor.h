/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a case is, and what it may use. See README.md for how to add one.
 */
#ifndef ACTOR_H
#define ACTOR_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534
#define ARGUMENTS 6
#define ACTS 4			/* of one case */
#define ARGUMENTS_TEXT (1 << 20)
#define LONG_PATH (4 * PATH_MAX)

/* How an argument is shown, and how it is turned into that of a 32-bit call. */
enum kind {
	NONE = 0,
	INT,	  /* 32 bits, signed */
	LONG,	  /* a word, signed */
	POINTER,  /* not shown; take the memory from low() so that a 32-bit call reaches it */
	STRING,
	VECTOR,	  /* of strings, ended by NULL */
	ADDRESS,  /* struct sockaddr; its size is the next argument */
	BYTES,	  /* its size is the next argument; not shown */
	HOW,	  /* struct open_how */
	MESSAGE,  /* struct msghdr */
	MESSAGES, /* struct mmsghdr[]; their number is the next argument */
	IOVEC,	  /* struct iovec[]; their number is the next argument; bases from low() */
};

/* One row of the table of system calls in calls.c. */
struct call {
	const char *name;
	long number;
	int compat;	/* its number in 32-bit programs; 0: none */
	int compat_old; /* another one there: 16-bit ids, 64-bit offsets, no flags */
	int socketcall;
	int io_uring;	/* the operation that does the same */
	bool ends;	/* the image or the process ends with it: all must be said before */
	struct {
		const char *name;
		enum kind kind;
	} arguments[ARGUMENTS];
};

/* How a system call is made. */
struct way {
	const char *name; /* prefix of the case: "compat/openat-relative" */
	int (*number)(const struct call *call); /* 0: it cannot be made this way */
	void (*prepare)(const struct call *call, const long *arguments);
	long (*go)(void); /* the result, or -errno */
};

/* What happened, as it is told on standard output. */
struct act {
	const struct call *call;
	int host_pid, tid, host_ppid; /* as /proc of the actor counts them */
	int pid, ppid;		      /* as the process itself counts them */
	unsigned int uid;
	bool deleted;
	bool address_known;
	long result;
	uint64_t time_ns_before, time_ns_after;
	char comm[16];
	char cwd[LONG_PATH];
	char path[LONG_PATH];
	char new_path[LONG_PATH];
	char executable[LONG_PATH];
	char query[256];
	char query_types[16];
	struct sockaddr_storage address;
	char image_argv[LONG_PATH]; /* JSON already, as are the arguments */
	char arguments[ARGUMENTS_TEXT];
};

/* Shared by all processes of a case. */
struct report {
	int count; /* acts that are complete */
	int child; /* a process that the case wants to tell of */
	int child_status;
	long done; /* by a flood */
	char unsupported[256];
	char error[256];
	struct act acts[ACTS];
};

struct acting {
	const char *call;
	const char *variant;
	int expected; /* 0, or the errno */
	void (*play)(void);
};

extern const struct call calls[];
extern const int call_count;
extern const struct way ways[];
extern const int way_count;
extern struct report *report;
extern const struct way *way;
extern char scratch[PATH_MAX]; /* absolute and resolved; the working directory when a case begins */
extern long numbers[2];	       /* that followed the name of a flood; 0: not given */

/* A case: plays in a process of its own, is expected to succeed (0) or to fail. */
#define CASE(call, variant, expected)                                                                        \
	static void play_##call##_##variant(void);                                                           \
	static const struct acting case_##call##_##variant = {#call, #variant, expected,                     \
							      play_##call##_##variant};                      \
	static const struct acting *const __attribute__((used, section("cases")))                            \
	row_##call##_##variant = &case_##call##_##variant;                                                   \
	static void play_##call##_##variant(void)

/* The act itself: the system call of the case with up to six arguments. Returns what the kernel did. */
#define CALL(...) CALL_AS(NULL, __VA_ARGS__)
/* The same for another system call than that of the case. */
#define CALL_AS(name, ...) act(name, (const long[ARGUMENTS]){LONGS(__VA_ARGS__)})

/* The same call once more, in a flood; nothing is told. */
#define AGAIN(...) act_again((const long[ARGUMENTS]){LONGS(__VA_ARGS__)})

#define LONGS(...) LONGS_(__VA_ARGS__, LONGS6, LONGS5, LONGS4, LONGS3, LONGS2, LONGS1)(__VA_ARGS__)
#define LONGS_(a, b, c, d, e, f, n, ...) n
#define LONGS1(a) (long)(a)
#define LONGS2(a, b) LONGS1(a), (long)(b)
#define LONGS3(a, b, c) LONGS2(a, b), (long)(c)
#define LONGS4(a, b, c, d) LONGS3(a, b, c), (long)(d)
#define LONGS5(a, b, c, d, e) LONGS4(a, b, c, d), (long)(e)
#define LONGS6(a, b, c, d, e, f) LONGS5(a, b, c, d, e), (long)(f)

long act(const char *name, const long *arguments);
long act_again(const long *arguments);

/* What the case knows about the next act; names are relative to the scratch directory. */
void path_is(const char *format, ...) __attribute__((format(printf, 1, 2)));
void new_path_is(const char *format, ...) __attribute__((format(printf, 1, 2)));
void executable_is(const char *format, ...) __attribute__((format(printf, 1, 2)));
void works_in(const char *format, ...) __attribute__((format(printf, 1, 2))); /* where getcwd() cannot tell */
void image_argv_is(char *const *argv); /* where it is not the one that was passed */
void deleted_is(void);
void query_is(const char *domain, const char *types);
void it_ends_here(void); /* this call will not return */
void foretell(void);	 /* the next CALL is made by the image that the one after it executes */
/* ... and about the last one. */
void address_is(const void *address, size_t size);
void uid_is(unsigned int uid);

/* Ends the case: it cannot be done here, or something before the act went wrong. */
void unsupported(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
void give_up(const char *what) __attribute__((noreturn));
#define MUST(expression)                                                                                     \
	({                                                                                                   \
		long must_result = (long)(expression);                                                       \
		if (must_result < 0)                                                                         \
			give_up(#expression);                                                                \
		must_result;                                                                                 \
	})

/* Preparations. */
char *in_scratch(const char *format, ...) __attribute__((format(printf, 1, 2)));
void make_file(const char *path, mode_t mode, const char *content);
void make_directory(const char *path);
void copy_image(const char *path);
void become_nobody(void);
void private_mounts(void);
pid_t fork_child(void); /* lives as long as its parent, and does nothing */
void wait_for(pid_t pid);
void *low(size_t size); /* zeroed memory below 4 GiB */
uint64_t now_ns(void);
int proc_open(const char *path, int flags);

/* json.c */
void json_bytes(FILE *to, const char *bytes, size_t size);
void json_string(FILE *to, const char *string);
void json_address(FILE *to, const struct sockaddr_storage *address, size_t size);
void json_vector(FILE *to, char *const *vector);
void json_arguments(FILE *to, const struct call *call, const long *arguments);

/* uring.c */
void uring_prepare(const struct call *call, const long *arguments);
long uring_go(void);

/* compat.c */
void compat_prepare(const struct call *call, const long *arguments);
void compat_old_prepare(const struct call *call, const long *arguments);
void socketcall_prepare(const struct call *call, const long *arguments);
long compat_go(void);

#endif
