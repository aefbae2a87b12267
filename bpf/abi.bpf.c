// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Never loaded. Compiled so that all of abi.h appears in its BTF, which
 * tools/gen_abi.py reads.
 */
#include "abi.h"

enum limit abi_limit;
enum hook abi_hook;
enum operation abi_operation;
enum record_flag abi_record_flag;
enum item_kind abi_item_kind;
enum argument_kind abi_argument_kind;
enum object_kind abi_object_kind;
enum filter abi_filter;
struct item abi_item;
struct record abi_record;
struct syscall abi_syscall;
struct counters abi_counters;
struct selection abi_selection;
struct image abi_image;
