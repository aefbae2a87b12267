/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory without a file that becomes code, seen when the call that made it so is
 * over: mmap(2), mprotect(2), pkey_mprotect(2).
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
#define RANGE_MAPPINGS 1024 /* of one call, until we give up looking for one without a file */

/* True if what is mapped with @protection becomes code. */
static __always_inline bool becomes_code(struct task_struct *task, __u64 protection)
{
	return protection & PROT_EXEC || (protection & PROT_READ && task->personality & READ_IMPLIES_EXEC);
}

struct range_walk {
	__u64 at, end;
	bool has_no_file;
};

static long mapping_step(struct task_struct *task, struct vm_area_struct *mapping, struct range_walk *walk)
{
	walk->at = mapping->vm_end;
	walk->has_no_file = !mapping->vm_file;
	return 0;
}

static long range_step(__u32 step, struct range_walk *walk)
{
	if (walk->at >= walk->end)
		return 1;
	/* what somebody is about to change, or has taken away, is not known: better told than not */
	if (bpf_find_vma(bpf_get_current_task_btf(), walk->at, mapping_step, walk, 0))
		walk->has_no_file = true;
	return walk->has_no_file;
}

/* True if some of the @size bytes at @address have no file behind them, or if that cannot be told. */
static __always_inline bool is_anonymous(__u64 address, __u64 size)
{
	struct range_walk walk = {.at = address, .end = address + size};

	bpf_loop(RANGE_MAPPINGS, range_step, &walk, 0);
	return walk.has_no_file || walk.at < walk.end;
}

/*
 * Prepares the question about the call in @slot, which was let pass and whose
 * record is begun; 0 if it has made no code of memory without a file.
 */
__noinline int ask_about_memory(__u32 slot)
{
	struct ruling *ruling = question_begin(CLASS_ANONYMOUS_MAP_EXEC);
	struct task_struct *task = bpf_get_current_task_btf();
	struct draft *draft = draft_here();
	__u64 *arguments;

	if (!draft || !ruling)
		return 0;
	arguments = draft->record.arguments;
	if (slot == COMPAT_SLOT + I386_MMAP) {
		__u32 words[ARGUMENT_COUNT] = {};

		bpf_probe_read_user(words, sizeof(words), (void *)arguments[0]);
		for (int i = 0; i < ARGUMENT_COUNT; i++)
			arguments[i] = words[i];
		/* another thread may have changed them since: what was made of them is asked too */
		if (!becomes_code(task, arguments[2]) ||
		    !(arguments[3] & MAP_ANONYMOUS || is_anonymous(draft->record.result, PAGE_SIZE)))
			return 0;
	} else if (slot == __NR_mmap || slot == COMPAT_SLOT + I386_MMAP2) {
		if (!(arguments[3] & MAP_ANONYMOUS))
			return 0;
	} else if (!is_anonymous(arguments[0], arguments[1])) {
		return 0;
	}
	ruling->question.met = CONDITION_READ;
	question_describe(&ruling->question, task, NULL);
	return 1;
}

#endif
