/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every LSM program does: ask the rules about an access, tell what they
 * said, and answer the kernel.
 */
#ifndef HAUBERK_JUDGE_BPF_H
#define HAUBERK_JUDGE_BPF_H

#define HAUBERK_LSM

#include "kernel.h"
#include "lib/alias.bpf.h"
#include "lib/newcomer.bpf.h"
#include "lib/object.bpf.h"
#include "lib/verdict.bpf.h"

/* How much is told. */
enum telling {
	TELL_ALL = 0,
	TELL_DENIED = 1, /* of a check that repeats an earlier one: only if it denies */
	TELL_NONE = 2,
};

/* What is acted upon, as far as the hook knows; the rest lies in the task. */
struct access {
	__u16 of;	 /* enum rule_class */
	__u16 hook;	 /* enum lsm_hook */
	__u16 telling;	 /* enum telling */
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

	return subject.set && (subject.classes & class_bit(class)) && !is_newcomer(task);
}

/* Builds the path of the question in this program's draft, from what lies in its ruling. */
__noinline int judge_path(void)
{
	struct ruling *ruling = ruling_here();
	struct draft *draft = draft_here();
	struct mount *mount = NULL;
	struct dentry *root;
	__u16 flags = 0;

	if (!ruling || !draft)
		return 0;
	root = (struct dentry *)ruling->root;
	if (ruling->mnt) {
		mount = mount_of((struct vfsmount *)ruling->mnt);
		root = BPF_CORE_READ(mount, mnt.mnt_root);
	}
	ruling->question.start =
		path_build_below(&draft->path, mount, root, (struct dentry *)ruling->dentry, &flags);
	ruling->question.unreadable = !!flags;
	draft->record.flags |= flags; /* those of the arguments are another matter */
	return 0;
}

/* What came of an access. */
enum judgement {
	PASSED = 0,
	PASSED_TOLD = 1,
	DENIED = -EACCES,
};

/* Tells of the answer: an enum judgement. */
__noinline int judge_tell(__u16 hook, __u16 telling)
{
	struct ruling *ruling = ruling_here();
	struct draft *draft = draft_here();
	bool denied;
	__u32 size;
	__u16 flags;

	if (!ruling || !draft)
		return 0;
	denied = ruling->answer.decision == DECISION_BLOCK;
	if (telling == TELL_NONE || (telling == TELL_DENIED && !denied))
		return denied ? DENIED : PASSED;
	size = draft->record.size; /* what the hook has put there already */
	flags = draft->record.flags;
	if (draft_current(HOOK_LSM))
		return denied ? DENIED : PASSED;
	draft->record.size = size;
	draft->record.flags = flags;
	draft->record.result = denied ? -EACCES : 0;
	draft->record.arguments[0] = hook;
	draft->record.arguments[1] = ruling->details[0];
	draft->record.arguments[2] = ruling->details[1];
	draft->record.arguments[3] = ruling->details[2];
	draft->record.arguments[4] = ruling->details[3];
	if (ruling->dentry)
		add_built_path(ruling->question.start, ITEM_OBJECT, 0);
	add_place((struct task_struct *)bpf_get_current_task());
	alert_send(draft, ruling, denied);
	return denied ? DENIED : PASSED_TOLD;
}

#define ALIASES 256 /* other names of one file that are asked about */

/*
 * Asks the rules about the other names of what the question is about. One of them decides only by a rule
 * that wants more than what the name in use came to: a list of what is allowed need not name a file twice.
 * If there are names that nobody has looked at, it is as with a path that cannot be read.
 */
__noinline int judge_aliases(void)
{
	struct ruling *ruling = ruling_here();
	int alias = ALIAS_FOUND;
	struct draft *draft;

	if (!ruling || !alias_begin())
		return 0;
	ruling->by_name = ruling->answer;
	ruling->mnt_by_name = ruling->mnt;
	ruling->root_by_name = ruling->root;
	for (int i = 0; i < ALIASES; i++) {
		alias = alias_next();
		if (alias != ALIAS_FOUND)
			break;
		judge_path();
		if (decide() >= DECISION_AUDIT && ruling->answer.rule &&
		    ruling->answer.decision > ruling->by_name.decision)
			return 0;
	}
	ruling->mnt = ruling->mnt_by_name;
	ruling->root = ruling->root_by_name;
	judge_path();
	draft = draft_here();
	if (alias != ALIAS_NONE && draft) {
		draft->record.flags |= RECORD_UNREADABLE;
		ruling->question.unreadable = 1;
		decide();
		if (ruling->answer.decision > ruling->by_name.decision)
			return 0;
	}
	ruling->answer = ruling->by_name;
	return 0;
}

/* Decides about @access: an enum judgement. The draft may hold the arguments of a command. */
static __always_inline int judge(const struct access *access)
{
	struct ruling *ruling = ruling_here();
	struct draft *draft = draft_here();
	struct dentry *dentry = access->dentry;
	int answer;
	__u32 size;

	if (!ruling || !draft)
		return 0;
	ruling->question.of = access->of;
	ruling->question.start = PATH_SIZE;
	ruling->question.met = access->writes ? 0 : CONDITION_READ;
	ruling->question.unreadable = 0;
	ruling->question.images = 0;
	ruling->question.is_written = 0;
	for (int i = 0; i < 2; i++) {
		ruling->question.number_kinds[i] = access->kinds[i];
		ruling->question.numbers[i] = access->numbers[i];
	}
	for (int i = 0; i < 4; i++)
		ruling->details[i] = access->details[i];
	ruling->mnt = (__u64)access->mnt;
	ruling->dentry = (__u64)dentry;
	if (dentry && !access->mnt)
		ruling->root = (__u64)BPF_CORE_READ(dentry, d_sb, s_root);
	question_describe(&ruling->question, bpf_get_current_task_btf(), access->inode);
	ruling->answer.decision = DECISION_NONE;
	if (dentry)
		judge_path();
	if (!access->is_layer)
		decide();
	if (ruling->answer.decision < DECISION_BLOCK && dentry)
		judge_aliases();
	if (ruling->answer.decision < DECISION_AUDIT)
		return 0;
	size = draft->record.size;
	answer = judge_tell(access->hook, access->telling);
	draft->record.size = size; /* for another question about the same */
	return answer;
}

/* Nothing can be decided for want of room: that denies, and what is not told of it counts as lost. */
static __always_inline int judge_none(__u32 class)
{
	alert_lose(class);
	return DENIED;
}

/* Judges one access of the current task from beginning to end: an enum judgement. */
static __always_inline int judge_alone(const struct access *access)
{
	struct ruling *ruling;
	struct draft *draft;
	int answer = 0;

	if (!is_asked(access->of))
		return 0;
	if (!draft_take())
		return judge_none(access->of);
	ruling = ruling_here();
	draft = draft_here();
	if (ruling && draft) {
		draft->record.size = 0;
		draft->record.flags = 0;
		ruling->question.argv_size = 0;
		answer = judge(access);
	}
	draft_give_back();
	return answer;
}

/* The same, for the kernel; in numbers that the verifier can read. */
static __always_inline int judge_for_hook(const struct access *access)
{
	return judge_alone(access) < 0 ? -EACCES : 0;
}

#endif
