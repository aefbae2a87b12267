/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every LSM program does: ask the rules about an access, tell what they
 * said, and answer the kernel.
 */
#ifndef HAUBERK_JUDGE_BPF_H
#define HAUBERK_JUDGE_BPF_H

#define HAUBERK_LSM

#include "kernel.h"
#include "lib/other_names.bpf.h"
#include "lib/entering.bpf.h"
#include "lib/object.bpf.h"
#include "lib/verdict.bpf.h"

/* How much is reported. */
enum reporting {
	REPORT_ALL = 0,
	REPORT_DENIED = 1, /* of a check that repeats an earlier one: only if it denies */
	REPORT_NONE = 2,
};

/* What is acted upon, as far as the hook knows; the rest lies in the task. */
struct access {
	__u16 of;	 /* enum rule_class */
	__u16 hook;	 /* enum lsm_hook */
	__u16 reporting;	 /* enum reporting */
	bool writes;
	bool is_layer; /* the name in use is asked about elsewhere: only the others are */
	struct vfsmount *mnt;  /* NULL: it is not known by which mount it was reached */
	struct dentry *dentry; /* NULL: it has no path */
	struct inode *inode;   /* who owns it */
	__u32 kinds[2];	       /* enum number_kind */
	__u32 numbers[2];
	__u64 details[4];      /* for the record */
};

/*
 * True if the rules of the current task's workload say anything about such an
 * access: nearly everything that a machine does ends here.
 */
static __always_inline bool is_asked(__u32 class)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct subject subject = subject_here();

	return subject.set && (subject.classes & class_bit(class)) && !is_entering(task);
}

/* Builds the path of the question in this program's scratch, from what lies in its work. */
__noinline int judge_path(void)
{
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	struct mount *mount = NULL;
	struct dentry *root;
	__u16 flags = 0;

	if (!work || !scratch)
		return 0;
	root = (struct dentry *)work->root;
	if (work->mnt) {
		mount = mount_of((struct vfsmount *)work->mnt);
		root = BPF_CORE_READ(mount, mnt.mnt_root);
	}
	work->question.start =
		path_build_below(&scratch->path, mount, root, (struct dentry *)work->dentry, &flags);
	work->question.unreadable = !!flags;
	scratch->record.flags |= flags; /* those of the arguments are another matter */
	return 0;
}

/* What came of an access. */
enum judgement {
	PASSED = 0,
	PASSED_REPORTED = 1,
	DENIED = -EACCES,
};

/* Tells of the answer: an enum judgement. */
__noinline int judge_report(__u16 hook, __u16 reporting)
{
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	bool denied;
	__u32 size;
	__u16 flags;

	if (!work || !scratch)
		return 0;
	denied = work->answer.decision == DECISION_BLOCK;
	if (reporting == REPORT_NONE || (reporting == REPORT_DENIED && !denied))
		return denied ? DENIED : PASSED;
	size = scratch->record.size; /* what the hook has put there already */
	flags = scratch->record.flags;
	if (scratch_current(HOOK_LSM))
		return denied ? DENIED : PASSED;
	scratch->record.size = size;
	scratch->record.flags = flags;
	scratch->record.result = denied ? -EACCES : 0;
	scratch->record.arguments[0] = hook;
	scratch->record.arguments[1] = work->details[0];
	scratch->record.arguments[2] = work->details[1];
	scratch->record.arguments[3] = work->details[2];
	scratch->record.arguments[4] = work->details[3];
	if (work->dentry)
		add_built_path(work->question.start, ITEM_OBJECT, 0);
	add_place((struct task_struct *)bpf_get_current_task());
	alert_send(scratch, work, denied);
	return denied ? DENIED : PASSED_REPORTED;
}

#define OTHER_NAMES 256 /* other names of one file that are asked about */

/*
 * Asks the rules about the other names of what the question is about. One of them decides only by a rule
 * that wants more than what the name in use came to: a list of what is allowed need not name a file twice.
 * If there are names that nobody has looked at, it is as with a path that cannot be read.
 */
__noinline int judge_other_names(void)
{
	struct decision_work *work = decision_work_here();
	int other_name = OTHER_NAME_FOUND;
	struct scratch *scratch;

	if (!work || !other_name_begin())
		return 0;
	work->by_name = work->answer;
	work->mnt_by_name = work->mnt;
	work->root_by_name = work->root;
	for (int i = 0; i < OTHER_NAMES; i++) {
		other_name = other_name_next();
		if (other_name != OTHER_NAME_FOUND)
			break;
		judge_path();
		if (decide() >= DECISION_AUDIT && work->answer.rule &&
		    work->answer.decision > work->by_name.decision)
			return 0;
	}
	work->mnt = work->mnt_by_name;
	work->root = work->root_by_name;
	judge_path();
	scratch = scratch_here();
	if (other_name != OTHER_NAME_NONE && scratch) {
		scratch->record.flags |= RECORD_UNREADABLE;
		work->question.unreadable = 1;
		decide();
		if (work->answer.decision > work->by_name.decision)
			return 0;
	}
	work->answer = work->by_name;
	return 0;
}

/* Decides about @access: an enum judgement. The scratch may hold the arguments of a command. */
static __always_inline int judge(const struct access *access)
{
	struct decision_work *work = decision_work_here();
	struct scratch *scratch = scratch_here();
	struct dentry *dentry = access->dentry;
	int answer;
	__u32 size;

	if (!work || !scratch)
		return 0;
	work->question.of = access->of;
	work->question.start = PATH_SIZE;
	work->question.met = access->writes ? 0 : CONDITION_READ;
	work->question.unreadable = 0;
	work->question.images = 0;
	work->question.is_written = 0;
	for (int i = 0; i < 2; i++) {
		work->question.number_kinds[i] = access->kinds[i];
		work->question.numbers[i] = access->numbers[i];
	}
	for (int i = 0; i < 4; i++)
		work->details[i] = access->details[i];
	work->mnt = (__u64)access->mnt;
	work->dentry = (__u64)dentry;
	if (dentry && !access->mnt)
		work->root = (__u64)BPF_CORE_READ(dentry, d_sb, s_root);
	question_describe(&work->question, bpf_get_current_task_btf(), access->inode);
	work->answer.decision = DECISION_NONE;
	if (dentry)
		judge_path();
	if (!access->is_layer)
		decide();
	if (work->answer.decision < DECISION_BLOCK && dentry)
		judge_other_names();
	if (work->answer.decision < DECISION_AUDIT)
		return 0;
	size = scratch->record.size;
	answer = judge_report(access->hook, access->reporting);
	scratch->record.size = size; /* for another question about the same */
	return answer;
}

/* Nothing can be decided for want of room: that denies, and what is not reported of it counts as lost. */
static __always_inline int judge_none(__u32 class)
{
	alert_lose(class);
	return DENIED;
}

/* Judges one access of the current task from beginning to end: an enum judgement. */
static __always_inline int judge_alone(const struct access *access)
{
	struct decision_work *work;
	struct scratch *scratch;
	int answer = 0;

	if (!is_asked(access->of))
		return 0;
	if (!scratch_take())
		return judge_none(access->of);
	work = decision_work_here();
	scratch = scratch_here();
	if (work && scratch) {
		scratch->record.size = 0;
		scratch->record.flags = 0;
		work->question.argv_size = 0;
		answer = judge(access);
	}
	scratch_give_back();
	return answer;
}

/* The same, for the kernel; in numbers that the verifier can read. */
static __always_inline int judge_for_hook(const struct access *access)
{
	return judge_alone(access) < 0 ? -EACCES : 0;
}

#endif
