// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is done through io_uring, which no system call shows.
 *
 *   tp_btf/io_uring_submit_req   (io_uring_submit_sqe before 6.3) keeps who asks for what,
 *                                from the kernel's own copies of the names
 *   tp_btf/io_uring_complete     tells what came of it
 */
#include "lib/arguments.bpf.h"
#include <asm/unistd_64.h>

#define URING_ITEMS (3 * (ITEM_MAX + sizeof(struct item)))

/* include/uapi/linux/io_uring.h */
enum uring_opcode {
	URING_ACCEPT = 13,
	URING_CONNECT = 16,
	URING_OPENAT = 18,
	URING_OPENAT2 = 28,
	URING_RENAMEAT = 35,
	URING_UNLINKAT = 36,
	URING_MKDIRAT = 37,
	URING_SYMLINKAT = 38,
	URING_LINKAT = 39,
	URING_SOCKET = 45,
	URING_FTRUNCATE = 55,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct open_how {
	__u64 flags;
	__u64 mode;
};

struct io_open {
	int dfd;
	struct filename *filename;
	struct open_how how;
};

struct io_unlink {
	int dfd;
	int flags;
	struct filename *filename;
};

struct io_rename {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
	int flags;
};

struct io_mkdir {
	int dfd;
	__u16 mode;
	struct filename *filename;
};

struct io_link {
	int old_dfd;
	int new_dfd;
	struct filename *oldpath;
	struct filename *newpath;
	int flags;
};

struct io_socket {
	int domain;
	int type;
	int protocol;
};

struct io_connect {
	void *addr;
	int addr_len;
};

struct io_accept {
	int flags;
};

struct io_ftrunc {
	__u64 len;
};

#pragma clang attribute pop

/* A request on its way; laid out like the beginning of a scratch. */
struct request {
	struct record record;
	char items[URING_ITEMS];
};

/* struct io_kiocb * -> what it is about */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct request);
} requests SEC(".maps");

static __always_inline void add_name(struct scratch *scratch, struct task_struct *task, __u8 index, int directory_fd,
				     struct filename *name)
{
	struct file *directory = file_of(task, directory_fd);

	if (directory_fd != AT_FDCWD && directory)
		add_path(&directory->f_path, ITEM_BASE, index);
	add_string((__u64)BPF_CORE_READ(name, name), ITEM_ARGUMENT, index);
}

static __always_inline int submit(struct io_kiocb *request)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u8 opcode = BPF_CORE_READ(request, opcode);
	__u64 key = (__u64)request, *arguments;
	struct scratch *scratch;

	switch (opcode) { /* most requests read or write, and are none of ours */
	case URING_ACCEPT:
	case URING_CONNECT:
	case URING_OPENAT:
	case URING_OPENAT2:
	case URING_RENAMEAT:
	case URING_UNLINKAT:
	case URING_MKDIRAT:
	case URING_SYMLINKAT:
	case URING_LINKAT:
	case URING_SOCKET:
	case URING_FTRUNCATE:
		break;
	default:
		return 0;
	}
	scratch = scratch_begin(HOOK_IO_URING);
	if (!scratch)
		return 0;
	add_place(task);
	arguments = scratch->record.arguments;
	if (opcode == URING_OPENAT || opcode == URING_OPENAT2) {
		struct io_open *open = (void *)request;

		scratch->record.syscall = opcode == URING_OPENAT ? __NR_openat : __NR_openat2;
		arguments[0] = BPF_CORE_READ(open, dfd);
		arguments[2] = BPF_CORE_READ(open, how.flags);
		arguments[3] = BPF_CORE_READ(open, how.mode);
		add_name(scratch, task, 1, arguments[0], BPF_CORE_READ(open, filename));
	} else if (opcode == URING_UNLINKAT) {
		struct io_unlink *unlink = (void *)request;

		scratch->record.syscall = __NR_unlinkat;
		arguments[0] = BPF_CORE_READ(unlink, dfd);
		arguments[2] = BPF_CORE_READ(unlink, flags);
		add_name(scratch, task, 1, arguments[0], BPF_CORE_READ(unlink, filename));
	} else if (opcode == URING_MKDIRAT) {
		struct io_mkdir *mkdir = (void *)request;

		scratch->record.syscall = __NR_mkdirat;
		arguments[0] = BPF_CORE_READ(mkdir, dfd);
		arguments[2] = BPF_CORE_READ(mkdir, mode);
		add_name(scratch, task, 1, arguments[0], BPF_CORE_READ(mkdir, filename));
	} else if (opcode == URING_RENAMEAT) {
		struct io_rename *rename = (void *)request;

		scratch->record.syscall = __NR_renameat2;
		arguments[0] = BPF_CORE_READ(rename, old_dfd);
		arguments[2] = BPF_CORE_READ(rename, new_dfd);
		arguments[4] = BPF_CORE_READ(rename, flags);
		add_name(scratch, task, 1, arguments[0], BPF_CORE_READ(rename, oldpath));
		add_name(scratch, task, 3, arguments[2], BPF_CORE_READ(rename, newpath));
	} else if (opcode == URING_LINKAT) {
		struct io_link *link = (void *)request;

		scratch->record.syscall = __NR_linkat;
		arguments[0] = BPF_CORE_READ(link, old_dfd);
		arguments[2] = BPF_CORE_READ(link, new_dfd);
		arguments[4] = BPF_CORE_READ(link, flags);
		add_name(scratch, task, 1, arguments[0], BPF_CORE_READ(link, oldpath));
		add_name(scratch, task, 3, arguments[2], BPF_CORE_READ(link, newpath));
	} else if (opcode == URING_SYMLINKAT) {
		struct io_link *link = (void *)request;

		scratch->record.syscall = __NR_symlinkat;
		arguments[1] = BPF_CORE_READ(link, new_dfd);
		add_name(scratch, task, 0, AT_FDCWD, BPF_CORE_READ(link, oldpath));
		add_name(scratch, task, 2, arguments[1], BPF_CORE_READ(link, newpath));
	} else if (opcode == URING_SOCKET) {
		struct io_socket *socket = (void *)request;

		scratch->record.syscall = __NR_socket;
		arguments[0] = BPF_CORE_READ(socket, domain);
		arguments[1] = BPF_CORE_READ(socket, type);
		arguments[2] = BPF_CORE_READ(socket, protocol);
	} else if (opcode == URING_CONNECT) {
		struct io_connect *connect = (void *)request;
		struct item *item = item_begin(scratch);
		__u64 size = BPF_CORE_READ(connect, addr_len);

		scratch->record.syscall = __NR_connect;
		arguments[0] = (__u64)-1; /* the request holds the file, not its descriptor */
		if (size > ADDRESS_SIZE)
			size = ADDRESS_SIZE;
		if (item && !bpf_probe_read_user(item + 1, size, BPF_CORE_READ(connect, addr)))
			item_end(scratch, item, ITEM_ADDRESS, 1, size);
	} else if (opcode == URING_FTRUNCATE) {
		struct io_ftrunc *truncate = (void *)request;

		scratch->record.syscall = __NR_ftruncate;
		arguments[0] = (__u64)-1;
		if (bpf_core_type_exists(struct io_ftrunc))
			arguments[1] = BPF_CORE_READ(truncate, len);
	} else {
		struct io_accept *accept = (void *)request;

		scratch->record.syscall = __NR_accept4;
		arguments[0] = (__u64)-1;
		arguments[3] = BPF_CORE_READ(accept, flags);
	}
	if (scratch->record.size > URING_ITEMS) { /* no item may be cut in two */
		scratch->record.size = 0;
		scratch->record.flags |= RECORD_CUT;
	}
	bpf_map_update_elem(&requests, &key, scratch, BPF_ANY);
	return 0;
}

static __always_inline int complete(struct io_kiocb *done, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct counters *counters;
	struct selection *selection = selected();
	__u64 key = (__u64)done;
	struct syscall *syscall;
	struct request *request;
	struct scratch *scratch;
	struct file *file = NULL;
	struct sock *sk = NULL;
	__u32 slot, size;
	int reason;

	request = bpf_map_lookup_elem(&requests, &key);
	if (!request)
		return 0;
	scratch = scratch_here();
	slot = request->record.syscall;
	syscall = bpf_map_lookup_elem(&syscalls, &slot);
	if (!scratch || !selection || !syscall)
		goto done;
	counters = counters_of(syscall->operation);
	if (!counters)
		goto done;
	counters->seen++;
	reason = filter_of(selection, syscall->operation, task, result, request->record.cgroup_id);
	if (reason >= 0) {
		counters->filtered[reason]++;
		goto done;
	}
	__builtin_memcpy(&scratch->record, &request->record, sizeof(scratch->record));
	scratch->record.cpu = bpf_get_smp_processor_id();
	scratch->record.time_ns = bpf_ktime_get_boot_ns();
	scratch->record.result = result;
	size = request->record.size;
	if (size > URING_ITEMS)
		size = URING_ITEMS;
	bpf_probe_read_kernel(scratch->items, size, request->items);
	scratch->record.size = size;
	if (syscall->object == OBJECT_OPENED)
		file = file_of(task, result >= 0 ? result : -1);
	else if (syscall->object == OBJECT_FILE)
		file = BPF_CORE_READ(done, file);
	else if (syscall->object == OBJECT_PEER && result >= 0)
		sk = sock_behind(BPF_CORE_READ(done, file));
	else if (syscall->object == OBJECT_ACCEPTED && result >= 0)
		sk = sock_of(task, result);
	if (file)
		add_path(&file->f_path, ITEM_OBJECT, 0);
	if (sk)
		add_socket((__u64)sk, 0, true);
	scratch_send(scratch, counters);
done:
	bpf_map_delete_elem(&requests, &key);
	return 0;
}

SEC("tp_btf/io_uring_submit_req")
int BPF_PROG(uring_req, struct io_kiocb *request)
{
	return submit(request);
}

SEC("tp_btf/io_uring_submit_sqe")
int BPF_PROG(uring_sqe, struct io_kiocb *request)
{
	return submit(request);
}

/* The result came in a number of its own before it came in the entry of the ring. */
SEC("tp_btf/io_uring_complete")
int BPF_PROG(uring_done, void *context, struct io_kiocb *request, struct io_uring_cqe *entry)
{
	return complete(request, BPF_CORE_READ(entry, res));
}

SEC("tp_btf/io_uring_complete")
int BPF_PROG(uring_done_flat, void *context, struct io_kiocb *request, __u64 user_data, int result)
{
	return complete(request, result);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
