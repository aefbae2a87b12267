// SPDX-License-Identifier: Apache-2.0
/*
 * Processes: what they execute, how they begin and end, and who they are when
 * they do something.
 */
#include "actor.h"
#include <linux/sched.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define ARGV(...) ((char *[]){__VA_ARGS__, NULL})
#define NO_ENVIRONMENT ((char *[]){NULL})

/* ---- execve: what is executed ---- */

CASE(execve, image, 0)
{
	copy_image("true");
	path_is("true");
	executable_is("true");
	CALL(in_scratch("true"), ARGV("true", "one", "two words", ""), ARGV("A=1"));
}

CASE(execve, relative, 0)
{
	copy_image("true");
	make_directory("a");
	MUST(chdir("a"));
	path_is("true");
	executable_is("true");
	CALL("./../true", ARGV("./../true", "x"), NO_ENVIRONMENT);
}

CASE(execve, symlinked, 0)
{
	copy_image("true");
	MUST(symlink("true", "link"));
	path_is("true");
	executable_is("true");
	CALL(in_scratch("link"), ARGV("link"), NO_ENVIRONMENT);
}

CASE(execve, proc_self_root, 0)
{
	char *path;

	copy_image("true");
	MUST(asprintf(&path, "/proc/self/root%s/true", scratch));
	path_is("true");
	executable_is("true");
	CALL(path, ARGV("true"), NO_ENVIRONMENT);
}

CASE(execve, chrooted, 0)
{
	make_directory("jail");
	copy_image("jail/true");
	MUST(chroot("jail"));
	MUST(chdir("/"));
	works_in("jail");
	path_is("jail/true");
	executable_is("jail/true");
	CALL("/true", ARGV("true"), NO_ENVIRONMENT);
}

CASE(execve, bind_mounted, 0)
{
	make_directory("from");
	make_directory("to");
	copy_image("from/true");
	private_mounts();
	MUST(mount("from", "to", NULL, MS_BIND, NULL));
	path_is("to/true");
	executable_is("to/true");
	CALL("to/true", ARGV("true"), NO_ENVIRONMENT);
}

static void execute_named(const char *name)
{
	copy_image(name);
	path_is("%s", name);
	executable_is("%s", name);
	CALL(in_scratch("%s", name), ARGV((char *)name), NO_ENVIRONMENT);
}

CASE(execve, name255, 0)
{
	char name[NAME_MAX + 1] = "";

	memset(name, 'n', NAME_MAX);
	execute_named(name);
}

CASE(execve, hostile_name, 0)
{
	execute_named("true\n\"\\x41\xff\x1b (deleted)");
}

static void make_script(const char *path, const char *interpreter, const char *argument)
{
	char content[PATH_MAX];

	snprintf(content, sizeof(content), "#!%s%s%s\n", in_scratch("%s", interpreter), argument[0] ? " " : "", argument);
	make_file(path, 0755, content);
}

CASE(execve, script, 0)
{
	copy_image("true");
	make_script("script", "true", "");
	path_is("script");
	executable_is("true");
	image_argv_is(ARGV(in_scratch("true"), in_scratch("script"), "one", "two"));
	CALL(in_scratch("script"), ARGV("script", "one", "two"), NO_ENVIRONMENT);
}

CASE(execve, script_arguments, 0)
{
	copy_image("true");
	make_script("script", "true", "-o with blanks");
	path_is("script");
	executable_is("true");
	image_argv_is(ARGV(in_scratch("true"), "-o with blanks", in_scratch("script"), "one", "two words"));
	CALL(in_scratch("script"), ARGV("script", "one", "two words"), NO_ENVIRONMENT);
}

/* A script whose interpreter is a script. */
CASE(execve, script_nested, 0)
{
	copy_image("true");
	make_script("inner", "true", "-i");
	make_script("script", "inner", "-o");
	path_is("script");
	executable_is("true");
	image_argv_is(ARGV(in_scratch("true"), "-i", in_scratch("inner"), "-o", "./script", "one"));
	CALL("./script", ARGV("script", "one"), NO_ENVIRONMENT);
}

/* The image has lost its name before it runs. */
CASE(execve, deleted, 0)
{
	char *path;
	int fd;

	copy_image("true");
	fd = MUST(open("true", O_RDONLY | O_CLOEXEC));
	MUST(unlink("true"));
	MUST(asprintf(&path, "/proc/self/fd/%d", fd));
	path_is("true");
	executable_is("true");
	deleted_is();
	CALL(path, ARGV("true"), NO_ENVIRONMENT);
}

static void *execute_it(void *unused)
{
	path_is("true");
	executable_is("true");
	CALL(in_scratch("true"), ARGV("true", "one"), NO_ENVIRONMENT);
	return unused;
}

/* The thread becomes the process: its id ends, and it goes on with that of the leader. */
CASE(execve, thread, 0)
{
	pthread_t thread;

	copy_image("true");
	MUST(-pthread_create(&thread, NULL, execute_it, NULL));
	pthread_join(thread, NULL);
}

/* As posix_spawn() does: until the exec the child runs in the memory of its parent, which waits. */
CASE(execve, vforked, 0)
{
	pid_t pid;

	copy_image("true");
	pid = MUST(vfork());
	if (!pid) {
		execute_it(NULL);
		_exit(1);
	}
	wait_for(pid);
}

/* One process, three images: the actor, "true", "again". The second exec is made by "true". */
CASE(execve, without_fork, 0)
{
	copy_image("true");
	copy_image("again");
	foretell();
	path_is("again");
	executable_is("again");
	CALL(in_scratch("again"), ARGV("again", "last"), NO_ENVIRONMENT);

	path_is("true");
	executable_is("true");
	CALL(in_scratch("true"), ARGV("true", "--exec", in_scratch("again"), "again", "last"), NO_ENVIRONMENT);
}

/* ---- execve: hostile arguments ---- */

static void execute_with(char **argv)
{
	copy_image("true");
	path_is("true");
	executable_is("true");
	CALL(in_scratch("true"), argv, NO_ENVIRONMENT);
}

CASE(execve, argv_newlines, 0)
{
	execute_with(ARGV("true", "one\ntwo\r\n", "\n", "{\"a\": \"\n\"}"));
}

CASE(execve, argv_quotes, 0)
{
	execute_with(ARGV("true", "\"double\"", "'single'", "`back`", "\\", "\\x41", "\\\\x41", "$(id)"));
}

CASE(execve, argv_control, 0)
{
	execute_with(ARGV("true", "\x01\x02\x1f\x7f", "\x1b[2J\x1b]0;title\x07", "\t\b"));
}

CASE(execve, argv_not_utf8, 0)
{
	execute_with(ARGV("true", "\xff", "caf\xe9", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc0\x80", "caf\xc3\xa9"));
}

CASE(execve, argv_empty_strings, 0)
{
	execute_with(ARGV("", "", "x", ""));
}

/* Since 5.18 the kernel makes one empty string of it. */
CASE(execve, argv_none, 0)
{
	image_argv_is(ARGV(""));
	execute_with((char *[]){NULL});
}

CASE(execve, argv_lies, 0)
{
	execute_with(ARGV("/usr/sbin/sshd", "-D"));
}

/* 100 KiB: ten times what a record holds. */
CASE(execve, argv_100k, 0)
{
	static char *argv[1025], text[100];

	memset(text, 'x', sizeof(text) - 1);
	argv[0] = "true";
	for (int i = 1; i < 1024; i++)
		MUST(asprintf(&argv[i], "%04d%.95s", i, text));
	execute_with(argv);
}

CASE(execve, argv_one_huge, 0)
{
	static char text[100000];

	memset(text, 'y', sizeof(text) - 1);
	execute_with(ARGV("true", text, "end"));
}

CASE(execve, argv_many, 0)
{
	static char *argv[10001];

	for (int i = 0; i < 10000; i++)
		argv[i] = "a";
	execute_with(argv);
}

/* ---- execve: refused ---- */

CASE(execve, missing, ENOENT)
{
	path_is("true");
	CALL(in_scratch("true"), ARGV("true", "one\n\"two\""), NO_ENVIRONMENT);
}

CASE(execve, denied, EACCES)
{
	make_file("true", 0644, "");
	path_is("true");
	CALL(in_scratch("true"), ARGV("true"), NO_ENVIRONMENT);
}

CASE(execve, not_executable, ENOEXEC)
{
	make_file("true", 0755, "neither image nor script");
	path_is("true");
	CALL(in_scratch("true"), ARGV("true"), NO_ENVIRONMENT);
}

CASE(execve, missing_interpreter, ENOENT)
{
	make_script("script", "true", "");
	path_is("script");
	CALL(in_scratch("script"), ARGV("script"), NO_ENVIRONMENT);
}

CASE(execve, script_loop, ELOOP)
{
	make_script("script", "script", "");
	path_is("script");
	CALL(in_scratch("script"), ARGV("script"), NO_ENVIRONMENT);
}

CASE(execve, is_directory, EACCES)
{
	make_directory("a");
	path_is("a");
	CALL(in_scratch("a"), ARGV("a"), NO_ENVIRONMENT);
}

CASE(execve, too_big, E2BIG)
{
	static char text[32 * 4096 + 1]; /* a string may have 32 pages, with its NUL */

	memset(text, 'z', sizeof(text) - 1);
	copy_image("true");
	path_is("true");
	CALL(in_scratch("true"), ARGV("true", text), NO_ENVIRONMENT);
}

CASE(execve, bad_pointer, EFAULT)
{
	copy_image("true");
	path_is("true");
	CALL(in_scratch("true"), (char **)1, NO_ENVIRONMENT);
}

/* ---- execveat ---- */

CASE(execveat, dirfd, 0)
{
	make_directory("a");
	copy_image("a/true");
	path_is("a/true");
	executable_is("a/true");
	CALL(MUST(open("a", O_RDONLY | O_CLOEXEC)), "true", ARGV("true", "one"), NO_ENVIRONMENT, 0);
}

CASE(execveat, cwd, 0)
{
	copy_image("true");
	path_is("true");
	executable_is("true");
	CALL(AT_FDCWD, "true", ARGV("true"), NO_ENVIRONMENT, 0);
}

CASE(execveat, empty_path, 0)
{
	copy_image("true");
	path_is("true");
	executable_is("true");
	CALL(MUST(open("true", O_RDONLY | O_CLOEXEC)), "", ARGV("true"), NO_ENVIRONMENT, AT_EMPTY_PATH);
}

/* An image that was never in a file system. */
CASE(execveat, memfd, 0)
{
	int from, fd = MUST(memfd_create("actor", MFD_CLOEXEC));
	char content[65536];
	ssize_t size;

	copy_image("true");
	from = MUST(open("true", O_RDONLY | O_CLOEXEC));
	size = MUST(read(from, content, sizeof(content)));
	MUST(write(fd, content, size));
	path_is("/memfd:actor");
	executable_is("/memfd:actor");
	deleted_is();
	CALL(fd, "", ARGV("harmless", "one"), NO_ENVIRONMENT, AT_EMPTY_PATH);
}

/* The interpreter is given /dev/fd/N/script to open. */
CASE(execveat, script, 0)
{
	char *name;
	int fd;

	make_directory("a");
	copy_image("true");
	make_script("a/script", "true", "-o");
	path_is("a/script");
	executable_is("true");
	fd = MUST(open("a", O_RDONLY));
	MUST(asprintf(&name, "/dev/fd/%d/script", fd));
	image_argv_is(ARGV(in_scratch("true"), "-o", name, "one"));
	CALL(fd, "script", ARGV("script", "one"), NO_ENVIRONMENT, 0);
}

CASE(execveat, missing, ENOENT)
{
	make_directory("a");
	path_is("a/true");
	CALL(MUST(open("a", O_RDONLY)), "true", ARGV("true"), NO_ENVIRONMENT, 0);
}

CASE(execveat, denied, EACCES)
{
	make_file("true", 0644, "");
	path_is("true");
	CALL(AT_FDCWD, "true", ARGV("true"), NO_ENVIRONMENT, 0);
}

CASE(execveat, not_followed, ELOOP)
{
	copy_image("true");
	MUST(symlink("true", "link"));
	path_is("link");
	CALL(AT_FDCWD, "link", ARGV("true"), NO_ENVIRONMENT, AT_SYMLINK_NOFOLLOW);
}

/* ---- how they begin ---- */

CASE(fork, child, 0)
{
	pid_t pid = CALL(0);

	if (!pid)
		_exit(3);
	wait_for(pid);
}

CASE(fork, denied, EAGAIN)
{
	struct rlimit none = {0, 0};

	MUST(setrlimit(RLIMIT_NPROC, &none));
	become_nobody();
	if (CALL(0) == 0)
		_exit(3);
}

/* The parent has died before the child does something. */
CASE(openat, orphan, 0)
{
	pid_t parent = getpid();

	make_file("leaf", 0644, "");
	if (MUST(fork()))
		_exit(0);
	while (getppid() == parent)
		usleep(100);
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_RDONLY);
}

static pid_t fork_as(pid_t pid)
{
	struct clone_args arguments = {
		.exit_signal = SIGCHLD,
		.set_tid = (uintptr_t)&pid,
		.set_tid_size = 1,
	};

	return syscall(SYS_clone3, &arguments, sizeof(arguments));
}

/* Two processes with one id, one after the other: the first runs another image. */
CASE(openat, pid_reused, 0)
{
	pid_t first, second;

	copy_image("true");
	make_file("leaf", 0644, "");
	first = MUST(fork());
	if (!first) {
		path_is("true");
		executable_is("true");
		CALL_AS("execve", in_scratch("true"), ARGV("true", "first"), NO_ENVIRONMENT);
		_exit(1);
	}
	wait_for(first);
	second = fork_as(first);
	if (second < 0)
		unsupported("clone3 with a given process id: %s", strerror(errno));
	if (!second) {
		path_is("leaf");
		CALL(AT_FDCWD, "leaf", O_RDONLY);
		_exit(0);
	}
	wait_for(second);
}

CASE(openat, forked_twice, 0)
{
	pid_t pid;

	make_file("leaf", 0644, "");
	pid = MUST(fork());
	if (!pid) {
		pid = MUST(fork());
		if (!pid) {
			path_is("leaf");
			CALL(AT_FDCWD, "leaf", O_RDONLY);
			_exit(0);
		}
		wait_for(pid);
		_exit(0);
	}
	MUST(waitpid(pid, NULL, 0));
}

/* Process 1 of a namespace of its own. */
CASE(openat, pid_namespace, 0)
{
	pid_t pid;

	make_file("leaf", 0644, "");
	MUST(unshare(CLONE_NEWPID));
	pid = MUST(fork());
	if (!pid) {
		path_is("leaf");
		CALL(AT_FDCWD, "leaf", O_RDONLY);
		_exit(0);
	}
	wait_for(pid);
}

/* Without a mapping of its ids everybody is nobody there; on the host it is still root. */
CASE(openat, user_namespace, 0)
{
	unsigned int uid = getuid();

	make_file("leaf", 0644, "");
	if (unshare(CLONE_NEWUSER))
		unsupported("user namespaces: %s", strerror(errno));
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_RDONLY);
	uid_is(uid);
}

CASE(openat, mount_namespace, 0)
{
	make_directory("a");
	private_mounts();
	MUST(mount("actor", "a", "tmpfs", 0, NULL));
	make_file("a/leaf", 0644, "");
	path_is("a/leaf");
	CALL(AT_FDCWD, "a/leaf", O_RDONLY);
}

/* ---- what they call themselves ---- */

static void open_as(const char *comm)
{
	make_file("leaf", 0644, "");
	MUST(prctl(PR_SET_NAME, comm));
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_RDONLY);
}

CASE(openat, comm_hostile, 0)
{
	open_as("\"\n\\x41\xff\x1b[2J) R");
}

CASE(openat, comm_empty, 0)
{
	open_as("");
}

CASE(openat, comm_kernel, 0)
{
	open_as("kworker/0:0");
}

/* ---- how they end ---- */

CASE(exit_group, normal, 0)
{
	CALL(7);
}

CASE(exit_group, child_left, 0)
{
	fork_child(); /* ends with its parent */
	CALL(0);
}

/* By a signal that it sends to itself; the wait status tells which. */
CASE(kill, itself, 0)
{
	signal(SIGTERM, SIG_DFL);
	it_ends_here();
	CALL(getpid(), SIGTERM);
}

static void *open_after_leader(void *unused)
{
	char state[256] = "";
	ssize_t size;
	int fd;

	do {
		usleep(100);
		fd = MUST(proc_open("self/stat", O_RDONLY));
		size = MUST(read(fd, state, sizeof(state) - 1));
		state[size] = 0;
		close(fd);
	} while (!strstr(state, ") Z "));
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_RDONLY);
	CALL_AS("exit_group", 5);
	return unused;
}

/* The first thread has ended; another one acts, and ends the process. */
CASE(openat, leader_gone, 0)
{
	pthread_t thread;

	make_file("leaf", 0644, "");
	MUST(-pthread_create(&thread, NULL, open_after_leader, NULL));
	syscall(SYS_exit, 0);
}

static void *wait_forever(void *unused)
{
	pause();
	return unused;
}

/* Eight threads are running when one of them ends them all. */
CASE(exit_group, threads, 0)
{
	pthread_t thread;

	for (int i = 0; i < 8; i++)
		MUST(-pthread_create(&thread, NULL, wait_forever, NULL));
	CALL(9);
}

/* ---- signals and memory of others ---- */

CASE(kill, child, 0)
{
	pid_t pid = fork_child();

	CALL(pid, SIGKILL);
	wait_for(pid);
}

CASE(kill, probe, 0)
{
	CALL(getpid(), 0);
}

CASE(kill, missing, ESRCH)
{
	CALL(0x3fffffff, SIGTERM);
}

CASE(kill, denied, EPERM)
{
	pid_t pid = fork_child();

	become_nobody();
	CALL(pid, 0);
}

CASE(kill, invalid, EINVAL)
{
	CALL(getpid(), 99);
}
