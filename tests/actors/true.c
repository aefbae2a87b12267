// SPDX-License-Identifier: Apache-2.0
/*
 * The image that the exec cases run: `true` exits with 0 and does nothing else;
 * `true --exec PATH ARGV…` executes PATH, so that one process runs three images.
 */
#include <asm/unistd.h>

static long call(long number, long a, const void *b, const void *c)
{
	long result;

	asm volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static int same(const char *one, const char *other)
{
	while (*one && *one == *other) {
		one++;
		other++;
	}
	return *one == *other;
}

__attribute__((used)) static void start(long *stack)
{
	long count = stack[0];
	char **argv = (char **)(stack + 1);
	long code = 0;

	if (count > 3 && same(argv[1], "--exec"))
		code = -call(__NR_execve, (long)argv[2], argv + 3, argv + count); /* an empty environment */
	call(__NR_exit_group, code, 0, 0);
}

asm(".globl _start\n"
    "_start:\n"
    "	mov %rsp, %rdi\n"
    "	and $-16, %rsp\n"
    "	call start\n");
