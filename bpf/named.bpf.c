// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The kernel's own names for what a call changes.
 *
 * Where the kernel lets us trace its functions, the path that a call acts upon
 * is taken from the objects that the kernel has found for it, in the middle of
 * the call: no argument that another thread may have changed, no symbolic link
 * left. The record is still sent by sys_exit.
 *
 *   fentry/security_path_unlink, _rmdir, _mkdir, _mknod, _symlink, _link,
 *   _rename, _truncate, _chmod, _chown, _chroot   with CONFIG_SECURITY_PATH
 *   fentry/security_sb_mount, _umount, _pivotroot
 */
#include "lib/arguments.bpf.h"

/* Keeps the path of @dentry as that of argument path @which of the call in progress. */
static __always_inline int keep(__u32 which, struct vfsmount *mnt, struct dentry *dentry)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct named *named;
	__u16 flags = 0;

	/* only for a call that somebody wants to see */
	if (!bpf_task_storage_get(&pendings, task, NULL, 0))
		return 0;
	named = bpf_task_storage_get(&nameds, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!named || named->known[which]) /* the first is the caller's; others come from file systems below */
		return 0;
	named->starts[which] = path_build(&named->paths[which], mnt, dentry, &flags);
	named->known[which] = named->starts[which] < PATH_SIZE;
	named->flags |= flags;
	return 0;
}

SEC("fentry/security_path_unlink")
int BPF_PROG(named_unlink, const struct path *directory, struct dentry *dentry)
{
	return keep(0, directory->mnt, dentry);
}

SEC("fentry/security_path_rmdir")
int BPF_PROG(named_rmdir, const struct path *directory, struct dentry *dentry)
{
	return keep(0, directory->mnt, dentry);
}

SEC("fentry/security_path_mkdir")
int BPF_PROG(named_mkdir, const struct path *directory, struct dentry *dentry)
{
	return keep(0, directory->mnt, dentry);
}

SEC("fentry/security_path_mknod")
int BPF_PROG(named_mknod, const struct path *directory, struct dentry *dentry)
{
	return keep(0, directory->mnt, dentry);
}

SEC("fentry/security_path_symlink")
int BPF_PROG(named_symlink, const struct path *directory, struct dentry *dentry)
{
	return keep(0, directory->mnt, dentry);
}

SEC("fentry/security_path_link")
int BPF_PROG(named_link, struct dentry *old, const struct path *directory, struct dentry *dentry)
{
	keep(0, directory->mnt, old); /* a link never leaves its mount */
	return keep(1, directory->mnt, dentry);
}

SEC("fentry/security_path_rename")
int BPF_PROG(named_rename, const struct path *old_directory, struct dentry *old,
	     const struct path *new_directory, struct dentry *dentry)
{
	keep(0, old_directory->mnt, old);
	return keep(1, new_directory->mnt, dentry);
}

SEC("fentry/security_path_truncate")
int BPF_PROG(named_truncate, const struct path *path)
{
	return keep(0, path->mnt, path->dentry);
}

SEC("fentry/security_path_chmod")
int BPF_PROG(named_chmod, const struct path *path)
{
	return keep(0, path->mnt, path->dentry);
}

SEC("fentry/security_path_chown")
int BPF_PROG(named_chown, const struct path *path)
{
	return keep(0, path->mnt, path->dentry);
}

SEC("fentry/security_path_chroot")
int BPF_PROG(named_chroot, const struct path *path)
{
	return keep(0, path->mnt, path->dentry);
}

SEC("fentry/security_sb_mount")
int BPF_PROG(named_mount, const char *source, const struct path *target)
{
	return keep(0, target->mnt, target->dentry);
}

SEC("fentry/security_sb_pivotroot")
int BPF_PROG(named_pivot, const struct path *put_old, const struct path *new_root)
{
	keep(0, new_root->mnt, new_root->dentry);
	return keep(1, put_old->mnt, put_old->dentry);
}

SEC("fentry/security_sb_umount")
int BPF_PROG(named_umount, struct vfsmount *mnt)
{
	return keep(0, mnt, mnt->mnt_root);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
