"""What `simulate` says of a recording is what the kernel decided about the same acts, by workload and rule."""

import os
import socket
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hauberk.errors import HauberkError
from hauberk.model.event import Event
from hauberk.model.policy import Action
from hauberk.policy.decide import Posture, rule_set
from hauberk.policy.document import parse_documents
from hauberk.simulation import simulate_recording
from tests.kernel.acts import PYTHON, TRUE, execute, fill, read, write
from tests.kernel.guard import CONTAINER, Guard
from tests.kernel.test_agent import hauberk, tells, wait_until

RULES = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {{name: files}}
spec:
  selector: {{}}
  file:
    matchPaths:
    - path: {there}/secret
    - {{path: {there}/open, readOnly: true}}
    - {{path: {there}/below/deeper/leaf, action: Audit, fromSource: [{{path: {python}}}]}}
    - {{path: {there}/below/other, fromSource: [{{path: /usr/bin/none}}]}}
    matchDirectories: [{{dir: {there}/below/, recursive: true}}]
    matchPatterns: [{{pattern: "{there}/gl*b", action: Audit}}]
  action: Block
---
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {{name: others}}
spec:
  selector: {{}}
  process:
    matchPaths:
    - {{execname: other, action: Audit}}
    - {{path: {there}/true, allowedArgs: [fine]}}
  network:
    matchProtocols: [{{protocol: raw}}, {{protocol: udp, action: Audit}}, {{protocol: icmp, action: Audit}}]
  syscalls: {{matchPaths: [{{syscall: [unlink], path: {there}/gone}}]}}
  action: Block
---
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {{name: elsewhere}}
spec:
  selector: {{matchLabels: {{kubearmor.io/container.name: nobody}}}}
  file: {{matchPaths: [{{path: {there}/secret, severity: 9}}]}}
"""
ALLOWED = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {{name: list}}
spec:
  selector: {{}}
  file:
    matchDirectories: [{{dir: {there}/, action: Allow}}, {{dir: /sys/fs/cgroup/, recursive: true, action: Allow}}]
    matchPatterns: [{{pattern: "**/tests/actors/build/true", action: Allow}}]  # LSM programs see it opened to be executed
    matchPaths: [{{path: {there}/open, readOnly: true, action: Allow}}]
"""


@pytest.fixture
def guard() -> Iterator[Guard]:
    if os.geteuid():
        pytest.skip("needs root")
    try:
        guarding = Guard()
    except HauberkError as error:
        pytest.skip(str(error))
    with guarding:
        yield guarding


@pytest.fixture
def there() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        fill(Path(name))
        for file in ("glob", "glb", "below/other", "gone"):
            (Path(name) / file).touch()
        yield Path(name)


def acts(there: Path) -> list[Callable[[], object]]:
    def socket_of(kind: int, protocol: int = 0) -> Callable[[], object]:
        return lambda: socket.socket(socket.AF_INET, kind, protocol).close()

    return [
        read(there / "secret"), write(there / "secret"), read(there / "open"), write(there / "open"),
        read(there / "below/deeper/leaf"), read(there / "below/other"), write(there / "below/other"),
        read(there / "glob"), read(there / "glb"), read(there / "glb"), read(there / "nothing"),
        execute(there / "true"), execute(there / "true", "fine"), execute(there / "true", "fine", "bad"),
        execute(there / "other"), execute(TRUE), execute(there / "secret"),
        socket_of(socket.SOCK_RAW, socket.IPPROTO_ICMP), socket_of(socket.SOCK_RAW, socket.IPPROTO_UDP),
        socket_of(socket.SOCK_DGRAM), socket_of(socket.SOCK_STREAM),
        (there / "gone").unlink, lambda: (there / "glob").rename(there / "moved"),
        lambda: (there / "open").chmod(0o600),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("documents", "posture"), [(RULES, Action.AUDIT), (ALLOWED, Action.AUDIT), (ALLOWED, Action.BLOCK)]
)
def test_simulated_as_decided(
    guard: Guard, there: Path, tmp_path: Path, documents: str, posture: Action
) -> None:
    """The same acts, recorded by a recorder that knows of no policy, and decided by the kernel."""
    text = documents.format(there=there, python=PYTHON)
    policies = parse_documents(text, "test.yaml").policies
    held = [policy for policy in policies if policy.name != "elsewhere"]
    lines = {each.number: each.rule.line for each in rule_set(held)}
    recording = tmp_path / "x.rec"
    guard.rule(text, posture)
    told: list[Event] = []
    with hauberk(tmp_path, "record", recording, ready=tells(recording, tmp_path / "begin")):
        for act in acts(there):
            told += guard.act(act).alerts
        wait_until(tells(recording, tmp_path / "end"), "all is recorded")
    postures = Posture(posture, posture, posture)
    done, read_from = simulate_recording(recording, policies, postures, postures)

    decided = Counter(
        (f"test.yaml:{lines[event.verdict.rule_id]}" if event.verdict.rule_id else "",
         event.verdict.policy, "Block" if "Block" in event.verdict.action else "Audit")
        for event in told
        if event.verdict
    )  # fmt: skip
    simulated = {
        (each.rule, each.policy, each.action): each.count
        for each in done.outcomes
        if each.workload == CONTAINER[:12]
    }
    assert simulated == dict(decided)
    assert (read_from.damaged, read_from.cut_bytes) == (0, 0)
    assert len(simulated) >= (8 if documents is RULES else 1)
