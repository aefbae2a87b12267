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

static __always_inline struct draft *draft_of(struct task_struct *task, __u16 hook)
{
	struct selection *selection = selected();
	struct draft *draft = draft_here();

	if (!draft || !selection)
		return NULL;
	__builtin_memset(&draft->record, 0, sizeof(draft->record));
	draft->record.time_ns = bpf_ktime_get_boot_ns();
	draft->record.uid = bpf_get_current_uid_gid();
	draft->record.cpu = bpf_get_smp_processor_id();
	draft->record.hook = hook;
	task_describe(&draft->record, task, selection);
	return draft;
}

/*
 * The functions that follow, and those below that are not inlined, are verified
 * once, not once a call, as they take numbers only; the draft they work on is
 * that of this CPU. That keeps loading quick and the stack small.
 */

/* Begins a draft about the current task. */
__noinline int draft_current(__u16 hook)
{
	return draft_of(bpf_get_current_task_btf(), hook) ? 0 : -1;
}

static __always_inline struct draft *draft_begin(__u16 hook)
{
	return draft_current(hook) ? NULL : draft_here();
}

/* Where the next item goes, or NULL if a string of ITEM_MAX bytes might not fit any more. */
static __always_inline struct item *item_begin(struct draft *draft)
{
	__u32 used = draft->record.size;

	if (used > ITEMS_SIZE - ITEM_MAX - sizeof(struct item)) {
		draft->record.flags |= RECORD_CUT;
		return NULL;
	}
	return (struct item *)&draft->items[used];
}

static __always_inline void item_end(struct draft *draft, struct item *item, __u8 kind, __u8 index, __u16 size)
{
	item->kind = kind;
	item->which = index;
	item->size = size;
	draft->record.size += sizeof(*item) + size;
}

/* Adds @size bytes of kernel memory. */
static __always_inline void add_bytes(struct draft *draft, __u8 kind, __u8 index, const void *from, __u64 size)
{
	struct item *item = item_begin(draft);

	if (!item)
		return;
	/* what is checked must be the very register that the helper gets, for older verifiers */
	barrier_var(size);
	if (size > ITEM_MAX) {
		size = ITEM_MAX;
		draft->record.flags |= RECORD_CUT;
	}
	if (bpf_probe_read_kernel(item + 1, size, from)) {
		draft->record.flags |= RECORD_UNREADABLE;
		size = 0;
	}
	item_end(draft, item, kind, index, size);
}

/* Adds a string of user memory, without its NUL. */
__noinline int add_user_string(__u64 from, __u8 kind, __u8 index)
{
	struct draft *draft = draft_here();
	struct item *item = draft ? item_begin(draft) : NULL;
	long size;

	if (!item)
		return 0;
	size = bpf_probe_read_user_str(item + 1, ITEM_MAX, (void *)from);
	if (size <= 0) {
		draft->record.flags |= RECORD_UNREADABLE;
		size = 1;
	} else if (size == ITEM_MAX) {
		draft->record.flags |= RECORD_CUT;
	}
	item_end(draft, item, kind, index, size - 1);
	return 0;
}

/* Adds a string of kernel memory, without its NUL. */
__noinline int add_string(__u64 from, __u8 kind, __u8 index)
{
	struct draft *draft = draft_here();
	struct item *item = draft ? item_begin(draft) : NULL;
	long size;

	if (!item)
		return 0;
	size = bpf_probe_read_kernel_str(item + 1, ITEM_MAX, (void *)from);
	if (size <= 0) {
		draft->record.flags |= RECORD_UNREADABLE;
		size = 1;
	} else if (size == ITEM_MAX) {
		draft->record.flags |= RECORD_CUT;
	}
	item_end(draft, item, kind, index, size - 1);
	return 0;
}

/* Builds the path of a `struct path` in the draft's buffer and returns where it starts. */
__noinline int build_path(__u64 path)
{
	struct draft *draft = draft_here();
	struct path *from = (struct path *)path;

	if (!draft)
		return PATH_SIZE;
	return path_build(&draft->path, BPF_CORE_READ(from, mnt), BPF_CORE_READ(from, dentry), &draft->record.flags);
}

/* Adds the path that build_path() has left in the draft's buffer. */
__noinline int add_built_path(__u32 start, __u8 kind, __u8 index)
{
	struct draft *draft = draft_here();

	if (draft && start < PATH_SIZE)
		add_bytes(draft, kind, index, &draft->path.bytes[start & (PATH_SIZE - 1)], PATH_SIZE - start);
	return 0;
}

/* @path must have been read with BPF_CORE_READ: the verifier takes typed pointers for no numbers. */
static __always_inline void add_path(const struct path *path, __u8 kind, __u8 index)
{
	add_built_path(build_path((__u64)path), kind, index);
}

#define RAW_MAX (3 * (ITEM_MAX + sizeof(struct item)))

/* Adds @size bytes that are items already. */
static __always_inline void add_raw(struct draft *draft, const char *items, __u64 size)
{
	__u32 used = draft->record.size;

	barrier_var(size); /* as above */
	if (size > RAW_MAX || used > ITEMS_SIZE - RAW_MAX) {
		draft->record.flags |= RECORD_CUT;
		return;
	}
	if (!bpf_probe_read_kernel(&draft->items[used], size, items))
		draft->record.size += size;
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
 * Sends the draft. Events may fill three quarters of the ring buffer; the rest
 * is kept for the records that say who is who, so that a flood of events never
 * costs the names of the processes in it.
 */
static __always_inline void draft_send(struct draft *draft, struct counters *counters)
{
	__u32 zero = 0, size = draft->record.size;
	__u64 *sequence = bpf_map_lookup_elem(&sequences, &zero);
	struct selection *selection = selected();
	bool state = draft->record.flags & RECORD_STATE;
	/* the reader looks by itself, but for a new cgroup: its rules must be there before anybody acts in it */
	__u64 wake = draft->record.hook == HOOK_CGROUP ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
	bool full;
	long error = -1;

	if (!sequence || !selection)
		return;
	draft->record.sequence = __sync_fetch_and_add(sequence, 1);
	barrier_var(size); /* as above */
	if (size > ITEMS_SIZE)
		size = ITEMS_SIZE;
	size += sizeof(draft->record);
	draft->record.size = size;
	full = !state && bpf_ringbuf_query(&records, BPF_RB_AVAIL_DATA) > selection->ring_limit;
	if (!full)
		error = bpf_ringbuf_output(&records, &draft->record, size, wake);
	if (state)
		*(error ? &counters->state_lost : &counters->state_sent) += 1;
	else
		*(error ? &counters->lost : &counters->sent) += 1;
}

#endif
