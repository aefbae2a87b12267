/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Memory of an address space that nobody runs in yet: that of an exec in
 * progress, where the kernel keeps its own copy of the arguments. It is found
 * as the processor would find it, by the page tables (x86-64), and read where
 * the kernel maps all memory.
 */
#ifndef HAUBERK_PAGES_BPF_H
#define HAUBERK_PAGES_BPF_H

#include "kernel.h"

#define PAGE_SIZE 4096
#define PAGE_SHIFT 12
#define TABLE_BITS 9	   /* of an address, that one level of page tables looks at */
#define ENTRY_PRESENT 0x1  /* arch/x86/include/asm/pgtable_types.h */
#define ENTRY_LARGE 0x80   /* ... of the levels above the last: no table follows */
#define PHYSICAL_BITS 52

extern const void page_offset_base __ksym;
extern const void __pgtable_l5_enabled __ksym __weak;
extern const void physical_mask __ksym __weak;

/* Where the kernel maps the page of @address in the address space of the top table @table; 0: it is not there. */
__noinline __u64 page_at(__u64 table, __u64 address)
{
	__u64 base = 0, mask = (1ULL << PHYSICAL_BITS) - 1, entry;
	__u32 five_levels = 0;

	bpf_probe_read_kernel(&base, sizeof(base), &page_offset_base);
	if (&physical_mask) /* without the bit that says that a page is encrypted */
		bpf_probe_read_kernel(&mask, sizeof(mask), &physical_mask);
	if (&__pgtable_l5_enabled)
		bpf_probe_read_kernel(&five_levels, sizeof(five_levels), &__pgtable_l5_enabled);
	for (int level = 4; level >= 0; level--) {
		__u32 shift = PAGE_SHIFT + TABLE_BITS * level;

		if (level == 4 && !five_levels)
			continue;
		if (bpf_probe_read_kernel(&entry, sizeof(entry),
					  (void *)(table + (address >> shift & ((1 << TABLE_BITS) - 1)) * sizeof(entry))) ||
		    !(entry & ENTRY_PRESENT) || (level && (entry & ENTRY_LARGE)))
			return 0;
		table = base + (entry & mask & ~(__u64)(PAGE_SIZE - 1));
	}
	return table;
}

#endif
