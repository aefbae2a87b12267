/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is wanted: every event is counted as seen, and is then either left out
 * for one reason or sent. Nothing here decides what a workload may do.
 */
#ifndef HAUBERK_VISIBILITY_BPF_H
#define HAUBERK_VISIBILITY_BPF_H

#include "kernel.h"
#include "abi.h"
#include "lib/path.bpf.h"

/* 0 -> what the operator wants to see */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct selection);
} selections SEC(".maps");

/* enum operation -> the ledger's kernel side, one per CPU */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OPERATION_COUNT);
	__type(key, __u32);
	__type(value, struct counters);
} ledger SEC(".maps");

/*
 * cgroup id -> which of its events are to be left out: bits of enum operation,
 * or UNWANTED_WHOLLY. Filled by the agent, which alone knows what a cgroup is;
 * until then it leaves the events out itself.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} unwanted_groups SEC(".maps");

/* the same for one image of one process */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct image);
	__type(value, __u8);
} unwanted_images SEC(".maps");

static __always_inline struct counters *counters_of(__u32 operation)
{
	return bpf_map_lookup_elem(&ledger, &operation);
}

static __always_inline struct selection *selected(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&selections, &zero);
}

static __always_inline bool result_wanted(const struct selection *selection, __s64 result)
{
	__u64 error = -result;

	if (result >= 0)
		return selection->passed;
	barrier_var(error);
	if (error >= ERRNO_COUNT)
		return selection->errnos[0];
	return selection->errnos[error];
}

/* Somebody who was not let become another user: reported however little is visible. */
static __always_inline bool is_refused_call(__u32 operation, __s64 result)
{
	return operation == OPERATION_SYSCALL && (result == -EPERM || result == -EACCES);
}

/* The reason to leave out an event of @task, or -1. The path is not known yet. */
static __always_inline int filter_of(const struct selection *selection, __u32 operation,
				     struct task_struct *task, __s64 result, __u64 cgroup_id)
{
	if (!(selection->operations >> operation & 1))
		return FILTER_OPERATION;
	if (!result_wanted(selection, result))
		return FILTER_RESULT;
	if (selection->by_group) {
		__u32 *unwanted = bpf_map_lookup_elem(&unwanted_groups, &cgroup_id);

		if (unwanted && *unwanted & UNWANTED_WHOLLY)
			return FILTER_WORKLOAD;
		if (unwanted && *unwanted >> operation & 1 && !is_refused_call(operation, result))
			return FILTER_VISIBILITY;
	}
	if (selection->by_image) {
		struct image image = {
			.start_ns = task->group_leader->start_boottime,
			.tgid = task->tgid,
			.exec_id = task->self_exec_id,
		};

		if (bpf_map_lookup_elem(&unwanted_images, &image))
			return FILTER_PROCESS;
	}
	return -1;
}

struct prefix_match {
	const struct selection *selection;
	const struct path_buffer *buffer;
	__u32 start;
	bool differs;
};

static long prefix_step(__u32 step, struct prefix_match *match)
{
	__u32 at = match->start + step;

	if (step >= PREFIX_SIZE || at >= PATH_SIZE)
		return 1;
	match->differs = match->selection->prefix[step] != match->buffer->bytes[at];
	return match->differs;
}

/*
 * True if the path that starts at @start of @buffer begins as the operator
 * wants. Only the kernel's own paths are held against the prefix here; a path
 * that a caller wrote must be resolved first, which the agent does.
 */
static __always_inline bool path_wanted(const struct selection *selection,
					const struct path_buffer *buffer, __u32 start)
{
	struct prefix_match match = {.selection = selection, .buffer = buffer, .start = start};

	if (PATH_SIZE - start < selection->prefix_size)
		return false;
	bpf_loop(selection->prefix_size, prefix_step, &match, 0);
	return !match.differs;
}

#endif
