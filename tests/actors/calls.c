// SPDX-License-Identifier: Apache-2.0
/*
 * The system calls that cases make, and the ways to make them. A call is one
 * row; with its other numbers filled in, each of its cases is also played as
 * compat/…, compat-old/…, socketcall/… and io_uring/….
 */
#include "actor.h"
#include <linux/io_uring.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

/* Operations that are newer than the header that this may be built with. */
enum {
	URING_FTRUNCATE = 55,
	URING_BIND = 56,
	URING_LISTEN = 57,
};

#define ROW(call) .name = #call, .number = SYS_##call

/* clang-format off */
const struct call calls[] = {
	/* processes */
	{ROW(execve), .compat = 11, .ends = true, .arguments = {{"path", STRING}, {"argv", VECTOR}, {"envp", VECTOR}}},
	{ROW(execveat), .compat = 358, .ends = true,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"argv", VECTOR}, {"envp", VECTOR}, {"flags", INT}}},
	{ROW(fork), .compat = 2},
	{ROW(exit_group), .compat = 252, .ends = true, .arguments = {{"status", INT}}},
	{ROW(kill), .compat = 37, .arguments = {{"pid", INT}, {"signal", INT}}},
	{ROW(ptrace), .compat = 26,
	 .arguments = {{"request", INT}, {"pid", INT}, {"address", POINTER}, {"data", POINTER}}},
	{ROW(process_vm_readv), .compat = 347,
	 .arguments = {{"pid", INT}, {"local", IOVEC}, {"local_count", LONG}, {"remote", IOVEC}, {"remote_count", LONG},
		       {"flags", LONG}}},
	{ROW(process_vm_writev), .compat = 348,
	 .arguments = {{"pid", INT}, {"local", IOVEC}, {"local_count", LONG}, {"remote", IOVEC}, {"remote_count", LONG},
		       {"flags", LONG}}},

	/* files */
	{ROW(open), .compat = 5, .arguments = {{"path", STRING}, {"flags", INT}, {"mode", INT}}},
	{ROW(openat), .compat = 295, .io_uring = IORING_OP_OPENAT,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"flags", INT}, {"mode", INT}}},
	{ROW(openat2), .compat = 437, .io_uring = IORING_OP_OPENAT2,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"how", HOW}, {"size", LONG}}},
	{ROW(creat), .compat = 8, .arguments = {{"path", STRING}, {"mode", INT}}},
	{ROW(unlink), .compat = 10, .arguments = {{"path", STRING}}},
	{ROW(unlinkat), .compat = 301, .io_uring = IORING_OP_UNLINKAT,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"flags", INT}}},
	{ROW(rmdir), .compat = 40, .arguments = {{"path", STRING}}},
	{ROW(rename), .compat = 38, .arguments = {{"path", STRING}, {"new_path", STRING}}},
	{ROW(renameat), .compat = 302,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"new_dirfd", INT}, {"new_path", STRING}}},
	{ROW(renameat2), .compat = 353, .io_uring = IORING_OP_RENAMEAT,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"new_dirfd", INT}, {"new_path", STRING}, {"flags", INT}}},
	{ROW(link), .compat = 9, .arguments = {{"path", STRING}, {"new_path", STRING}}},
	{ROW(linkat), .compat = 303, .io_uring = IORING_OP_LINKAT,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"new_dirfd", INT}, {"new_path", STRING}, {"flags", INT}}},
	{ROW(symlink), .compat = 83, .arguments = {{"target", STRING}, {"path", STRING}}},
	{ROW(symlinkat), .compat = 304, .io_uring = IORING_OP_SYMLINKAT,
	 .arguments = {{"target", STRING}, {"dirfd", INT}, {"path", STRING}}},
	{ROW(mkdir), .compat = 39, .arguments = {{"path", STRING}, {"mode", INT}}},
	{ROW(mkdirat), .compat = 296, .io_uring = IORING_OP_MKDIRAT,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"mode", INT}}},
	{ROW(mknod), .compat = 14, .arguments = {{"path", STRING}, {"mode", INT}, {"device", INT}}},
	{ROW(mknodat), .compat = 297, .arguments = {{"dirfd", INT}, {"path", STRING}, {"mode", INT}, {"device", INT}}},
	{ROW(chmod), .compat = 15, .arguments = {{"path", STRING}, {"mode", INT}}},
	{ROW(fchmod), .compat = 94, .arguments = {{"fd", INT}, {"mode", INT}}},
	{ROW(fchmodat), .compat = 306, .arguments = {{"dirfd", INT}, {"path", STRING}, {"mode", INT}}},
	{ROW(fchmodat2), .compat = 452, .arguments = {{"dirfd", INT}, {"path", STRING}, {"mode", INT}, {"flags", INT}}},
	{ROW(chown), .compat = 212, .compat_old = 182, .arguments = {{"path", STRING}, {"uid", INT}, {"gid", INT}}},
	{ROW(lchown), .compat = 198, .compat_old = 16, .arguments = {{"path", STRING}, {"uid", INT}, {"gid", INT}}},
	{ROW(fchown), .compat = 207, .compat_old = 95, .arguments = {{"fd", INT}, {"uid", INT}, {"gid", INT}}},
	{ROW(fchownat), .compat = 298,
	 .arguments = {{"dirfd", INT}, {"path", STRING}, {"uid", INT}, {"gid", INT}, {"flags", INT}}},
	{ROW(truncate), .compat = 193, .compat_old = 92, .arguments = {{"path", STRING}, {"length", LONG}}},
	{ROW(ftruncate), .compat = 194, .compat_old = 93, .io_uring = URING_FTRUNCATE,
	 .arguments = {{"fd", INT}, {"length", LONG}}},
	{ROW(memfd_create), .compat = 356, .arguments = {{"name", STRING}, {"flags", INT}}},
	{ROW(mount), .compat = 21,
	 .arguments = {{"source", STRING}, {"target", STRING}, {"type", STRING}, {"flags", LONG}, {"data", STRING}}},
	{ROW(umount2), .compat = 52, .compat_old = 22, .arguments = {{"path", STRING}, {"flags", INT}}},
	{ROW(pivot_root), .compat = 217, .arguments = {{"path", STRING}, {"new_path", STRING}}},
	{ROW(chroot), .compat = 61, .arguments = {{"path", STRING}}},

	/* network */
	{ROW(socket), .compat = 359, .socketcall = 1, .io_uring = IORING_OP_SOCKET,
	 .arguments = {{"domain", INT}, {"type", INT}, {"protocol", INT}}},
	{ROW(bind), .compat = 361, .socketcall = 2, .io_uring = URING_BIND,
	 .arguments = {{"fd", INT}, {"address", ADDRESS}, {"size", INT}}},
	{ROW(connect), .compat = 362, .socketcall = 3, .io_uring = IORING_OP_CONNECT,
	 .arguments = {{"fd", INT}, {"address", ADDRESS}, {"size", INT}}},
	{ROW(listen), .compat = 363, .socketcall = 4, .io_uring = URING_LISTEN,
	 .arguments = {{"fd", INT}, {"backlog", INT}}},
	{ROW(accept), .socketcall = 5, .arguments = {{"fd", INT}, {"address", POINTER}, {"size", POINTER}}},
	{ROW(accept4), .compat = 364, .socketcall = 18, .io_uring = IORING_OP_ACCEPT,
	 .arguments = {{"fd", INT}, {"address", POINTER}, {"size", POINTER}, {"flags", INT}}},
	{ROW(sendto), .compat = 369, .socketcall = 11, .io_uring = IORING_OP_SEND,
	 .arguments = {{"fd", INT}, {"buffer", BYTES}, {"size", LONG}, {"flags", INT}, {"address", ADDRESS},
		       {"address_size", INT}}},
	{.name = "send", .socketcall = 9, /* a system call only there */
	 .arguments = {{"fd", INT}, {"buffer", BYTES}, {"size", LONG}, {"flags", INT}}},
	{ROW(sendmsg), .compat = 370, .socketcall = 16, .io_uring = IORING_OP_SENDMSG,
	 .arguments = {{"fd", INT}, {"message", MESSAGE}, {"flags", INT}}},
	{ROW(sendmmsg), .compat = 345, .socketcall = 20,
	 .arguments = {{"fd", INT}, {"messages", MESSAGES}, {"count", INT}, {"flags", INT}}},
	{ROW(write), .compat = 4, .io_uring = IORING_OP_WRITE,
	 .arguments = {{"fd", INT}, {"buffer", BYTES}, {"size", LONG}}},

	/* who one is, and what one may do */
	{ROW(setuid), .compat = 213, .compat_old = 23, .arguments = {{"uid", INT}}},
	{ROW(setgid), .compat = 214, .compat_old = 46, .arguments = {{"gid", INT}}},
	{ROW(setreuid), .compat = 203, .compat_old = 70, .arguments = {{"ruid", INT}, {"euid", INT}}},
	{ROW(setregid), .compat = 204, .compat_old = 71, .arguments = {{"rgid", INT}, {"egid", INT}}},
	{ROW(setresuid), .compat = 208, .compat_old = 164, .arguments = {{"ruid", INT}, {"euid", INT}, {"suid", INT}}},
	{ROW(setresgid), .compat = 210, .compat_old = 170, .arguments = {{"rgid", INT}, {"egid", INT}, {"sgid", INT}}},
	{ROW(setfsuid), .compat = 215, .compat_old = 138, .arguments = {{"uid", INT}}},
	{ROW(setfsgid), .compat = 216, .compat_old = 139, .arguments = {{"gid", INT}}},
	{ROW(capset), .compat = 185, .arguments = {{"header", POINTER}, {"data", POINTER}}},
	{ROW(setns), .compat = 346, .arguments = {{"fd", INT}, {"type", INT}}},
	{ROW(unshare), .compat = 310, .arguments = {{"flags", INT}}},
	{ROW(init_module), .compat = 128, .arguments = {{"image", BYTES}, {"size", LONG}, {"parameters", STRING}}},
	{ROW(finit_module), .compat = 350, .arguments = {{"fd", INT}, {"parameters", STRING}, {"flags", INT}}},
	{ROW(delete_module), .compat = 129, .arguments = {{"name", STRING}, {"flags", INT}}},
	{ROW(bpf), .compat = 357, .arguments = {{"command", INT}, {"attributes", BYTES}, {"size", INT}}},
};
/* clang-format on */

const int call_count = sizeof(calls) / sizeof(*calls);

/* Prepared and made by the same thread. */
static __thread const struct call *native;
static __thread const long *native_arguments;

static int native_number(const struct call *call)
{
	return call->number;
}

static void native_prepare(const struct call *call, const long *arguments)
{
	native = call;
	native_arguments = arguments;
}

static long native_go(void)
{
	const long *a = native_arguments;
	long result = syscall(native->number, a[0], a[1], a[2], a[3], a[4], a[5]);

	return result == -1 && errno ? -errno : result;
}

static int compat_number(const struct call *call)
{
	return call->compat;
}

static int compat_old_number(const struct call *call)
{
	return call->compat_old;
}

static int socketcall_number(const struct call *call)
{
	return call->socketcall;
}

static int uring_number(const struct call *call)
{
	return call->io_uring;
}

const struct way ways[] = {
	{"native", native_number, native_prepare, native_go},
	{"compat", compat_number, compat_prepare, compat_go},
	{"compat-old", compat_old_number, compat_old_prepare, compat_go},
	{"socketcall", socketcall_number, socketcall_prepare, compat_go},
	{"io_uring", uring_number, uring_prepare, uring_go},
};

const int way_count = sizeof(ways) / sizeof(*ways);
