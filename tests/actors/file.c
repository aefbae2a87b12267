// SPDX-License-Identifier: Apache-2.0
/*
 * Files: every call by which they are opened, made, named, changed and removed,
 * and every way to say where they are.
 */
#include "actor.h"
#include <linux/openat2.h>
#include <pthread.h>
#include <sys/mount.h>

/* ---- places: where something is, as it is called and as the kernel resolves it ---- */

struct place {
	int dirfd;
	const char *path;
	const char *resolved; /* relative to the scratch directory */
};

static int open_directory(const char *path)
{
	return MUST(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static struct place relative(void)
{
	return (struct place){AT_FDCWD, "leaf", "leaf"};
}

static struct place absolute(void)
{
	return (struct place){AT_FDCWD, in_scratch("leaf"), "leaf"};
}

static struct place dirfd(void)
{
	make_directory("a");
	return (struct place){open_directory("a"), "leaf", "a/leaf"};
}

static struct place cwd(void)
{
	make_directory("a");
	MUST(chdir("a"));
	return (struct place){AT_FDCWD, "leaf", "a/leaf"};
}

static struct place symlinked(void)
{
	make_directory("a");
	MUST(symlink("a", "link"));
	return (struct place){AT_FDCWD, "link/leaf", "a/leaf"};
}

static struct place dotdot(void)
{
	make_directory("a");
	make_directory("b");
	return (struct place){AT_FDCWD, "a/../b/.//leaf", "b/leaf"};
}

/* The kernel follows the link before it goes up: this is not the same as cutting out "link/..". */
static struct place symlinked_dotdot(void)
{
	make_directory("a");
	make_directory("a/b");
	MUST(symlink("a/b", "link"));
	return (struct place){AT_FDCWD, "link/../leaf", "a/leaf"};
}

static struct place proc_self_root(void)
{
	char *path;

	MUST(asprintf(&path, "/proc/self/root%s/leaf", scratch));
	return (struct place){AT_FDCWD, path, "leaf"};
}

static struct place proc_self_cwd(void)
{
	make_directory("a");
	MUST(chdir("a"));
	return (struct place){AT_FDCWD, "/proc/self/cwd/leaf", "a/leaf"};
}

static struct place proc_self_fd(void)
{
	char *path;

	make_directory("a");
	MUST(asprintf(&path, "/proc/self/fd/%d/leaf", open_directory("a")));
	return (struct place){AT_FDCWD, path, "a/leaf"};
}

static struct place chrooted(void)
{
	make_directory("jail");
	MUST(chroot("jail"));
	MUST(chdir("/"));
	works_in("jail");
	return (struct place){AT_FDCWD, "/leaf", "jail/leaf"};
}

static struct place bind_mounted(void)
{
	make_directory("from");
	make_directory("to");
	private_mounts();
	MUST(mount("from", "to", NULL, MS_BIND, NULL));
	return (struct place){AT_FDCWD, "to/leaf", "to/leaf"};
}

static struct place overlaid(void)
{
	char *options;

	make_directory("lower");
	make_directory("upper");
	make_directory("work");
	make_directory("merged");
	private_mounts();
	MUST(asprintf(&options, "lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", scratch, scratch, scratch));
	if (mount("overlay", "merged", "overlay", 0, options))
		unsupported("overlay: %s", strerror(errno));
	return (struct place){AT_FDCWD, "merged/leaf", "merged/leaf"};
}

static struct place detached(void)
{
	make_directory("mounted");
	private_mounts();
	MUST(mount("actor", "mounted", "tmpfs", 0, NULL));
	MUST(chdir("mounted"));
	MUST(umount2(".", MNT_DETACH));
	works_in("/");
	return (struct place){AT_FDCWD, "leaf", "/leaf"};
}

static struct place name255(void)
{
	static char name[NAME_MAX + 1];

	memset(name, 'n', NAME_MAX);
	return (struct place){AT_FDCWD, name, name};
}

/* @name in the place of the last component of @path */
static const char *beside(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');
	char *new;

	MUST(asprintf(&new, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, name));
	return new;
}

/*
 * A place of @size bytes from the root, in directories with names of @name_size bytes. It is built from the inside
 * out, so that no call on the way has a deep path: whoever watches them would walk it each time.
 */
static struct place in_depth(size_t name_size, size_t size)
{
	size_t left = size - strlen(scratch) - strlen("/leaf");
	char *path = (char *)calloc(1, LONG_PATH) + LONG_PATH - sizeof("leaf");
	char inner[NAME_MAX + 1] = "", name[NAME_MAX + 1];

	strcpy(path, "leaf");
	while (left) {
		size_t step = left > name_size + 1 ? name_size : left - 1;

		if (left - step - 1 == 1) /* too little for another name and its slash */
			step += step == 1 ? 1 : -1;
		memset(name, 'd', step);
		name[step] = 0;
		make_directory("outer");
		if (inner[0])
			MUST(rename(inner, beside("outer/", inner)));
		MUST(rename("outer", name));
		strcpy(inner, name);
		*--path = '/';
		path -= step;
		memcpy(path, name, step);
		left -= step + 1;
	}
	return (struct place){AT_FDCWD, size < PATH_MAX ? in_scratch("%s", path) : path, path};
}

/* The longest string that the kernel takes: 4,095 bytes and a NUL. */
static struct place longest(void)
{
	return in_depth(NAME_MAX, PATH_MAX - 1);
}

/* No call could name it in one piece: its path is longer than the kernel takes. */
static struct place beyond(void)
{
	struct place place = in_depth(NAME_MAX, PATH_MAX + 1500);
	char *inner = strdup(place.path);

	*strchr(inner + 1500, '/') = 0;
	place.dirfd = open_directory(inner);
	place.path += strlen(inner) + 1;
	return place;
}

#define NAMED(variant, name)                                                                                 \
	static struct place variant(void)                                                                    \
	{                                                                                                    \
		return (struct place){AT_FDCWD, name, name};                                                 \
	}

NAMED(not_utf8, "caf\xe9 \xff\xfe\xed\xa0\x80")
NAMED(utf8, "café \xe2\x98\x83")
NAMED(newline, "one\ntwo\r\n{\"three\": \"}")
NAMED(control, "\x01\x1b[31mred\x1b[0m\x7f\t\b")
NAMED(backslash, "\\x41 \\n \\\\x41 \\xZZ")
NAMED(spaces, " a  b ")
NAMED(deleted_suffix, "leaf (deleted)")
NAMED(dash, "-rf")

#define PLACES(X)                                                                                            \
	X(relative)                                                                                          \
	X(absolute)                                                                                          \
	X(dirfd)                                                                                             \
	X(cwd)                                                                                               \
	X(symlinked)                                                                                         \
	X(dotdot)                                                                                            \
	X(symlinked_dotdot)                                                                                  \
	X(proc_self_root)                                                                                    \
	X(proc_self_cwd)                                                                                     \
	X(proc_self_fd)                                                                                      \
	X(chrooted)                                                                                          \
	X(bind_mounted)                                                                                      \
	X(overlaid)                                                                                          \
	X(detached)                                                                                          \
	X(name255)                                                                                           \
	X(longest)                                                                                           \
	X(beyond)                                                                                            \
	X(not_utf8)                                                                                          \
	X(utf8)                                                                                              \
	X(newline)                                                                                           \
	X(control)                                                                                           \
	X(backslash)                                                                                         \
	X(spaces)                                                                                            \
	X(deleted_suffix)                                                                                    \
	X(dash)

static void make_file_at(struct place place)
{
	close(MUST(openat(place.dirfd, place.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644)));
}

#define OPENAT(where)                                                                                        \
	CASE(openat, where, 0)                                                                               \
	{                                                                                                    \
		struct place at = where();                                                                   \
                                                                                                             \
		make_file_at(at);                                                                            \
		path_is("%s", at.resolved);                                                                  \
		CALL(at.dirfd, at.path, O_RDONLY);                                                           \
	}
PLACES(OPENAT)

/* 4,095 bytes again, but each second one is a slash. */
CASE(openat, deepest, 0)
{
	struct place at = in_depth(1, PATH_MAX - 1);

	make_file_at(at);
	path_is("%s", at.resolved);
	CALL(at.dirfd, at.path, O_RDONLY);
}

#define UNLINKAT(where)                                                                                      \
	CASE(unlinkat, where, 0)                                                                             \
	{                                                                                                    \
		struct place at = where();                                                                   \
                                                                                                             \
		make_file_at(at);                                                                            \
		path_is("%s", at.resolved);                                                                  \
		CALL(at.dirfd, at.path, 0);                                                                  \
	}
PLACES(UNLINKAT)

#define MKDIRAT(where)                                                                                       \
	CASE(mkdirat, where, 0)                                                                              \
	{                                                                                                    \
		struct place at = where();                                                                   \
                                                                                                             \
		path_is("%s", at.resolved);                                                                  \
		CALL(at.dirfd, at.path, 0750);                                                               \
	}
PLACES(MKDIRAT)

#define RENAMEAT2(where)                                                                                     \
	CASE(renameat2, where, 0)                                                                            \
	{                                                                                                    \
		struct place at = where();                                                                   \
                                                                                                             \
		make_file_at(at);                                                                            \
		path_is("%s", at.resolved);                                                                  \
		new_path_is("%s", beside(at.resolved, "new"));                                               \
		CALL(at.dirfd, at.path, at.dirfd, beside(at.path, "new"), 0);                                \
	}
PLACES(RENAMEAT2)

/* ---- open ---- */

CASE(open, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL("leaf", O_RDWR | O_APPEND | O_CLOEXEC);
}

CASE(open, create, 0)
{
	path_is("leaf");
	CALL("leaf", O_CREAT | O_EXCL | O_WRONLY, 0640);
}

CASE(open, missing, ENOENT)
{
	path_is("leaf");
	CALL("leaf", O_RDONLY);
}

CASE(open, denied, EACCES)
{
	make_file("leaf", 0600, "");
	become_nobody();
	path_is("leaf");
	CALL("leaf", O_RDONLY);
}

CASE(openat, create, 0)
{
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_CREAT | O_TRUNC | O_WRONLY, 0600);
}

CASE(openat, directory, 0)
{
	make_directory("a");
	path_is("a");
	CALL(AT_FDCWD, "a/", O_RDONLY | O_DIRECTORY);
}

CASE(openat, no_name, 0)
{
	make_directory("a");
	deleted_is();
	CALL(AT_FDCWD, "a", O_TMPFILE | O_RDWR, 0600);
}

CASE(openat, link, 0)
{
	make_file("leaf", 0644, "");
	MUST(symlink("leaf", "link"));
	path_is("leaf");
	CALL(AT_FDCWD, "link", O_RDONLY);
}

CASE(openat, link_itself, 0)
{
	MUST(symlink("leaf", "link"));
	path_is("link");
	CALL(AT_FDCWD, "link", O_PATH | O_NOFOLLOW);
}

CASE(openat, link_absolute, 0)
{
	make_directory("a");
	make_file("a/leaf", 0644, "");
	MUST(symlink(in_scratch("a"), "link"));
	path_is("a/leaf");
	CALL(AT_FDCWD, "link/leaf", O_RDONLY);
}

CASE(openat, hard_link, 0)
{
	make_file("leaf", 0644, "");
	MUST(link("leaf", "other"));
	path_is("other");
	CALL(AT_FDCWD, "other", O_RDONLY);
}

/* Opened again after its name was removed. */
CASE(openat, unlinked, 0)
{
	char *path;
	int fd;

	make_file("leaf", 0644, "");
	fd = MUST(open("leaf", O_RDONLY));
	MUST(unlink("leaf"));
	MUST(asprintf(&path, "/proc/self/fd/%d", fd));
	path_is("leaf");
	deleted_is();
	CALL(AT_FDCWD, path, O_RDONLY);
}

CASE(openat, memfd, 0)
{
	char *path;

	MUST(asprintf(&path, "/proc/self/fd/%ld", MUST(memfd_create("actor", 0))));
	path_is("/memfd:actor");
	deleted_is();
	CALL(AT_FDCWD, path, O_RDWR);
}

CASE(openat, proc, 0)
{
	path_is("/proc/%d/status", getpid());
	CALL(AT_FDCWD, "/proc/self/status", O_RDONLY);
}

CASE(openat, device, 0)
{
	path_is("/dev/null");
	CALL(AT_FDCWD, "/dev/null", O_WRONLY);
}

CASE(openat, root, 0)
{
	path_is("/");
	CALL(AT_FDCWD, "/", O_RDONLY | O_DIRECTORY);
}

CASE(openat, cwd_itself, 0)
{
	path_is("%s", scratch);
	CALL(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY);
}

/* The kernel ignores the directory if the path is absolute, even if it is none. */
CASE(openat, absolute_bad_dirfd, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL(-7, in_scratch("leaf"), O_RDONLY);
}

CASE(openat, missing, ENOENT)
{
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_RDONLY);
}

CASE(openat, missing_dirfd, ENOENT)
{
	make_directory("a");
	path_is("a/leaf");
	CALL(open_directory("a"), "leaf", O_RDONLY);
}

CASE(openat, denied, EACCES)
{
	make_file("leaf", 0600, "");
	become_nobody();
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_RDWR);
}

CASE(openat, exists, EEXIST)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_CREAT | O_EXCL | O_WRONLY, 0644);
}

CASE(openat, is_directory, EISDIR)
{
	make_directory("a");
	path_is("a");
	CALL(AT_FDCWD, "a", O_WRONLY);
}

CASE(openat, not_directory, ENOTDIR)
{
	make_file("a", 0644, "");
	path_is("a/leaf");
	CALL(AT_FDCWD, "a/leaf", O_RDONLY);
}

CASE(openat, loop, ELOOP)
{
	MUST(symlink("loop", "loop"));
	path_is("loop");
	CALL(AT_FDCWD, "loop", O_RDONLY);
}

CASE(openat, name_too_long, ENAMETOOLONG)
{
	char name[NAME_MAX + 2] = "";

	memset(name, 'n', NAME_MAX + 1);
	path_is("%s", name);
	CALL(AT_FDCWD, name, O_RDONLY);
}

CASE(openat, path_too_long, ENAMETOOLONG)
{
	char path[2 * PATH_MAX] = "";

	memset(path, '/', PATH_MAX + 100);
	CALL(AT_FDCWD, path, O_RDONLY);
}

CASE(openat, empty, ENOENT)
{
	CALL(AT_FDCWD, "", O_RDONLY);
}

CASE(openat, null, EFAULT)
{
	CALL(AT_FDCWD, NULL, O_RDONLY);
}

CASE(openat, bad_pointer, EFAULT)
{
	CALL(AT_FDCWD, (char *)1, O_RDONLY);
}

CASE(openat, bad_dirfd, EBADF)
{
	CALL(-7, "leaf", O_RDONLY);
}

CASE(openat, dirfd_is_file, ENOTDIR)
{
	make_file("a", 0644, "");
	path_is("a/leaf");
	CALL(MUST(open("a", O_RDONLY)), "leaf", O_RDONLY);
}

/* The path lies in a page that the kernel has not read yet: no program can copy it when the call begins. */
CASE(openat, unfaulted, 0)
{
	int fd;

	make_file("leaf", 0644, "");
	make_file("page", 0644, "leaf");
	fd = MUST(open("page", O_RDONLY));
	path_is("leaf");
	CALL(AT_FDCWD, mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0), O_RDONLY);
}

static void *open_in_thread(void *unused)
{
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_RDONLY);
	return unused;
}

CASE(openat, thread, 0)
{
	pthread_t thread;

	make_file("leaf", 0644, "");
	MUST(-pthread_create(&thread, NULL, open_in_thread, NULL));
	pthread_join(thread, NULL);
}

CASE(openat2, file, 0)
{
	struct open_how how = {.flags = O_RDWR | O_CREAT | O_CLOEXEC, .mode = 0640, .resolve = RESOLVE_NO_MAGICLINKS};

	path_is("leaf");
	CALL(AT_FDCWD, "leaf", &how, sizeof(how));
}

CASE(openat2, beneath, 0)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};

	make_directory("a");
	make_file("a/leaf", 0644, "");
	path_is("a/leaf");
	CALL(open_directory("a"), "leaf", &how, sizeof(how));
}

/* The root is the directory, and so is what `..` leads to. */
CASE(openat2, in_root, 0)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_IN_ROOT};

	make_directory("a");
	make_file("a/leaf", 0644, "");
	path_is("a/leaf");
	CALL(open_directory("a"), "/../leaf", &how, sizeof(how));
}

CASE(openat2, escape, EXDEV)
{
	struct open_how how = {.flags = O_RDONLY, .resolve = RESOLVE_BENEATH};

	make_directory("a");
	path_is("leaf");
	CALL(open_directory("a"), "../leaf", &how, sizeof(how));
}

CASE(openat2, missing, ENOENT)
{
	struct open_how how = {.flags = O_RDONLY};

	path_is("leaf");
	CALL(AT_FDCWD, "leaf", &how, sizeof(how));
}

CASE(openat2, invalid, EINVAL)
{
	struct open_how how = {.flags = O_RDONLY, .mode = 0644};

	path_is("leaf");
	CALL(AT_FDCWD, "leaf", &how, sizeof(how));
}

CASE(creat, file, 0)
{
	path_is("leaf");
	CALL("leaf", 0640);
}

CASE(creat, is_directory, EISDIR)
{
	make_directory("a");
	path_is("a");
	CALL("a", 0640);
}

/* ---- remove ---- */

CASE(unlink, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL("leaf");
}

CASE(unlink, link, 0)
{
	MUST(symlink("/etc", "link"));
	path_is("link");
	CALL("link");
}

CASE(unlink, missing, ENOENT)
{
	path_is("leaf");
	CALL("leaf");
}

CASE(unlink, denied, EACCES)
{
	make_file("leaf", 0666, "");
	become_nobody();
	path_is("leaf");
	CALL("leaf");
}

CASE(unlinkat, directory, 0)
{
	make_directory("a");
	path_is("a");
	CALL(AT_FDCWD, "a", AT_REMOVEDIR);
}

CASE(unlinkat, is_directory, EISDIR)
{
	make_directory("a");
	path_is("a");
	CALL(AT_FDCWD, "a", 0);
}

CASE(unlinkat, missing, ENOENT)
{
	make_directory("a");
	path_is("a/leaf");
	CALL(open_directory("a"), "leaf", 0);
}

CASE(rmdir, directory, 0)
{
	make_directory("a");
	path_is("a");
	CALL("a");
}

CASE(rmdir, not_empty, ENOTEMPTY)
{
	make_directory("a");
	make_directory("a/b");
	path_is("a");
	CALL("a");
}

/* ---- rename ---- */

CASE(rename, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	new_path_is("new");
	CALL("leaf", "new");
}

CASE(rename, missing, ENOENT)
{
	path_is("leaf");
	new_path_is("new");
	CALL("leaf", "new");
}

CASE(renameat, file, 0)
{
	make_directory("a");
	make_directory("b");
	make_file("a/leaf", 0644, "");
	path_is("a/leaf");
	new_path_is("b/new");
	CALL(open_directory("a"), "leaf", open_directory("b"), "new");
}

CASE(renameat, missing, ENOENT)
{
	make_directory("a");
	path_is("a/leaf");
	new_path_is("new");
	CALL(open_directory("a"), "leaf", AT_FDCWD, "new");
}

CASE(renameat2, replace, 0)
{
	make_file("leaf", 0644, "");
	make_file("new", 0644, "");
	path_is("leaf");
	new_path_is("new");
	CALL(AT_FDCWD, "leaf", AT_FDCWD, "new", 0);
}

CASE(renameat2, exchange, 0)
{
	make_file("leaf", 0644, "");
	make_directory("new");
	path_is("leaf");
	new_path_is("new");
	CALL(AT_FDCWD, "leaf", AT_FDCWD, "new", RENAME_EXCHANGE);
}

CASE(renameat2, exists, EEXIST)
{
	make_file("leaf", 0644, "");
	make_file("new", 0644, "");
	path_is("leaf");
	new_path_is("new");
	CALL(AT_FDCWD, "leaf", AT_FDCWD, "new", RENAME_NOREPLACE);
}

/* ---- links ---- */

CASE(link, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	new_path_is("new");
	CALL("leaf", "new");
}

CASE(link, missing, ENOENT)
{
	path_is("leaf");
	new_path_is("new");
	CALL("leaf", "new");
}

CASE(linkat, file, 0)
{
	make_directory("a");
	make_file("a/leaf", 0644, "");
	path_is("a/leaf");
	new_path_is("new");
	CALL(open_directory("a"), "leaf", AT_FDCWD, "new", 0);
}

CASE(linkat, followed, 0)
{
	make_file("leaf", 0644, "");
	MUST(symlink("leaf", "link"));
	path_is("leaf");
	new_path_is("new");
	CALL(AT_FDCWD, "link", AT_FDCWD, "new", AT_SYMLINK_FOLLOW);
}

CASE(linkat, exists, EEXIST)
{
	make_file("leaf", 0644, "");
	make_file("new", 0644, "");
	path_is("leaf");
	new_path_is("new");
	CALL(AT_FDCWD, "leaf", AT_FDCWD, "new", 0);
}

CASE(symlink, link, 0)
{
	path_is("link");
	CALL("../where ever", "link");
}

CASE(symlink, exists, EEXIST)
{
	make_file("link", 0644, "");
	path_is("link");
	CALL("target", "link");
}

CASE(symlinkat, link, 0)
{
	make_directory("a");
	path_is("a/link");
	CALL("/etc/passwd", open_directory("a"), "link");
}

CASE(symlinkat, exists, EEXIST)
{
	make_file("link", 0644, "");
	path_is("link");
	CALL("target", AT_FDCWD, "link");
}

/* ---- make ---- */

CASE(mkdir, directory, 0)
{
	path_is("a");
	CALL("a", 0750);
}

CASE(mkdir, exists, EEXIST)
{
	make_directory("a");
	path_is("a");
	CALL("a", 0750);
}

CASE(mkdir, denied, EACCES)
{
	become_nobody();
	path_is("a");
	CALL("a", 0750);
}

CASE(mkdirat, exists, EEXIST)
{
	make_directory("a");
	path_is("a");
	CALL(AT_FDCWD, "a", 0750);
}

CASE(mkdirat, missing, ENOENT)
{
	path_is("a/b");
	CALL(AT_FDCWD, "a/b", 0750);
}

CASE(mknod, fifo, 0)
{
	path_is("fifo");
	CALL("fifo", S_IFIFO | 0640, 0);
}

CASE(mknod, device_denied, EPERM)
{
	MUST(chmod(".", 0777));
	become_nobody();
	path_is("device");
	CALL("device", S_IFCHR | 0640, 1 << 8 | 3);
}

CASE(mknodat, file, 0)
{
	make_directory("a");
	path_is("a/leaf");
	CALL(open_directory("a"), "leaf", S_IFREG | 0640, 0);
}

CASE(mknodat, exists, EEXIST)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", S_IFIFO | 0640, 0);
}

/* ---- change ---- */

CASE(chmod, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL("leaf", 04755);
}

CASE(chmod, denied, EPERM)
{
	make_file("leaf", 0644, "");
	become_nobody();
	path_is("leaf");
	CALL("leaf", 0777);
}

CASE(fchmod, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL(MUST(open("leaf", O_RDONLY)), 0600);
}

CASE(fchmod, denied, EPERM)
{
	make_file("leaf", 0644, "");
	become_nobody();
	path_is("leaf");
	CALL(MUST(open("leaf", O_RDONLY)), 0777);
}

CASE(fchmod, bad_fd, EBADF)
{
	CALL(-1, 0777);
}

CASE(fchmodat, file, 0)
{
	make_directory("a");
	make_file("a/leaf", 0644, "");
	path_is("a/leaf");
	CALL(open_directory("a"), "leaf", 0600);
}

CASE(fchmodat, missing, ENOENT)
{
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", 0600);
}

CASE(fchmodat2, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", 0600, AT_SYMLINK_NOFOLLOW);
}

CASE(fchmodat2, missing, ENOENT)
{
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", 0600, 0);
}

CASE(chown, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL("leaf", 1000, 1001);
}

CASE(chown, followed, 0)
{
	make_file("leaf", 0644, "");
	MUST(symlink("leaf", "link"));
	path_is("leaf");
	CALL("link", 1000, 1001);
}

CASE(chown, denied, EPERM)
{
	make_file("leaf", 0644, "");
	become_nobody();
	path_is("leaf");
	CALL("leaf", NOBODY, -1);
}

CASE(lchown, link, 0)
{
	MUST(symlink("leaf", "link"));
	path_is("link");
	CALL("link", 1000, 1001);
}

CASE(lchown, missing, ENOENT)
{
	path_is("link");
	CALL("link", 1000, 1001);
}

CASE(fchown, file, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL(MUST(open("leaf", O_RDONLY)), -1, 1001);
}

CASE(fchown, bad_fd, EBADF)
{
	CALL(-1, 1000, 1001);
}

CASE(fchownat, file, 0)
{
	make_directory("a");
	make_file("a/leaf", 0644, "");
	path_is("a/leaf");
	CALL(open_directory("a"), "leaf", 1, 1, 0);
}

/* The empty path means the descriptor. */
CASE(fchownat, empty_path, 0)
{
	make_file("leaf", 0644, "");
	path_is("leaf");
	CALL(MUST(open("leaf", O_RDONLY)), "", 1, 1, AT_EMPTY_PATH);
}

CASE(fchownat, missing, ENOENT)
{
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", 1, 1, AT_SYMLINK_NOFOLLOW);
}

CASE(truncate, file, 0)
{
	make_file("leaf", 0644, "content");
	path_is("leaf");
	CALL("leaf", 3);
}

CASE(truncate, missing, ENOENT)
{
	path_is("leaf");
	CALL("leaf", 3);
}

CASE(ftruncate, file, 0)
{
	make_file("leaf", 0644, "content");
	path_is("leaf");
	CALL(MUST(open("leaf", O_WRONLY)), 3);
}

CASE(ftruncate, read_only, EINVAL)
{
	make_file("leaf", 0644, "content");
	path_is("leaf");
	CALL(MUST(open("leaf", O_RDONLY)), 3);
}

CASE(memfd_create, file, 0)
{
	CALL("a secret\n\xff", MFD_CLOEXEC);
}

CASE(memfd_create, invalid, EINVAL)
{
	CALL("actor", 0x40000000);
}

/* ---- mounts and roots: only in namespaces of their own ---- */

CASE(mount, tmpfs, 0)
{
	make_directory("a");
	private_mounts();
	path_is("a");
	CALL("actor", "a", "tmpfs", MS_NOSUID | MS_NODEV, "size=64k");
}

CASE(mount, bind, 0)
{
	make_directory("a");
	make_directory("b");
	private_mounts();
	path_is("b");
	CALL("a", "b", NULL, MS_BIND, NULL);
}

CASE(mount, denied, EPERM)
{
	make_directory("a");
	private_mounts();
	become_nobody();
	path_is("a");
	CALL("actor", "a", "tmpfs", 0, NULL);
}

CASE(mount, unknown, ENODEV)
{
	make_directory("a");
	private_mounts();
	path_is("a");
	CALL("actor", "a", "no such \"type\"", 0, NULL);
}

CASE(umount2, tmpfs, 0)
{
	make_directory("a");
	private_mounts();
	MUST(mount("actor", "a", "tmpfs", 0, NULL));
	path_is("a");
	CALL("a", 0);
}

CASE(umount2, not_mounted, EINVAL)
{
	make_directory("a");
	private_mounts();
	path_is("a");
	CALL("a", 0);
}

CASE(pivot_root, tmpfs, 0)
{
	make_directory("a");
	private_mounts();
	MUST(mount("actor", "a", "tmpfs", 0, NULL));
	make_directory("a/old");
	path_is("a");
	new_path_is("a/old");
	CALL("a", "a/old");
}

CASE(pivot_root, not_mounted, EINVAL)
{
	make_directory("a");
	make_directory("a/old");
	private_mounts();
	path_is("a");
	new_path_is("a/old");
	CALL("a", "a/old");
}

CASE(chroot, directory, 0)
{
	make_directory("a");
	path_is("a");
	CALL("a");
}

CASE(chroot, denied, EPERM)
{
	make_directory("a");
	become_nobody();
	path_is("a");
	CALL("a");
}

CASE(chroot, missing, ENOENT)
{
	path_is("a");
	CALL("a");
}
