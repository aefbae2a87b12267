/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The arguments of a system call, and what of them lies in user memory.
 */
#ifndef HAUBERK_ARGUMENTS_BPF_H
#define HAUBERK_ARGUMENTS_BPF_H

#include "kernel.h"
#include "lib/emit.bpf.h"
#include "lib/object.bpf.h"

#define ARGV_COUNT 512
#define I386_SOCKETCALL 102 /* arch/x86/entry/syscalls/syscall_32.tbl */

/* slot -> how to treat the call; native numbers, 32-bit ones, socketcall(2)'s */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SYSCALL_SLOTS);
	__type(key, __u32);
	__type(value, struct syscall);
} syscalls SEC(".maps");

/* A call in progress: what was copied when it began. */
struct pending {
	__u64 arguments[ARGUMENT_COUNT];
	__u32 slot;
	__u16 size;
	__u16 flags;
	char items[RAW_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct pending);
} pendings SEC(".maps");

/* What the kernel made of the paths of a call in progress; see named.bpf.c. */
struct named {
	__u32 starts[2]; /* of each path in its buffer */
	bool known[2];
	__u32 flags;
	struct path_buffer paths[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct named);
} nameds SEC(".maps");

static __always_inline bool is_compat(struct task_struct *task)
{
	return task->thread_info.status & TS_COMPAT;
}

/* The slot of the call @number; the vector of socketcall(2) is the caller's to read. */
static __always_inline __u32 slot_of(struct task_struct *task, long number)
{
	if (is_compat(task))
		return (number & 0xffffffff) < SOCKETCALL_SLOT - COMPAT_SLOT ? COMPAT_SLOT + number : 0xffffffff;
	number &= ~(long)X32_SYSCALL_BIT;
	return (unsigned long)number < COMPAT_SLOT ? number : 0xffffffff;
}

static __always_inline void load_arguments(__u64 *arguments, struct pt_regs *regs, struct task_struct *task)
{
	if (is_compat(task)) {
		arguments[0] = (__u32)regs->bx;
		arguments[1] = (__u32)regs->cx;
		arguments[2] = (__u32)regs->dx;
		arguments[3] = (__u32)regs->si;
		arguments[4] = (__u32)regs->di;
		arguments[5] = (__u32)regs->bp;
	} else {
		arguments[0] = regs->di;
		arguments[1] = regs->si;
		arguments[2] = regs->dx;
		arguments[3] = regs->r10;
		arguments[4] = regs->r8;
		arguments[5] = regs->r9;
	}
}

struct argv_copy {
	struct scratch *scratch;
	__u64 vector; /* of pointers */
	bool compat;  /* ... of 4 bytes, not 8 */
	__u32 used;
	__u32 flags;
};

static long argv_step(__u32 i, struct argv_copy *copy)
{
	__u64 pointer = 0;
	__u32 at = copy->used;
	long size;

	if (copy->compat)
		size = bpf_probe_read_user(&pointer, 4, (void *)(copy->vector + 4 * i));
	else
		size = bpf_probe_read_user(&pointer, 8, (void *)(copy->vector + 8 * i));
	if (size) {
		copy->flags |= RECORD_UNREADABLE;
		return 1;
	}
	if (!pointer)
		return 1;
	if (i == ARGV_COUNT - 1 || at >= ITEMS_SIZE - ITEM_MAX) {
		copy->flags |= RECORD_CUT;
		return 1;
	}
	size = bpf_probe_read_user_str(&copy->scratch->items[at], ITEM_MAX, (void *)pointer);
	if (size < 0) {
		copy->flags |= RECORD_UNREADABLE;
		return 1;
	}
	if (size == ITEM_MAX)
		copy->flags |= RECORD_CUT;
	copy->used = at + size;
	return 0;
}

/* Adds the strings of a vector in user memory, each with its NUL. */
static __always_inline void add_argv(struct scratch *scratch, __u8 index, __u64 vector, bool compat)
{
	struct item *item = item_begin(scratch);
	__u32 begin = scratch->record.size + sizeof(*item);
	struct argv_copy copy = {
		.scratch = scratch,
		.vector = vector,
		.compat = compat,
		.used = begin,
	};

	if (!item)
		return;
	bpf_loop(ARGV_COUNT, argv_step, &copy, 0);
	scratch->record.flags |= copy.flags;
	item_end(scratch, item, ITEM_ARGV, index, copy.used - begin);
}

/*
 * Adds what user memory holds for the arguments that the scratch has of the call
 * in @slot: strings, addresses, and the directories that paths are relative to.
 */
__noinline int add_arguments(__u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct scratch *scratch = scratch_here();

	if (!syscall || !scratch)
		return 0;
	for (int i = 0; i < ARGUMENT_COUNT; i++) {
		__u64 value = scratch->record.arguments[i];

		switch (syscall->arguments[i]) {
		case ARGUMENT_DIRFD: {
			struct file *directory = file_of(task, value);

			if ((int)value != AT_FDCWD && directory)
				add_path(&directory->f_path, ITEM_BASE, i + 1);
			break;
		}
		case ARGUMENT_PATH:
		case ARGUMENT_STRING:
			if (value)
				add_user_string(value, ITEM_ARGUMENT, i);
			break;
		case ARGUMENT_ADDRESS: {
			struct item *item = item_begin(scratch);
			__u64 size = i + 1 < ARGUMENT_COUNT ? scratch->record.arguments[i + 1] : 0;

			if (!item)
				break;
			if (size > ADDRESS_SIZE)
				size = ADDRESS_SIZE;
			if (bpf_probe_read_user(item + 1, size, (void *)value))
				scratch->record.flags |= RECORD_UNREADABLE;
			else
				item_end(scratch, item, ITEM_ADDRESS, i, size);
			break;
		}
		case ARGUMENT_ARGV:
			add_argv(scratch, i, value, scratch->record.flags & RECORD_COMPAT);
			break;
		}
	}
	return 0;
}

#endif
