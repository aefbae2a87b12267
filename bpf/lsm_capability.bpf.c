// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Which capabilities may be used.
 *
 *   lsm/capable   of those that the process has: the kernel asks for the others no further
 */
#include "lib/judge.bpf.h"
#include "lib/reported.bpf.h"

#define CAP_OPT_NOAUDIT 2 /* include/linux/security.h: the kernel asks, and nothing hangs on the answer */

SEC("lsm/capable")
int BPF_PROG(lsm_capable, const struct cred *credentials, struct user_namespace *namespace, int capability,
	     unsigned int options)
{
	struct access access = {
		.of = CLASS_CAPABILITIES,
		.hook = LSM_CAPABLE,
		.reporting = options & CAP_OPT_NOAUDIT ? REPORT_NONE : REPORT_ALL,
		.writes = true,
		.kinds = {NUMBER_CAPABILITY},
		.numbers = {capability},
		.details = {capability},
	};
	struct task_struct *task = bpf_get_current_task_btf();
	int answer;

	if (!is_asked(CLASS_CAPABILITIES))
		return 0;
	if (reported_has(task, capability))
		access.reporting = REPORT_NONE;
	answer = judge_alone(&access);
	if (access.reporting == REPORT_ALL && (answer == PASSED_REPORTED || answer == DENIED))
		reported_add(task, capability);
	return answer < 0 ? -EACCES : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
