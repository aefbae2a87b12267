// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What may be mounted over, moved and unmounted.
 *
 *   lsm/sb_mount, _umount, _pivotroot, lsm/move_mount
 *
 * A file that is shown at another place keeps its rules (lib/other_names.bpf.h), so it does not matter what is
 * mounted from where. But what is mounted over is another file from then on, and what is moved or unmounted
 * has another path: that counts as writing it, and as moving all that is below. It is asked only where it
 * changes the names that rules mean, in the mount namespace of the container or of the host: a service
 * that is given mounts of its own in a namespace of its own is left alone.
 */
#include "lib/judge.bpf.h"

/* include/uapi/linux/mount.h */
#define MS_REMOUNT 32
#define MS_MOVE 8192
#define MS_PROPAGATION (1 << 17 | 1 << 18 | 1 << 19 | 1 << 20) /* UNBINDABLE, PRIVATE, SLAVE, SHARED */

static __always_inline bool is_in_root_ns(void)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return is_asked(CLASS_FILE) && (__u64)own_mounts(task) == root_ns_here().mounts;
}

/* Judges what becomes of the name of @dentry and of all below it. */
static __always_inline int judge_place(__u16 hook, struct vfsmount *mnt, struct dentry *dentry)
{
	struct access access = {
		.of = CLASS_FILE,
		.hook = hook,
		.writes = true,
		.mnt = mnt,
		.dentry = dentry,
		.inode = BPF_CORE_READ(dentry, d_inode),
	};
	int answer = judge_alone(&access);

	if (answer < 0)
		return -EACCES;
	access.of = CLASS_MOVE;
	access.reporting = answer == PASSED_REPORTED ? REPORT_DENIED : REPORT_ALL;
	return judge_for_hook(&access);
}

/* Judges a change whose place the hook does not tell: it may be any below the root. */
static __always_inline int judge_anywhere(__u16 hook)
{
	struct mount *root = BPF_CORE_READ(own_mounts(bpf_get_current_task_btf()), root);

	return judge_place(hook, __builtin_preserve_access_index(&root->mnt), BPF_CORE_READ(root, mnt.mnt_root));
}

SEC("lsm/sb_mount")
int BPF_PROG(lsm_mount, const char *source, const struct path *place, const char *type, unsigned long flags,
	     void *data)
{
	/* neither gives anything another name */
	if ((flags & (MS_REMOUNT | MS_PROPAGATION)) || !is_in_root_ns())
		return 0;
	if (flags & MS_MOVE && judge_anywhere(LSM_SB_MOUNT) < 0)
		return -EACCES;
	return judge_place(LSM_SB_MOUNT, BPF_CORE_READ(place, mnt), BPF_CORE_READ(place, dentry));
}

SEC("lsm/move_mount")
int BPF_PROG(lsm_move_mount, const struct path *from, const struct path *place)
{
	struct vfsmount *mnt = BPF_CORE_READ(from, mnt);

	if (!is_in_root_ns())
		return 0;
	/* one that is not attached anywhere yet had no name */
	if (BPF_CORE_READ(mount_of(mnt), mnt_ns) == own_mounts(bpf_get_current_task_btf()) &&
	    judge_place(LSM_MOVE_MOUNT, mnt, BPF_CORE_READ(from, dentry)) < 0)
		return -EACCES;
	return judge_place(LSM_MOVE_MOUNT, BPF_CORE_READ(place, mnt), BPF_CORE_READ(place, dentry));
}

SEC("lsm/sb_umount")
int BPF_PROG(lsm_umount, struct vfsmount *mnt, int flags)
{
	if (!is_in_root_ns())
		return 0;
	return judge_place(LSM_SB_UMOUNT, mnt, BPF_CORE_READ(mnt, mnt_root));
}

SEC("lsm/sb_pivotroot")
int BPF_PROG(lsm_pivotroot, const struct path *old, const struct path *place)
{
	return is_in_root_ns() ? judge_anywhere(LSM_SB_PIVOTROOT) : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
