// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Processes: who they are, and what they turn into.
 *
 *   tp_btf/sched_process_exec   a new image, seen after the kernel resolved it
 *   tp_btf/sched_process_fork   a new process
 *   tp_btf/sched_process_exit   the last thread of a process has ended
 *
 * Their records are sent whatever is selected: without them nobody else's
 * record could be given a name.
 */
#include "lib/arguments.bpf.h"
#include "lib/observe.bpf.h"

/* The strings of argv as the kernel has laid them out for the new image. */
static __always_inline void add_new_argv(struct scratch *scratch, struct mm_struct *mm)
{
	__u64 start = mm->arg_start;
	__u64 size = mm->arg_end - start;
	__u32 used = scratch->record.size;
	struct item *item;

	if (used > ITEMS_SIZE - ARGV_SIZE - sizeof(*item)) {
		scratch->record.flags |= RECORD_CUT;
		return;
	}
	item = (struct item *)&scratch->items[used];
	if (size > ARGV_SIZE) {
		size = ARGV_SIZE;
		scratch->record.flags |= RECORD_CUT;
	}
	if (bpf_probe_read_user(item + 1, size, (void *)start)) {
		scratch->record.flags |= RECORD_UNREADABLE;
		size = 0;
	}
	item_end(scratch, item, ITEM_ARGV, 0, size);
}

/*
 * Prepares the question of class @of about the image whose path begins at @start of the scratch's buffer, if it is
 * asked; @flags say how the path could be read.
 */
__noinline int ask_about_exec(__u32 of, __u32 start, __u32 argv_size, __u16 flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct decision_work *work = question_begin(of);
	struct scratch *scratch = scratch_here();

	if (!work || !scratch)
		return 0;
	if (of == CLASS_FILELESS_EXEC && !is_fileless(&scratch->path, start))
		return 0;
	if (of == CLASS_EXEC && !(is_guest(task) && BPF_CORE_READ(task, signal, tty)))
		return 0;
	work->question.start = start;
	work->question.met = CONDITION_READ;
	work->question.images = 1; /* who acted is the image that is gone */
	work->question.unreadable = !!(flags & (RECORD_CUT | RECORD_UNREADABLE));
	work->question.argv_at = sizeof(struct item);
	work->question.argv_size = argv_size;
	question_describe(&work->question, task, BPF_CORE_READ(task, mm, exe_file, f_inode));
	return 1;
}

/* Decides about the same after the fact: enum decision. */
__noinline int decide_exec(__u32 start, __u32 argv_size, __u16 flags)
{
	static const __u32 classes[] = {CLASS_PROCESS, CLASS_FILELESS_EXEC, CLASS_EXEC};
	struct decision_work *work = decision_work_here();
	int decision = DECISION_NONE;
	__u32 traced = traced_here();

	if (!work || !(traced & EXEC_CLASSES))
		return DECISION_NONE;
	act_begin(work);
	for (int i = 0; i < 3; i++)
		if ((traced & class_bit(classes[i])) && ask_about_exec(classes[i], start, argv_size, flags))
			decision = question_put(work);
	act_end(work);
	return decision;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task, int old_pid, struct linux_binprm *bprm)
{
	struct counters *counters = counters_of(OPERATION_PROCESS);
	struct selection *selection = selected();
	struct mm_struct *mm = task->mm;
	struct pending *pending;
	struct decision_work *work = decision_work_here();
	__u32 decision = DECISION_NONE, size;
	struct file *executable;
	struct scratch *scratch;
	int reason;

	scratch = scratch_begin(HOOK_EXEC);
	if (!scratch || !work || !counters || !selection || !mm)
		return 0;
	pending = bpf_task_storage_get(&pendings, task, NULL, 0);
	if (pending) {
		__builtin_memcpy(scratch->record.arguments, pending->arguments, sizeof(pending->arguments));
		scratch->record.syscall = pending->slot;
		/* the caller's: the new image may be of the other kind */
		scratch->record.flags |= pending->flags & RECORD_COMPAT;
	}
	if (bprm->interp != bprm->filename)
		scratch->record.flags |= RECORD_SCRIPT;

	add_new_argv(scratch, mm);
	size = scratch->record.size;
	executable = BPF_CORE_READ(mm, exe_file);
	if (executable) {
		__u16 of_argv = scratch->record.flags, of_path;
		__u32 start;

		scratch->record.flags = 0;
		start = build_path((__u64)&executable->f_path);
		of_path = scratch->record.flags;
		scratch->record.flags |= of_argv;
		add_built_path(start, ITEM_EXECUTABLE, 0);
		decision = decide_exec(start, size > sizeof(struct item) ? size - sizeof(struct item) : 0, of_path);
		if (is_deleted(BPF_CORE_READ(executable, f_path.dentry)))
			scratch->record.flags |= RECORD_DELETED;
	}
	add_place(task);
	add_string((__u64)BPF_CORE_READ(bprm, filename), ITEM_FILENAME, 0);

	counters->seen++;
	reason = filter_of(selection, OPERATION_PROCESS, task, 0, scratch->record.cgroup_id);
	if (reason < 0 && decision >= DECISION_AUDIT)
		reason = FILTER_ALERT;
	if (reason >= 0) {
		counters->filtered[reason]++;
		scratch->record.flags |= RECORD_STATE;
	}
	size = scratch->record.size;
	scratch_send(scratch, counters);
	if (decision >= DECISION_AUDIT) {
		scratch->record.size = size;
		scratch->record.flags &= ~RECORD_STATE;
		alert_send(scratch, work, false);
	}
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_fork, struct task_struct *parent, struct task_struct *child)
{
	struct counters *counters = counters_of(OPERATION_PROCESS);
	struct selection *selection = selected();
	struct scratch *scratch;

	if (child->tgid == parent->tgid) /* a thread */
		return 0;
	scratch = scratch_of(child, HOOK_FORK);
	if (!scratch || !counters || !selection)
		return 0;
	scratch->record.arguments[0] = parent->tgid;
	scratch->record.arguments[1] = cgroup_id_of(parent, selection);
	if (!selection->lifecycle) {
		scratch->record.flags |= RECORD_STATE;
	} else {
		int reason = filter_of(selection, OPERATION_PROCESS, parent, 0, scratch->record.cgroup_id);

		counters->seen++;
		add_place(child);
		if (reason >= 0) {
			counters->filtered[reason]++;
			scratch->record.flags |= RECORD_STATE;
		}
	}
	scratch_send(scratch, counters);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	struct counters *counters = counters_of(OPERATION_PROCESS);
	struct selection *selection = selected();
	struct scratch *scratch;

	if (task->signal->live.counter) /* other threads go on */
		return 0;
	scratch = scratch_begin(HOOK_EXIT);
	if (!scratch || !counters || !selection)
		return 0;
	scratch->record.result = task->signal->group_exit_code ? task->signal->group_exit_code : task->exit_code;
	if (!selection->lifecycle) {
		scratch->record.flags |= RECORD_STATE;
	} else {
		int reason = filter_of(selection, OPERATION_PROCESS, task, 0, scratch->record.cgroup_id);

		counters->seen++;
		add_place(task);
		if (reason >= 0) {
			counters->filtered[reason]++;
			scratch->record.flags |= RECORD_STATE;
		}
	}
	scratch_send(scratch, counters);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
