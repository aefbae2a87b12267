/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Building a raw record in a scratch buffer, and sending it.
 *
 * A record is complete before anything is reserved in the ring buffer: what is
 * filtered costs no room there. Sent records do not wake the reader, which
 * looks by itself every few milliseconds.
 */
#ifndef HAUBERK_EMIT_BPF_H
#define HAUBERK_EMIT_BPF_H

#define ITEM_MAX PATH_SIZE

#include "kernel.h"
#include "abi.h"
#include "lib/path.bpf.h"
#include "lib/scratch.bpf.h"
#include "lib/task.bpf.h"
#include "lib/visibility.bpf.h"

/* raw records for the agent; sized by the loader */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 20);
} records SEC(".maps");

/* 0 -> how many records this CPU has wanted to send */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sequences SEC(".maps");

static __always_inline struct scratch *scratch_of(struct task_struct *task, __u16 hook)
{
	struct selection *selection = selected();
	struct scratch *scratch = scratch_here();

	if (!scratch || !selection)
		return NULL;
	__builtin_memset(&scratch->record, 0, sizeof(scratch->record));
	scratch->record.time_ns = bpf_ktime_get_boot_ns();
	scratch->record.uid = bpf_get_current_uid_gid();
	scratch->record.cpu = bpf_get_smp_processor_id();
	scratch->record.hook = hook;
	task_describe(&scratch->record, task, selection);
	return scratch;
}

/*
 * The functions that follow, and those below that are not inlined, are verified
 * once, not once a call, as they take numbers only; the scratch they work on is
 * that of this CPU. That keeps loading quick and the stack small.
 */

/* Begins a scratch about the current task. */
__noinline int scratch_current(__u16 hook)
{
	return scratch_of(bpf_get_current_task_btf(), hook) ? 0 : -1;
}

static __always_inline struct scratch *scratch_begin(__u16 hook)
{
	return scratch_current(hook) ? NULL : scratch_here();
}

/* Where the next item goes, or NULL if a string of ITEM_MAX bytes might not fit any more. */
static __always_inline struct item *item_begin(struct scratch *scratch)
{
	__u32 used = scratch->record.size;

	if (used > ITEMS_SIZE - ITEM_MAX - sizeof(struct item)) {
		scratch->record.flags |= RECORD_CUT;
		return NULL;
	}
	return (struct item *)&scratch->items[used];
}

static __always_inline void item_end(struct scratch *scratch, struct item *item, __u8 kind, __u8 index, __u16 size)
{
	item->kind = kind;
	item->which = index;
	item->size = size;
	scratch->record.size += sizeof(*item) + size;
}

/* Adds @size bytes of kernel memory. */
static __always_inline void add_bytes(struct scratch *scratch, __u8 kind, __u8 index, const void *from, __u64 size)
{
	struct item *item = item_begin(scratch);

	if (!item)
		return;
	/* what is checked must be the very register that the helper gets, for older verifiers */
	barrier_var(size);
	if (size > ITEM_MAX) {
		size = ITEM_MAX;
		scratch->record.flags |= RECORD_CUT;
	}
	if (bpf_probe_read_kernel(item + 1, size, from)) {
		scratch->record.flags |= RECORD_UNREADABLE;
		size = 0;
	}
	item_end(scratch, item, kind, index, size);
}

/* Adds a string of user memory, without its NUL. */
__noinline int add_user_string(__u64 from, __u8 kind, __u8 index)
{
	struct scratch *scratch = scratch_here();
	struct item *item = scratch ? item_begin(scratch) : NULL;
	long size;

	if (!item)
		return 0;
	size = bpf_probe_read_user_str(item + 1, ITEM_MAX, (void *)from);
	if (size <= 0) {
		scratch->record.flags |= RECORD_UNREADABLE;
		size = 1;
	} else if (size == ITEM_MAX) {
		scratch->record.flags |= RECORD_CUT;
	}
	item_end(scratch, item, kind, index, size - 1);
	return 0;
}

/* Adds a string of kernel memory, without its NUL. */
__noinline int add_string(__u64 from, __u8 kind, __u8 index)
{
	struct scratch *scratch = scratch_here();
	struct item *item = scratch ? item_begin(scratch) : NULL;
	long size;

	if (!item)
		return 0;
	size = bpf_probe_read_kernel_str(item + 1, ITEM_MAX, (void *)from);
	if (size <= 0) {
		scratch->record.flags |= RECORD_UNREADABLE;
		size = 1;
	} else if (size == ITEM_MAX) {
		scratch->record.flags |= RECORD_CUT;
	}
	item_end(scratch, item, kind, index, size - 1);
	return 0;
}

/* Builds the path of a `struct path` in the scratch's buffer and returns where it starts. */
__noinline int build_path(__u64 path)
{
	struct scratch *scratch = scratch_here();
	struct path *from = (struct path *)path;

	if (!scratch)
		return PATH_SIZE;
	return path_build(&scratch->path, BPF_CORE_READ(from, mnt), BPF_CORE_READ(from, dentry), &scratch->record.flags);
}

/* Adds the path that build_path() has left in the scratch's buffer. */
__noinline int add_built_path(__u32 start, __u8 kind, __u8 index)
{
	struct scratch *scratch = scratch_here();

	if (scratch && start < PATH_SIZE)
		add_bytes(scratch, kind, index, &scratch->path.bytes[start & (PATH_SIZE - 1)], PATH_SIZE - start);
	return 0;
}

/* @path must have been read with BPF_CORE_READ: the verifier takes typed pointers for no numbers. */
static __always_inline void add_path(const struct path *path, __u8 kind, __u8 index)
{
	add_built_path(build_path((__u64)path), kind, index);
}

#define RAW_MAX (3 * (ITEM_MAX + sizeof(struct item)))

/* Adds @size bytes that are items already. */
static __always_inline void add_raw(struct scratch *scratch, const char *items, __u64 size)
{
	__u32 used = scratch->record.size;

	barrier_var(size); /* as above */
	if (size > RAW_MAX || used > ITEMS_SIZE - RAW_MAX) {
		scratch->record.flags |= RECORD_CUT;
		return;
	}
	if (!bpf_probe_read_kernel(&scratch->items[used], size, items))
		scratch->record.size += size;
}

/* Adds where @task works: directory and terminal. */
static __always_inline void add_place(struct task_struct *task)
{
	struct fs_struct *fs = BPF_CORE_READ(task, fs);
	struct tty_struct *tty = BPF_CORE_READ(task, signal, tty);

	if (fs)
		add_path(&fs->pwd, ITEM_CWD, 0);
	if (tty)
		add_string((__u64)tty->name, ITEM_TTY, 0);
}

/*
 * Sends the scratch. Events may fill three quarters of the ring buffer; the rest
 * is kept for the records that say who is who, so that a flood of events never
 * costs the names of the processes in it.
 */
static __always_inline void scratch_send(struct scratch *scratch, struct counters *counters)
{
	__u32 zero = 0, size = scratch->record.size;
	__u64 *sequence = bpf_map_lookup_elem(&sequences, &zero);
	struct selection *selection = selected();
	bool state = scratch->record.flags & RECORD_STATE;
	/* the reader looks by itself, but for a new cgroup: its rules must be there before anybody acts in it */
	__u64 wake = scratch->record.hook == HOOK_CGROUP ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
	bool full;
	long error = -1;

	if (!sequence || !selection)
		return;
	scratch->record.sequence = __sync_fetch_and_add(sequence, 1);
	barrier_var(size); /* as above */
	if (size > ITEMS_SIZE)
		size = ITEMS_SIZE;
	size += sizeof(scratch->record);
	scratch->record.size = size;
	full = !state && bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) > selection->ring_limit;
	if (!full)
		error = bpf_ringbuf_output(&records, &scratch->record, size, wake);
	if (state)
		*(error ? &counters->state_lost : &counters->state_sent) += 1;
	else
		*(error ? &counters->lost : &counters->sent) += 1;
}

#endif
