// SPDX-License-Identifier: Apache-2.0
/*
 * Loads for the benchmarks: `load KIND COUNT [PER_SECOND]` does one thing COUNT
 * times and prints the nanoseconds that one took, on average.
 *
 *   getpid   a system call that nobody asked about
 *   open     open and close a file
 *   exec     vfork, exec a program that ends at once (this one), wait
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000L + time.tv_nsec;
}

static void once(const char *kind, const char *self)
{
	char *const arguments[] = {(char *)self, NULL};
	char *const environment[] = {NULL};

	if (!strcmp(kind, "getpid")) {
		syscall(SYS_getpid);
	} else if (!strcmp(kind, "open")) {
		int fd = open("/etc/hostname", O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			exit(3);
		close(fd);
	} else {
		pid_t child = vfork();

		if (child < 0)
			exit(3);
		if (!child) {
			execve(self, arguments, environment);
			_exit(4);
		}
		waitpid(child, NULL, 0);
	}
}

int main(int argc, char **argv)
{
	long count, per_second, begin, i;

	if (argc < 3) /* the program that ends at once */
		return 0;
	count = atol(argv[2]);
	per_second = argc > 3 ? atol(argv[3]) : 0;
	begin = now_ns();
	for (i = 0; i < count; i++) {
		if (per_second) {
			long wait = begin + i * 1000000000L / per_second - now_ns();
			struct timespec time = {wait / 1000000000L, wait % 1000000000L};

			if (wait > 0)
				nanosleep(&time, NULL);
		}
		once(argv[1], argv[0]);
	}
	printf("%.1f\n", (double)(now_ns() - begin) / count);
	return 0;
}
