// SPDX-License-Identifier: Apache-2.0
/*
 * Who one is and what one may do: credentials, namespaces, other processes'
 * memory, and what changes the kernel itself.
 */
#include "actor.h"
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* ---- user and group ids: to nobody, and back, which nobody may do ---- */

#define BECOMES(call, ...)                                                                                   \
	CASE(call, nobody, 0)                                                                                \
	{                                                                                                    \
		CALL(__VA_ARGS__);                                                                           \
	}

#define DENIED(call, ...)                                                                                    \
	CASE(call, denied, EPERM)                                                                            \
	{                                                                                                    \
		become_nobody();                                                                             \
		CALL(__VA_ARGS__);                                                                           \
	}

BECOMES(setuid, NOBODY)
DENIED(setuid, 0)
BECOMES(setgid, NOBODY)
DENIED(setgid, 0)
BECOMES(setreuid, NOBODY, -1)
DENIED(setreuid, 0, 0)
BECOMES(setregid, -1, NOBODY)
DENIED(setregid, 0, 0)
BECOMES(setresuid, NOBODY, -1, 0)
DENIED(setresuid, 0, 0, 0)
BECOMES(setresgid, -1, NOBODY, 0)
DENIED(setresgid, 0, 0, 0)

/* These two return the id that was in force before, whether they changed it or not: they cannot fail. */
BECOMES(setfsuid, NOBODY)
BECOMES(setfsgid, NOBODY)

CASE(setfsuid, unchanged, 0)
{
	become_nobody();
	CALL(0);
}

CASE(setfsgid, unchanged, 0)
{
	become_nobody();
	CALL(0);
}

CASE(setuid, itself, 0)
{
	CALL(0);
}

/* Real and effective user differ: an event tells of the real one. */
CASE(openat, effective_nobody, 0)
{
	make_file("leaf", 0644, "");
	MUST(setresuid(-1, NOBODY, -1));
	path_is("leaf");
	CALL(AT_FDCWD, "leaf", O_RDONLY);
}

/* ---- capabilities ---- */

static void set_capabilities(uint32_t permitted)
{
	struct __user_cap_header_struct *header = low(sizeof(*header));
	struct __user_cap_data_struct *data = low(2 * sizeof(*data));

	header->version = _LINUX_CAPABILITY_VERSION_3;
	data[0].permitted = data[0].effective = permitted;
	CALL(header, data);
}

CASE(capset, dropped, 0)
{
	set_capabilities(0);
}

CASE(capset, denied, EPERM)
{
	become_nobody();
	set_capabilities(1 << CAP_NET_ADMIN);
}

CASE(capset, bad_pointer, EFAULT)
{
	CALL((void *)1, NULL);
}

/* ---- namespaces ---- */

CASE(unshare, uts, 0)
{
	CALL(CLONE_NEWUTS);
}

CASE(unshare, many, 0)
{
	CALL(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWNET);
}

CASE(unshare, denied, EPERM)
{
	become_nobody();
	CALL(CLONE_NEWUTS);
}

CASE(unshare, invalid, EINVAL)
{
	CALL(1);
}

CASE(setns, uts, 0)
{
	CALL(MUST(proc_open("self/ns/uts", O_RDONLY)), CLONE_NEWUTS);
}

CASE(setns, any, 0)
{
	CALL(MUST(proc_open("self/ns/ipc", O_RDONLY)), 0);
}

CASE(setns, wrong_type, EINVAL)
{
	CALL(MUST(proc_open("self/ns/uts", O_RDONLY)), CLONE_NEWNET);
}

CASE(setns, bad_fd, EBADF)
{
	CALL(-1, 0);
}

/* ---- other processes ---- */

CASE(ptrace, attach, 0)
{
	CALL(PTRACE_ATTACH, fork_child(), NULL, NULL);
}

CASE(ptrace, seize, 0)
{
	CALL(PTRACE_SEIZE, fork_child(), NULL, NULL);
}

CASE(ptrace, trace_me, 0)
{
	CALL(PTRACE_TRACEME, 0, NULL, NULL);
}

CASE(ptrace, missing, ESRCH)
{
	CALL(PTRACE_ATTACH, 0x3fffffff, NULL, NULL);
}

CASE(ptrace, denied, EPERM)
{
	pid_t pid = fork_child();

	become_nobody();
	CALL(PTRACE_ATTACH, pid, NULL, NULL);
}

static void copy_memory(pid_t pid)
{
	struct iovec local = {low(32), 32}, remote = {low(32), 32};

	CALL(pid, &local, 1, &remote, 1, 0);
}

/* The child is a copy of us: what is mapped here is mapped there. */
static pid_t fork_copy(void)
{
	low(1);
	return fork_child();
}

CASE(process_vm_readv, child, 0)
{
	copy_memory(fork_copy());
}

CASE(process_vm_readv, missing, ESRCH)
{
	copy_memory(0x3fffffff);
}

CASE(process_vm_readv, denied, EPERM)
{
	pid_t pid = fork_copy();

	become_nobody();
	copy_memory(pid);
}

CASE(process_vm_writev, child, 0)
{
	copy_memory(fork_copy());
}

CASE(process_vm_writev, missing, ESRCH)
{
	copy_memory(0x3fffffff);
}

/* ---- the kernel itself: nothing is ever loaded ---- */

CASE(init_module, denied, EPERM)
{
	become_nobody();
	CALL("no module", 9, "option=\"1\"");
}

CASE(init_module, garbage, ENOEXEC)
{
	CALL("no module", 9, "");
}

CASE(finit_module, denied, EPERM)
{
	int fd;

	make_file("module.ko", 0644, "no module");
	fd = MUST(open("module.ko", O_RDONLY));
	become_nobody();
	path_is("module.ko");
	CALL(fd, "option=1", 0);
}

CASE(finit_module, garbage, ENOEXEC)
{
	make_file("module.ko", 0644, "no module");
	path_is("module.ko");
	CALL(MUST(open("module.ko", O_RDONLY)), "", 0);
}

CASE(delete_module, missing, ENOENT)
{
	CALL("no_such_module", O_NONBLOCK);
}

CASE(delete_module, denied, EPERM)
{
	become_nobody();
	CALL("no_such_module", O_NONBLOCK);
}

CASE(bpf, map, 0)
{
	static union bpf_attr attributes = {
		.map_type = BPF_MAP_TYPE_ARRAY,
		.key_size = 4,
		.value_size = 8,
		.max_entries = 1,
	};

	CALL(BPF_MAP_CREATE, &attributes, sizeof(attributes));
}

CASE(bpf, invalid, EINVAL)
{
	static union bpf_attr attributes;

	CALL(9999, &attributes, sizeof(attributes));
}

CASE(bpf, denied, EPERM)
{
	static union bpf_attr attributes = {
		.map_type = BPF_MAP_TYPE_HASH,
		.key_size = 4,
		.value_size = 8,
		.max_entries = 1,
	};

	MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	become_nobody();
	CALL(BPF_PROG_LOAD, &attributes, sizeof(attributes));
}
