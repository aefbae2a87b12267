"""python -m benchmarks [NAME…]."""

import sys

from benchmarks import (
    agent,
    convert,
    formats,
    latency,
    overhead,
    policies,
    programs,
    rules,
    soak,
    throughput,
    workloads,
)

BENCHMARKS = {
    "throughput": throughput.run,
    "convert": convert.run,
    "overhead": overhead.run,
    "programs": programs.run,
    "rules": rules.run,
    "policies": policies.run,
    "formats": formats.run,
    "agent": agent.run,
    "latency": latency.run,
    "memory": agent.run_memory,
    "short-lived": workloads.run_short_lived,
    "containers": workloads.run_many,
    "known": workloads.run_known,
}

ON_REQUEST = {"soak": soak.run}
"""What takes so long that it is only run when it is named."""

wanted = sys.argv[1:] or list(BENCHMARKS)
BENCHMARKS |= ON_REQUEST
unknown = [name for name in wanted if name not in BENCHMARKS]
if unknown:
    sys.exit(f"no benchmark is named {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
for name in wanted:
    print(f"== {name}", flush=True)
    BENCHMARKS[name]()
