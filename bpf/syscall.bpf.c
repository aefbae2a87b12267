// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * System calls, as the catalogue describes them.
 *
 *   tp_btf/sys_enter   copies what user memory holds and the call will use up
 *   tp_btf/sys_exit    tells what was done, and what came of it
 *
 * Both are entered for every system call of the machine, so they leave at once
 * for a call that is not in the catalogue.
 */
#include "lib/arguments.bpf.h"
#include "lib/memory.bpf.h"
#include "lib/observe.bpf.h"
#include "lib/query.bpf.h"
#include "lib/reported.bpf.h"
#include <asm/unistd_64.h>

SEC("tp_btf/sys_enter")
int BPF_PROG(syscall_enter, struct pt_regs *regs, long number)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct selection *selection;
	struct syscall *syscall;
	struct pending *pending;
	struct scratch *scratch;
	__u32 slot = slot_of(task, number);
	__u32 size, traced;

	syscall = bpf_map_lookup_elem(&syscalls, &slot);
	if (!syscall || !syscall->at_entry)
		return 0;
	selection = selected();
	scratch = scratch_here();
	if (!selection || !scratch)
		return 0;
	/* how it will end is not known yet: any result will do */
	traced = traced_here();
	if (!(selection->operations >> syscall->operation & 1) && !traced)
		return 0;
	if (syscall->object == OBJECT_IMAGE && (traced & EXEC_CLASSES)) /* while the image is there */
		find_source(subject_here().set, 0);

	scratch->record.size = 0;
	scratch->record.flags = is_compat(task) ? RECORD_COMPAT : 0;
	load_arguments(scratch->record.arguments, regs, task);
	if (slot == COMPAT_SLOT + I386_SOCKETCALL) {
		__u32 words[ARGUMENT_COUNT] = {};

		slot = SOCKETCALL_SLOT + scratch->record.arguments[0];
		bpf_probe_read_user(words, sizeof(words), (void *)scratch->record.arguments[1]);
		for (int i = 0; i < ARGUMENT_COUNT; i++)
			scratch->record.arguments[i] = words[i];
		syscall = bpf_map_lookup_elem(&syscalls, &slot);
		if (!syscall || !syscall->known)
			return 0;
	}
	if (syscall->object != OBJECT_IMAGE)
		add_arguments(slot);

	pending = bpf_task_storage_get(&pendings, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!pending)
		return 0;
	size = scratch->record.size;
	if (size > sizeof(pending->items)) {
		size = 0;
		scratch->record.flags |= RECORD_CUT;
	}
	bpf_probe_read_kernel(pending->items, size, scratch->items);
	__builtin_memcpy(pending->arguments, scratch->record.arguments, sizeof(pending->arguments));
	pending->slot = slot;
	pending->size = size;
	pending->flags = scratch->record.flags;
	return 0;
}

/* True if the strings that were kept when the call began are all that is needed. */
static __always_inline bool has_strings(const struct pending *pending, const struct syscall *syscall)
{
	return syscall->object != OBJECT_IMAGE && !(pending->flags & RECORD_UNREADABLE);
}

/* Adds the paths that the kernel's own objects gave while the call ran. */
__noinline int add_named(__u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct named *named = bpf_task_storage_get(&nameds, task, NULL, 0);
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct scratch *scratch = scratch_here();
	int path = 0;

	if (!named || !syscall || !scratch)
		return 0;
	for (int i = 0; i < ARGUMENT_COUNT; i++) {
		__u32 start;

		if (syscall->arguments[i] != ARGUMENT_PATH || path > 1)
			continue;
		start = named->starts[path & 1];
		if (named->known[path & 1] && start < PATH_SIZE)
			add_bytes(scratch, ITEM_OBJECT, i, &named->paths[path & 1].bytes[start & (PATH_SIZE - 1)],
				  PATH_SIZE - start);
		path++;
	}
	scratch->record.flags |= named->flags;
	bpf_task_storage_delete(&nameds, task);
	return 0;
}

/* Adds the flags of openat2(2), which are no argument of their own. */
static __always_inline void add_how(struct scratch *scratch, __u64 how)
{
	struct item *item = item_begin(scratch);

	if (!item)
		return;
	if (bpf_probe_read_user(item + 1, OPEN_HOW_SIZE, (void *)how))
		scratch->record.flags |= RECORD_UNREADABLE;
	else
		item_end(scratch, item, ITEM_ARGUMENT, 2, OPEN_HOW_SIZE);
}

/*
 * Finds what the call in @slot left behind, and adds the path of a file to the
 * scratch, whose call and result are known. 1 if that path is not one that the
 * operator wants to see.
 */
__noinline int find_object(__u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct selection *selection = selected();
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	struct file *file = NULL;
	struct sock *sk = NULL;
	bool unwanted;
	__u32 start;
	__s64 result;

	if (!syscall || !selection || !work || !scratch)
		return 0;
	result = scratch->record.result;
	if (syscall->object == OBJECT_OPENED && result >= 0)
		file = file_of(task, result);
	else if (syscall->object == OBJECT_FILE)
		file = file_of(task, scratch->record.arguments[0]);
	else if (syscall->object == OBJECT_ACCEPTED && result >= 0)
		sk = sock_of(task, result);
	else if ((syscall->object == OBJECT_PEER || syscall->object == OBJECT_LOCAL) && result >= 0)
		sk = sock_of(task, scratch->record.arguments[0]);
	work->file = (__u64)file;
	work->sock = (__u64)sk;
	work->file_start = PATH_SIZE;
	if (!file)
		return 0;
	start = build_path((__u64)&file->f_path);
	work->file_start = start;
	unwanted = selection->prefix_size && !path_wanted(selection, &scratch->path, start);
	add_built_path(start, ITEM_OBJECT, 0);
	if (is_deleted(BPF_CORE_READ(file, f_path.dentry)))
		scratch->record.flags |= RECORD_DELETED;
	return unwanted;
}

/* Adds to the scratch all else that the call in @slot was about. */
__noinline int describe_call(__u32 slot)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct syscall *syscall = bpf_map_lookup_elem(&syscalls, &slot);
	struct pending *pending = bpf_task_storage_get(&pendings, task, NULL, 0);
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();

	if (!syscall || !work || !scratch)
		return 0;
	add_place(task);
	if (syscall->arguments[2] == ARGUMENT_HOW)
		add_how(scratch, scratch->record.arguments[2]);
	if (work->sock) {
		add_socket(work->sock, 0, syscall->object != OBJECT_LOCAL);
	} else if (pending && has_strings(pending, syscall)) {
		add_raw(scratch, pending->items, pending->size);
		scratch->record.flags |= pending->flags;
	} else if (work->file_start == PATH_SIZE) { /* no file, or none whose path could be read */
		if (syscall->at_entry && syscall->object != OBJECT_IMAGE)
			scratch->record.flags |= RECORD_LATE;
		add_arguments(slot);
	}
	add_named(slot);
	return 0;
}

/* The arguments as they were when the call began, if they were kept. */
static __always_inline void take_arguments(__u64 *arguments, const struct pending *pending,
					   struct pt_regs *regs, struct task_struct *task)
{
	if (pending)
		__builtin_memcpy(arguments, pending->arguments, sizeof(pending->arguments));
	else
		load_arguments(arguments, regs, task);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(syscall_exit, struct pt_regs *regs, long result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pending *pending = NULL;
	struct selection *selection;
	struct counters *counters;
	struct syscall *syscall;
	struct scratch *scratch;
	__u32 slot = slot_of(task, regs->orig_ax), traced, decision = DECISION_NONE;
	struct decision_work *work;
	int reason;

	reported_forget(task);
	syscall = bpf_map_lookup_elem(&syscalls, &slot);
	if (!syscall || !syscall->known)
		return 0;
	if (syscall->object == OBJECT_MEMORY) {
		if (result < 0 || !(becomes_code(task, regs->dx) || slot == COMPAT_SLOT + I386_MMAP))
			return 0;
		traced = traced_here();
		if (!(traced & MEMORY_CLASSES))
			return 0;
		scratch = scratch_begin(HOOK_SYSCALL);
		if (scratch) {
			scratch->record.syscall = slot;
			scratch->record.result = result;
			if (is_compat(task))
				scratch->record.flags |= RECORD_COMPAT;
			load_arguments(scratch->record.arguments, regs, task);
		}
		work = decision_work_here();
		if (scratch && work && ask_about_memory(slot, traced) && decide() >= DECISION_AUDIT) {
			add_place(task);
			alert_send(scratch, work, false);
		}
		return 0;
	}
	if (syscall->at_entry)
		pending = bpf_task_storage_get(&pendings, task, NULL, 0);
	if (slot == COMPAT_SLOT + I386_SOCKETCALL) { /* what it stands for was read when it began */
		if (!pending)
			return 0;
		slot = pending->slot;
		syscall = bpf_map_lookup_elem(&syscalls, &slot);
		if (!syscall || !syscall->known)
			goto done;
	}
	if (syscall->object == OBJECT_IMAGE && result >= 0)
		goto done;
	if (syscall->object == OBJECT_QUERY) {
		scratch = scratch_here();
		if (scratch) {
			take_arguments(scratch->call, pending, regs, task);
			query_report(slot, result);
		}
		goto done;
	}
	selection = selected();
	counters = counters_of(syscall->operation);
	if (!selection || !counters)
		goto done;
	counters->seen++;
	reason = filter_of(selection, syscall->operation, task, result, cgroup_id_of(task, selection));
	traced = result >= 0 ? traced_here() : 0;
	if (reason >= 0 && !traced) {
		counters->filtered[reason]++;
		goto done;
	}
	scratch = scratch_begin(HOOK_SYSCALL);
	if (!scratch)
		goto done;
	scratch->record.syscall = slot;
	scratch->record.result = result;
	if (is_compat(task))
		scratch->record.flags |= RECORD_COMPAT;
	take_arguments(scratch->record.arguments, pending, regs, task);
	if (find_object(slot) && reason < 0)
		reason = FILTER_PATH;
	work = decision_work_here();
	if (traced && work) {
		act_begin(work);
		for (__u32 i = 0; i < CALL_QUESTIONS && decision < DECISION_BLOCK; i++)
			if (ask_about_call(slot, traced, i))
				decision = question_put(work);
		act_end(work);
	}
	if (decision >= DECISION_AUDIT && reason < 0)
		reason = FILTER_ALERT;
	if (reason >= 0) {
		barrier_var(reason);
		if ((__u32)reason < FILTER_COUNT)
			counters->filtered[reason]++;
		if (decision < DECISION_AUDIT)
			goto done;
	}
	describe_call(slot);
	if (decision < DECISION_AUDIT)
		scratch_send(scratch, counters);
	else if (work)
		alert_send(scratch, work, false);
done:
	if (pending)
		bpf_task_storage_delete(&pendings, task);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
