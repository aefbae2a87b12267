/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory that becomes code, seen when the call that made it so is over: without
 * a file, by mmap(2), mprotect(2), pkey_mprotect(2); of a file that is mapped
 * instead of executed, by mmap(2).
 */
#ifndef HAUBERK_MEMORY_BPF_H
#define HAUBERK_MEMORY_BPF_H

#include "kernel.h"
#include "lib/observe.bpf.h"
#include <asm/unistd_64.h>

#define I386_MMAP 90	/* arch/x86/entry/syscalls/syscall_32.tbl; its arguments lie in user memory */
#define I386_MMAP2 192
#define PROT_READ 1	/* include/uapi/asm-generic/mman-common.h */
#define PROT_EXEC 4
#define MAP_ANONYMOUS 0x20
#define READ_IMPLIES_EXEC 0x0400000 /* include/uapi/linux/personality.h */
#define PAGE_SIZE 4096
#define MEMORY_CLASSES (1 << CLASS_ANONYMOUS_MAP_EXEC | 1 << CLASS_MAP_EXEC)
#define RANGE_MAPPINGS 1024 /* of one call, until we give up looking for one without a file */

/* True if what is mapped with @protection becomes code. */
static __always_inline bool becomes_code(struct task_struct *task, __u64 protection)
{
	return protection & PROT_EXEC || (protection & PROT_READ && task->personality & READ_IMPLIES_EXEC);
}

struct range_walk {
	__u64 at, end;
	struct file *file; /* of the last mapping */
	bool has_no_file;
};

static long mapping_step(struct task_struct *task, struct vm_area_struct *mapping, struct range_walk *walk)
{
	walk->at = mapping->vm_end;
	walk->file = BPF_CORE_READ(mapping, vm_file); /* a number to the verifier */
	walk->has_no_file = !walk->file;
	return 0;
}

static long range_step(__u32 step, struct range_walk *walk)
{
	if (walk->at >= walk->end)
		return 1;
	/* what somebody is about to change, or has taken away, is not known: better reported than not */
	if (bpf_find_vma(bpf_get_current_task_btf(), walk->at, mapping_step, walk, 0))
		walk->has_no_file = true;
	return walk->has_no_file;
}

/* True if some of the @size bytes at @address have no file behind them, or if that is not known. */
static __always_inline bool is_anonymous(__u64 address, __u64 size)
{
	struct range_walk walk = {.at = address, .end = address + size};

	bpf_loop(RANGE_MAPPINGS, range_step, &walk, 0);
	return walk.has_no_file || walk.at < walk.end;
}

/* Prepares the question about code that was mapped at @address of a file; 0 if it is that of the running image. */
__noinline int ask_about_mapped_file(__u64 address)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct decision_work *work = question_begin(CLASS_MAP_EXEC);
	struct range_walk walk = {.at = address};
	struct scratch *scratch = scratch_here();
	struct inode *inode;
	struct file *file;

	if (!work || !scratch)
		return 0;
	if (bpf_find_vma(task, address, mapping_step, &walk, 0))
		walk.file = file_of(task, scratch->record.arguments[4]); /* somebody is about to change the mapping */
	file = walk.file;
	if (!file)
		return 0;
	inode = BPF_CORE_READ(file, f_inode);
	if (inode == BPF_CORE_READ(task, mm, exe_file, f_inode))
		return 0;
	work->question.start = build_path((__u64)&file->f_path);
	work->question.unreadable = !!(scratch->record.flags & (RECORD_CUT | RECORD_UNREADABLE));
	work->question.met = CONDITION_READ;
	add_built_path(work->question.start, ITEM_OBJECT, 0);
	question_describe(&work->question, task, inode);
	return 1;
}

/*
 * Prepares the question about the call in @slot, which was let pass and whose
 * record is begun; 0 if it has made no code that rules of @traced are about.
 */
__noinline int ask_about_memory(__u32 slot, __u32 traced)
{
	struct decision_work *work = question_begin(CLASS_ANONYMOUS_MAP_EXEC);
	struct task_struct *task = bpf_get_current_task_btf();
	struct scratch *scratch = scratch_here();
	__u64 *arguments;

	if (!scratch || !work)
		return 0;
	arguments = scratch->record.arguments;
	if (slot == COMPAT_SLOT + I386_MMAP) {
		__u32 words[ARGUMENT_COUNT] = {};

		bpf_probe_read_user(words, sizeof(words), (void *)arguments[0]);
		for (int i = 0; i < ARGUMENT_COUNT; i++)
			arguments[i] = words[i];
		/* another thread may have changed them since: what was made of them is asked too */
		if (!becomes_code(task, arguments[2]))
			return 0;
		if (!(arguments[3] & MAP_ANONYMOUS || is_anonymous(scratch->record.result, PAGE_SIZE)))
			return traced & 1 << CLASS_MAP_EXEC ? ask_about_mapped_file(scratch->record.result) : 0;
	} else if (slot == __NR_mmap || slot == COMPAT_SLOT + I386_MMAP2) {
		if (!(arguments[3] & MAP_ANONYMOUS))
			return traced & 1 << CLASS_MAP_EXEC ? ask_about_mapped_file(scratch->record.result) : 0;
	} else if (!(traced & 1 << CLASS_ANONYMOUS_MAP_EXEC) || !is_anonymous(arguments[0], arguments[1])) {
		return 0;
	}
	work->question.met = CONDITION_READ;
	question_describe(&work->question, task, NULL);
	return 1;
}

#endif
