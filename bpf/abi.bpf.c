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
enum unwanted abi_unwanted;
struct item abi_item;
struct record abi_record;
struct syscall abi_syscall;
struct counters abi_counters;
struct selection abi_selection;
struct image abi_image;
enum lsm_hook abi_lsm_hook;
enum rule_class abi_rule_class;
enum table_kind abi_table_kind;
enum number_kind abi_number_kind;
enum table_flag abi_table_flag;
enum condition abi_condition;
enum decision abi_decision;
struct table_key abi_table_key;
struct table_value abi_table_value;
enum subject_key abi_subject_key;
struct subject abi_subject;
struct matching abi_matching;
struct verdict abi_verdict;
enum capable_source abi_capable_source;
enum function_key abi_function_key;
struct function abi_function;
