// SPDX-License-Identifier: Apache-2.0
/*
 * Plays cases: each in a process and a directory of its own, and tells in one
 * line of JSON what was done and what the kernel answered.
 */
#include "actor.h"
#include <dirent.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <time.h>

#define LOW_SIZE (16 << 20)
#define PATIENCE_S 100 /* for one case; a virtual machine without KVM can be slow */

/* All cases; the linker collects them. */
extern const struct acting *const __start_cases[], *const __stop_cases[];

struct report *report;
const struct way *way;
char scratch[PATH_MAX];
long numbers[2];

static char home[PATH_MAX]; /* where scratch directories are made; scratch is inside */
static char self[PATH_MAX];
static int proc; /* /proc of the actor: also there after a chroot */
static const struct acting *playing;
static char *low_memory;
static size_t low_used;
static pid_t bystander;
static bool ending, foretelling, foretold;

/* ---- what a case may use ---- */

uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

int proc_open(const char *path, int flags)
{
	return openat(proc, path, flags | O_CLOEXEC);
}

void unsupported(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(report->unsupported, sizeof(report->unsupported), format, arguments);
	va_end(arguments);
	_exit(1);
}

void give_up(const char *what)
{
	snprintf(report->error, sizeof(report->error), "%s: %s", what, strerror(errno));
	_exit(1);
}

void *low(size_t size)
{
	char *memory;

	if (!low_memory) {
		low_memory = mmap(NULL, LOW_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
		MUST(low_memory == MAP_FAILED ? -1 : 0);
	}
	size = (size + 15) & ~15UL;
	memory = low_memory + __atomic_fetch_add(&low_used, size, __ATOMIC_RELAXED);
	if (memory + size > low_memory + LOW_SIZE)
		give_up("no more memory below 4 GiB");
	return memory;
}

static struct act *next_act(void)
{
	return &report->acts[report->count + foretelling];
}

static void set_path(char *to, const char *format, va_list arguments)
{
	char name[LONG_PATH - PATH_MAX];

	vsnprintf(name, sizeof(name), format, arguments);
	if (name[0] == '/')
		snprintf(to, LONG_PATH, "%s", name);
	else
		snprintf(to, LONG_PATH, "%s/%s", scratch, name);
}

#define PATH_SETTER(name, field)                                                                             \
	void name(const char *format, ...)                                                                   \
	{                                                                                                    \
		va_list arguments;                                                                           \
                                                                                                             \
		va_start(arguments, format);                                                                 \
		set_path(next_act()->field, format, arguments);                                              \
		va_end(arguments);                                                                           \
	}

PATH_SETTER(path_is, path)
PATH_SETTER(new_path_is, new_path)
PATH_SETTER(executable_is, executable)
PATH_SETTER(works_in, cwd)

void image_argv_is(char *const *argv)
{
	FILE *to = fmemopen(next_act()->image_argv, sizeof(next_act()->image_argv), "w");

	json_vector(to, argv);
	fclose(to);
}

void it_ends_here(void)
{
	ending = true;
}

void foretell(void)
{
	foretelling = true;
}

void deleted_is(void)
{
	next_act()->deleted = true;
}

void query_is(const char *domain, const char *types)
{
	snprintf(next_act()->query, sizeof(next_act()->query), "%s", domain);
	snprintf(next_act()->query_types, sizeof(next_act()->query_types), "%s", types);
}

void address_is(const void *address, size_t size)
{
	struct act *last = next_act() - 1;

	memcpy(&last->address, address, size);
	last->address_known = true;
}

void uid_is(unsigned int uid)
{
	(next_act() - 1)->uid = uid;
}

char *in_scratch(const char *format, ...)
{
	char *name, *path;
	va_list arguments;

	va_start(arguments, format);
	MUST(vasprintf(&name, format, arguments));
	va_end(arguments);
	MUST(asprintf(&path, "%s/%s", scratch, name));
	free(name);
	return path;
}

void make_file(const char *path, mode_t mode, const char *content)
{
	int fd = MUST(open(path, O_CREAT | O_WRONLY | O_TRUNC, mode));

	MUST(write(fd, content, strlen(content)));
	MUST(fchmod(fd, mode));
	close(fd);
}

void make_directory(const char *path)
{
	MUST(mkdir(path, 0755));
}

/* Puts the image that the exec cases run at @path. */
void copy_image(const char *path)
{
	char from[PATH_MAX + 8];
	char content[65536];
	ssize_t size;
	int fd;

	snprintf(from, sizeof(from), "%s", self);
	strcpy(strrchr(from, '/'), "/true");
	fd = MUST(open(from, O_RDONLY | O_CLOEXEC));
	size = MUST(read(fd, content, sizeof(content)));
	close(fd);
	fd = MUST(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0755));
	MUST(write(fd, content, size));
	close(fd);
}

void become_nobody(void)
{
	MUST(setresgid(NOBODY, NOBODY, NOBODY));
	MUST(setresuid(NOBODY, NOBODY, NOBODY));
}

/* What is mounted from now on is seen by this case only, and ends with it. */
void private_mounts(void)
{
	MUST(unshare(CLONE_NEWNS));
	MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	MUST(chdir(scratch)); /* through the mounts of the new namespace */
}

pid_t fork_child(void)
{
	pid_t parent = getpid(), pid = MUST(fork());

	bystander = pid;
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* also if it is stopped then */
	while (getppid() == parent) /* ... but not if the parent may not kill it any more */
		usleep(1000);
	_exit(0);
}

/* Acts that ended their image or process could not tell when. */
static void close_acts(void)
{
	for (int i = 0; i < report->count; i++)
		if (!report->acts[i].time_ns_after)
			report->acts[i].time_ns_after = now_ns();
}

void wait_for(pid_t pid)
{
	report->child = pid;
	MUST(waitpid(pid, &report->child_status, 0));
	close_acts();
}

/* ---- the act ---- */

static const struct call *find_call(const char *name)
{
	for (int i = 0; i < call_count; i++)
		if (!strcmp(calls[i].name, name))
			return &calls[i];
	fprintf(stderr, "actor: no such call in calls.c: %s\n", name);
	exit(2);
}

/* Process ids as the actor's /proc counts them, whatever namespace the case is in. */
static void describe(struct act *act)
{
	char text[512];
	ssize_t size;
	int fd;

	size = MUST(readlinkat(proc, "thread-self", text, sizeof(text) - 1));
	text[size] = 0;
	sscanf(text, "%d/task/%d", &act->host_pid, &act->tid);
	fd = MUST(proc_open("self/stat", O_RDONLY));
	size = MUST(read(fd, text, sizeof(text) - 1));
	close(fd);
	text[size] = 0;
	sscanf(strrchr(text, ')'), ") %*c %d", &act->host_ppid);
	act->pid = getpid();
	act->ppid = getppid();
	act->uid = getuid();
	prctl(PR_GET_NAME, act->comm);
	if (!act->cwd[0] && syscall(SYS_getcwd, act->cwd, sizeof(act->cwd)) < 0)
		act->cwd[0] = 0;
	if (!act->executable[0])
		strcpy(act->executable, self);
}

static void tell_arguments(struct act *act, const long *arguments)
{
	FILE *to = fmemopen(act->arguments, sizeof(act->arguments), "w");

	json_arguments(to, act->call, arguments);
	fclose(to);
}

long act(const char *name, const long *arguments)
{
	const struct call *call = find_call(name ? name : playing->call);
	struct act *act = next_act();
	bool ends = call->ends || ending;
	long result;

	if (act >= report->acts + ACTS)
		give_up("too many acts");
	act->call = call;
	describe(act);
	if (foretelling) {
		tell_arguments(act, arguments);
		foretelling = false;
		foretold = true;
		return 0;
	}
	way->prepare(call, arguments);
	if (ends) { /* all must be said now */
		tell_arguments(act, arguments);
		report->count += 1 + foretold;
	}
	errno = 0;
	act->time_ns_before = now_ns();
	if (foretold)
		act[1].time_ns_before = act->time_ns_before;
	result = way->go();
	if (!strcmp(call->name, "fork") && result == 0) /* the child; its parent tells */
		return 0;
	act->time_ns_after = now_ns();
	act->result = result;
	if (!ends) {
		tell_arguments(act, arguments);
		act->uid = getuid();
		report->count++;
	}
	return result;
}

long act_again(const long *arguments)
{
	long result;

	way->prepare(find_call(playing->call), arguments);
	result = way->go();
	if (result < 0)
		errno = -result;
	return result;
}

/* ---- playing a case ---- */

static bool is_entry(const struct dirent *entry)
{
	return strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
}

/* True if something was moved. */
static bool move_up(int top, const char *name, long *moved)
{
	int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *directory = fdopendir(fd);
	struct dirent *entry;
	long before = *moved;
	char free_name[32];

	if (!directory)
		return false;
	while ((entry = readdir(directory))) {
		if (!is_entry(entry))
			continue;
		snprintf(free_name, sizeof(free_name), ".moved-%ld", *moved);
		if (!renameat(fd, entry->d_name, top, free_name))
			++*moved;
	}
	closedir(directory);
	return *moved > before;
}

/*
 * Removes all that is in @path, however deep. What is in a directory is moved up before it is removed, so that no
 * path here is longer than two names.
 */
static void empty_directory(const char *path)
{
	int top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fdopendir(top);
	struct dirent *entry;
	long moved = 0;
	bool again;

	if (!directory)
		return;
	do {
		again = false;
		rewinddir(directory);
		while ((entry = readdir(directory))) {
			if (!is_entry(entry) || !unlinkat(top, entry->d_name, 0) ||
			    !unlinkat(top, entry->d_name, AT_REMOVEDIR))
				continue;
			again |= move_up(top, entry->d_name, &moved);
		}
	} while (again);
	closedir(directory);
}

static void play(const struct acting *acting)
{
	playing = acting;
	MUST(chdir(scratch));
	umask(0);
	acting->play();
	if (bystander) /* a case may have stopped it */
		kill(bystander, SIGKILL);
	_exit(0);
}

static const char *name_of(const struct acting *acting)
{
	static char name[128];

	snprintf(name, sizeof(name), "%s%s%s-%s", way == ways ? "" : way->name, way == ways ? "" : "/", acting->call,
		 acting->variant);
	for (char *at = name + strlen(name) - strlen(acting->variant); *at; at++)
		if (*at == '_')
			*at = '-';
	return name;
}

static void tell_act(FILE *to, const struct act *act)
{
	fprintf(to, "\"syscall\": \"%s\", \"host_pid\": %d, \"tid\": %d, \"host_ppid\": %d, ", act->call->name,
		act->host_pid, act->tid, act->host_ppid);
	fprintf(to, "\"pid\": %d, \"ppid\": %d, \"uid\": %u, \"comm\": ", act->pid, act->ppid, act->uid);
	json_bytes(to, act->comm, strnlen(act->comm, sizeof(act->comm)));
	fputs(", \"cwd\": ", to);
	json_string(to, act->cwd);
	fputs(", \"executable\": ", to);
	json_string(to, act->executable);
	fprintf(to, ", \"args\": %s, \"image_argv\": %s, \"path\": ", act->arguments,
		act->image_argv[0] ? act->image_argv : "null");
	json_string(to, act->path[0] ? act->path : NULL);
	fputs(", \"new_path\": ", to);
	json_string(to, act->new_path[0] ? act->new_path : NULL);
	fprintf(to, ", \"deleted\": %s, \"address\": ", act->deleted ? "true" : "false");
	json_address(to, act->address_known ? &act->address : NULL, sizeof(act->address));
	fputs(", \"query\": ", to);
	json_string(to, act->query[0] ? act->query : NULL);
	fputs(", \"query_types\": ", to);
	json_string(to, act->query[0] ? act->query_types : NULL);
	fprintf(to, ", \"result\": %ld, \"time_ns_before\": %lu, \"time_ns_after\": %lu", act->result,
		act->time_ns_before, act->time_ns_after);
}

static void tell(const struct acting *acting, int status)
{
	int last = report->count - 1;

	if (report->unsupported[0])
		last = -1;
	else if (last < 0 && !report->error[0])
		snprintf(report->error, sizeof(report->error), "nothing was done; wait status %d", status);
	printf("{\"case\": \"%s\", \"way\": \"%s\", \"expected\": %d", name_of(acting), way->name, -acting->expected);
	if (report->unsupported[0]) {
		fputs(", \"unsupported\": ", stdout);
		json_string(stdout, report->unsupported);
	} else if (report->error[0]) {
		fputs(", \"error\": ", stdout);
		json_string(stdout, report->error);
	} else {
		printf(", \"wait_status\": %d, \"child\": %d, \"child_status\": %d, \"done\": %ld, ", status, report->child,
		       report->child_status, report->done);
		tell_act(stdout, &report->acts[last]);
		fputs(", \"earlier\": [", stdout);
		for (int i = 0; i < last; i++) {
			fputs(i ? ", {" : "{", stdout);
			tell_act(stdout, &report->acts[i]);
			fputc('}', stdout);
		}
		fputc(']', stdout);
	}
	fputs("}\n", stdout);
	fflush(stdout);
}

/* A kernel that lacks the call says so, and that too is what happened. */
static bool is_as_expected(const struct acting *acting)
{
	long result;

	if (report->unsupported[0] || report->error[0])
		return !report->error[0];
	result = report->acts[report->count - 1].result;
	return result == -ENOSYS || (acting->expected ? result == -acting->expected : result >= 0);
}

/* Plays a case; false if it did not end as expected. */
static bool perform(const struct acting *acting)
{
	struct pollfd alive = {.events = POLLIN};
	int ends[2], status;
	bool as_expected;
	pid_t pid;

	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	snprintf(scratch, sizeof(scratch), "%.4000s/scratch", home);
	if (report == MAP_FAILED || mkdir(scratch, 0755) || chmod(scratch, 0755) || pipe(ends) || (pid = fork()) < 0) {
		fprintf(stderr, "actor: cannot begin in %s: %s\n", scratch, strerror(errno));
		exit(2);
	}
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setpgid(0, 0); /* so that all of the case can be ended */
		close(ends[0]);
		play(acting);
	}
	close(ends[1]); /* every process of the case holds it: the end of the pipe is the end of them all */
	alive.fd = ends[0];
	if (poll(&alive, 1, PATIENCE_S * 1000) != 1) {
		snprintf(report->error, sizeof(report->error), "did not end in %d s", PATIENCE_S);
		kill(-pid, SIGKILL);
	}
	close(ends[0]);
	waitpid(pid, &status, 0);
	close_acts();
	empty_directory(scratch);
	rmdir(scratch);
	tell(acting, status);
	as_expected = is_as_expected(acting);
	munmap(report, sizeof(*report));
	return as_expected;
}

/* ---- the command line ---- */

static bool can_be_played(const struct acting *acting)
{
	return way->number(find_call(acting->call)) > 0;
}

/* Sets the way, and finds the case. The name may be followed by numbers, for a flood. */
static const struct acting *find_case(const char *line)
{
	char name[256] = "";

	numbers[0] = numbers[1] = 0;
	sscanf(line, "%255s %ld %ld", name, &numbers[0], &numbers[1]);
	for (way = ways; way < ways + way_count; way++)
		for (const struct acting *const *row = __start_cases; row < __stop_cases; row++)
			if (can_be_played(*row) && !strcmp(name_of(*row), name))
				return *row;
	return NULL;
}

static void list(void)
{
	for (way = ways; way < ways + way_count; way++)
		for (const struct acting *const *row = __start_cases; row < __stop_cases; row++)
			if (can_be_played(*row))
				printf("{\"case\": \"%s\", \"syscall\": \"%s\", \"way\": \"%s\", \"expected\": %d}\n",
				       name_of(*row), (*row)->call, way->name, -(*row)->expected);
}

static bool perform_line(const char *line)
{
	const struct acting *acting = find_case(line);

	if (!acting) {
		printf("{\"case\": ");
		json_bytes(stdout, line, strcspn(line, "\n"));
		printf(", \"error\": \"no such case\"}\n");
		fflush(stdout);
		return false;
	}
	return perform(acting);
}

static void serve(void)
{
	char line[256];

	while (fgets(line, sizeof(line), stdin))
		if (line[strspn(line, " \n")])
			perform_line(line);
}

static int usage(void)
{
	fputs("usage: actor --list | actor [--dir DIRECTORY] --serve | actor [--dir DIRECTORY] CASE…\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	bool serving = false, as_expected = true;
	const char *directory = ".";
	int i = 1;

	for (; i < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "--list")) {
			list();
			return 0;
		}
		if (!strcmp(argv[i], "--serve"))
			serving = true;
		else if (!strcmp(argv[i], "--dir") && i + 1 < argc)
			directory = argv[++i];
		else
			return usage();
	}
	if (serving == (i < argc))
		return usage();
	proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (!realpath(directory, home) || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0) {
		perror("actor");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	if (serving)
		serve();
	for (; i < argc; i++)
		as_expected &= perform_line(argv[i]);
	return as_expected ? 0 : 1;
}
