// SPDX-License-Identifier: Apache-2.0
/*
 * Floods: the same thing many times, `CASE COUNT` or `CASE THREADS COUNT`. The
 * answer tells of the first time and of the last, and how often it was done.
 */
#include "actor.h"
#include <pthread.h>

#define NO_ENVIRONMENT ((char *[]){NULL})

static long number(int which, long otherwise)
{
	return numbers[which] ? numbers[which] : otherwise;
}

static void open_first_or_last(void)
{
	path_is("leaf");
	close(CALL(AT_FDCWD, "leaf", O_RDONLY));
	report->done++;
}

static void *open_many(void *count)
{
	for (long i = 0; i < (long)count; i++)
		close(MUST(AGAIN(AT_FDCWD, "leaf", O_RDONLY)));
	__atomic_add_fetch(&report->done, (long)count, __ATOMIC_RELAXED);
	return NULL;
}

/* COUNT times, and a first and a last one. */
CASE(openat, flood, 0)
{
	make_file("leaf", 0644, "");
	open_first_or_last();
	open_many((void *)number(0, 100));
	open_first_or_last();
}

/* COUNT times by each of THREADS, at once. */
CASE(openat, flood_threads, 0)
{
	long count = number(0, 4);
	pthread_t threads[256];

	make_file("leaf", 0644, "");
	open_first_or_last();
	for (long i = 0; i < count && i < 256; i++)
		MUST(-pthread_create(&threads[i], NULL, open_many, (void *)number(1, 25)));
	for (long i = 0; i < count && i < 256; i++)
		pthread_join(threads[i], NULL);
	open_first_or_last();
}

static void execute(const char *path, bool tell)
{
	char *argv[] = {"true", NULL};
	pid_t pid = MUST(fork());

	if (!pid) {
		path_is("true");
		executable_is("true");
		if (tell)
			CALL(path, argv, NO_ENVIRONMENT);
		else
			AGAIN(path, argv, NO_ENVIRONMENT);
		_exit(127);
	}
	wait_for(pid);
	if (report->child_status)
		give_up("exec in a flood");
	report->done++;
}

/* COUNT short-lived processes, one after the other, and a first and a last one; children of the same parent. */
CASE(execve, flood, 0)
{
	const char *path = in_scratch("true");

	copy_image("true");
	execute(path, true);
	for (long i = number(0, 50); i > 0; i--)
		execute(path, false);
	execute(path, true);
}

/* The same without an exec: COUNT copies of the actor, each opens a file and ends. */
CASE(openat, flood_forks, 0)
{
	make_file("leaf", 0644, "");
	open_first_or_last();
	for (long i = number(0, 50); i > 0; i--) {
		pid_t pid = MUST(fork());

		if (!pid) {
			open_many((void *)1);
			_exit(0);
		}
		wait_for(pid);
	}
	open_first_or_last();
}
