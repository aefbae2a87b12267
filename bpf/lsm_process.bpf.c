// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What may be executed.
 *
 *   lsm/bprm_check_security   sees every image: a script first, and then its interpreter
 *
 * The arguments are those that the kernel has copied for the new image: nobody can change them
 * any more. Those of an interpreter are what it is called with, the script among them.
 */
#include "lib/judge.bpf.h"
#include "lib/pages.bpf.h"
#include "lib/presets.bpf.h"

#define ARGV_PAGES (ARGV_SIZE / PAGE_SIZE + 1)

struct strings_walk {
	struct scratch *scratch;
	__u32 at, end;
	__u32 left; /* strings that have not ended yet */
};

static long strings_step(__u32 step, struct strings_walk *walk)
{
	__u32 at = walk->at;

	if (at >= walk->end || at >= ITEMS_SIZE)
		return 1;
	walk->at = at + 1;
	if (!walk->scratch->items[at])
		walk->left--;
	return !walk->left;
}

/*
 * Puts the first @count of the strings that lie at @address of the address space
 * with the top table @table into the scratch, as its first item: the arguments of
 * the new image. Behind them lies the environment, @size bytes in all.
 */
__noinline int add_copied_argv(__u64 table, __u64 address, __u64 size, __u32 count)
{
	struct strings_walk walk = {.left = count};
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	__u32 done = sizeof(struct item), end, some;
	__u64 page;

	if (!work || !scratch || !walk.left)
		return 0;
	end = done + (size < ARGV_SIZE ? size : ARGV_SIZE);
	for (int i = 0; i < ARGV_PAGES && done < end; i++) {
		some = PAGE_SIZE - (address & (PAGE_SIZE - 1));
		if (some > end - done)
			some = end - done;
		page = page_at(table, address);
		barrier_var(some); /* for older verifiers, as in add_bytes() */
		if (!page || done > ARGV_SIZE || some > PAGE_SIZE ||
		    bpf_probe_read_kernel(&scratch->items[done], some, (void *)(page + (address & (PAGE_SIZE - 1))))) {
			scratch->record.flags |= RECORD_UNREADABLE;
			break;
		}
		address += some;
		done += some;
	}
	walk.scratch = scratch;
	walk.at = sizeof(struct item) + work->zero;
	walk.end = done;
	bpf_loop(ARGV_SIZE, strings_step, &walk, 0);
	if (walk.left)
		scratch->record.flags |= RECORD_CUT;
	work->question.argv_at = sizeof(struct item);
	work->question.argv_size = walk.at - sizeof(struct item);
	item_end(scratch, (struct item *)scratch->items, ITEM_ARGV, 1, work->question.argv_size);
	return 0;
}

SEC("lsm/bprm_check_security")
int BPF_PROG(lsm_exec, struct linux_binprm *bprm)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject subject;
	struct access access = {.of = CLASS_PROCESS, .hook = LSM_BPRM_CHECK_SECURITY};
	struct decision_work *work;
	struct scratch *scratch;
	struct file *file;
	__u64 address;
	int denied = 0;

	subject = subject_here();
	if (!(subject.classes & (1 << CLASS_PROCESS | 1 << CLASS_FILELESS_EXEC | 1 << CLASS_EXEC)) || is_outside(task))
		return 0;
	if (!scratch_take())
		return judge_none(CLASS_PROCESS);
	work = decision_work_here();
	scratch = scratch_here();
	if (!work || !scratch)
		goto done;
	file = BPF_CORE_READ(bprm, file);
	access.mnt = BPF_CORE_READ(file, f_path.mnt);
	access.dentry = BPF_CORE_READ(file, f_path.dentry);
	access.inode = BPF_CORE_READ(file, f_inode);
	scratch->record.size = 0;
	scratch->record.flags = 0;
	work->question.argv_size = 0;
	address = BPF_CORE_READ(bprm, p);
	add_copied_argv((__u64)BPF_CORE_READ(bprm, mm, pgd), address, BPF_CORE_READ(bprm, exec) - address,
			BPF_CORE_READ(bprm, argc));
	if (BPF_CORE_READ(bprm, interp) != BPF_CORE_READ(bprm, filename))
		scratch->record.flags |= RECORD_SCRIPT;
	add_string((__u64)BPF_CORE_READ(bprm, filename), ITEM_FILENAME, 0);
	if (subject.classes & 1 << CLASS_PROCESS)
		denied = judge(&access);
	if (denied >= 0 && (subject.classes & 1 << CLASS_FILELESS_EXEC)) {
		work->mnt = (__u64)access.mnt;
		work->dentry = (__u64)access.dentry;
		judge_path();
		if (is_fileless(&scratch->path, work->question.start)) {
			access.of = CLASS_FILELESS_EXEC;
			denied = judge(&access);
		}
	}
	if (denied >= 0 && (subject.classes & 1 << CLASS_EXEC) && is_guest(task) && BPF_CORE_READ(task, signal, tty)) {
		access.of = CLASS_EXEC;
		denied = judge(&access);
	}
done:
	scratch_give_back();
	return denied < 0 ? -EACCES : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
