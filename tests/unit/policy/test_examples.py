"""The examples do what their comments say."""

from pathlib import Path
from typing import Any

import pytest

from hauberk.abi import Decision, RuleClass
from hauberk.constants import SYSCALLS
from hauberk.decode.arguments import CAPABILITIES
from hauberk.model.access import Access
from hauberk.model.policy import Action, Policy
from hauberk.policy.check import check, check_node
from hauberk.policy.decide import Posture, decide, rule_set
from hauberk.policy.document import parse_documents

EXAMPLES = sorted((Path(__file__).parents[3] / "examples/policies").iterdir())
PROCESS, FILE, NETWORK = RuleClass.PROCESS, RuleClass.FILE, RuleClass.NETWORK
ALLOW, AUDIT, BLOCK, PASSES = Decision.ALLOW, Decision.AUDIT, Decision.BLOCK, Decision.NONE
BLOCKING = Posture(file=Action.BLOCK)
TOKEN = b"/run/secrets/kubernetes.io/serviceaccount/token"


def policies(path: Path) -> tuple[Policy, ...]:
    parsed = parse_documents(path.read_text(), path.name)
    assert parsed.problems == ()
    return parsed.policies


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_sound(path: Path) -> None:
    """It has no problems, is called as its file is, and begins with a comment that says why."""
    found = policies(path)
    links = {"/bin": "/usr/bin", "/sbin": "/usr/sbin", "/lib": "/usr/lib", "/var/run": "/run"}

    def resolve(text: str) -> str:
        return next(
            (
                text.replace(link, real, 1)
                for link, real in links.items()
                if f"{text}/".startswith(f"{link}/")
            ),
            text,
        )

    assert check(found, BLOCKING, BLOCKING) == []
    assert check_node(found, resolve) == []
    assert [each.name for each in found] == [path.stem]
    assert path.read_text().startswith("# ")
    assert "# Why: " in path.read_text()
    assert "# Expect: " in path.read_text()


def test_all_kinds_are_there() -> None:
    """Each kind of policy has an example."""
    assert {each.kind for path in EXAMPLES for each in policies(path)} == {
        "KubeArmorPolicy", "KubeArmorHostPolicy", "KubeArmorClusterPolicy",
    }  # fmt: skip


def test_every_example_is_tried() -> None:
    """The table below leaves none out."""
    assert {path.stem for path in EXAMPLES} == {name for name, *_ in TRIED}


TRIED: list[tuple[str, RuleClass | int, bytes, dict[str, Any], Decision]] = [
    ("audit-exec-into-containers", RuleClass.EXEC, b"/usr/bin/bash", {}, AUDIT),
    ("audit-exec-into-containers", PROCESS, b"/usr/bin/bash", {}, PASSES),
    ("audit-identity-changes", RuleClass.SYSCALL + SYSCALLS["setuid"], b"", {"source": b"/tmp/a/x"}, AUDIT),
    ("audit-identity-changes", RuleClass.SYSCALL + SYSCALLS["setuid"], b"", {"source": b"/usr/bin/su"}, PASSES),
    ("block-fileless-execution", RuleClass.FILELESS_EXEC, b"memfd:x", {}, BLOCK),
    ("block-module-loading", RuleClass.CAPABILITIES, b"", {"capability": CAPABILITIES.index("sys_module")}, BLOCK),
    ("block-module-loading", RuleClass.SYSCALL + SYSCALLS["finit_module"], b"", {}, AUDIT),
    ("block-package-managers", PROCESS, b"/opt/tools/apk", {}, BLOCK),
    ("block-package-managers", PROCESS, b"/usr/bin/apktool", {}, PASSES),
    ("block-programs-from-tmp", PROCESS, b"/tmp/.x/y/miner", {}, BLOCK),
    ("block-programs-from-tmp", RuleClass.MAP_EXEC, b"/var/tmp/miner", {}, BLOCK),
    ("block-programs-from-tmp", PROCESS, b"/usr/bin/make", {}, PASSES),
    ("block-raw-sockets", NETWORK, b"", {"family": 2, "socket_type": 3, "protocol": 1}, BLOCK),
    ("block-raw-sockets", NETWORK, b"", {"family": 17, "socket_type": 10}, BLOCK),
    ("block-raw-sockets", NETWORK, b"", {"family": 2, "socket_type": 2, "protocol": 1}, PASSES),
    ("block-raw-sockets", RuleClass.CAPABILITIES, b"", {"capability": CAPABILITIES.index("net_raw")}, BLOCK),
    ("block-reverse-shells", PROCESS, b"/home/x/nc", {}, BLOCK),
    ("block-reverse-shells", PROCESS, b"/usr/bin/bash", {"source": b"/usr/sbin/nginx"}, BLOCK),
    ("block-reverse-shells", PROCESS, b"/usr/bin/bash", {"source": b"/usr/bin/env"}, PASSES),
    ("block-tampering-with-processes", RuleClass.SYSCALL + SYSCALLS["bpf"], b"", {}, BLOCK),
    ("block-tampering-with-processes", RuleClass.SYSCALL + SYSCALLS["kill"], b"", {}, PASSES),
    ("curl-arguments", PROCESS, b"/usr/bin/curl", {"arguments": (b"--fail", b"http://127.0.0.1:8080/health")}, PASSES),
    ("curl-arguments", PROCESS, b"/usr/bin/curl", {"arguments": (b"-O", b"http://127.0.0.1:8080/health")}, BLOCK),
    ("etc-read-only", FILE, b"/etc/ssl/openssl.cnf", {}, PASSES),
    ("etc-read-only", FILE, b"/etc/ssl/openssl.cnf", {"writes": True}, BLOCK),
    ("etc-read-only", FILE, b"/etc", {"writes": True}, BLOCK),
    ("protect-service-account-token", FILE, TOKEN, {"source": b"/usr/bin/cat"}, BLOCK),
    ("protect-service-account-token", FILE, TOKEN, {"source": b"/usr/bin/controller"}, AUDIT),
    ("protect-service-account-token", FILE, b"/etc/hosts", {"source": b"/usr/bin/cat"}, PASSES),
    ("shadow-read-only-by-owner", FILE, b"/etc/shadow", {"is_owner": True}, PASSES),
    ("shadow-read-only-by-owner", FILE, b"/etc/shadow", {}, BLOCK),
    ("shadow-read-only-by-owner", FILE, b"/etc/shadow", {"is_owner": True, "writes": True}, BLOCK),
    ("shadow-read-only-by-owner", FILE, b"/etc/shadow",
     {"is_owner": True, "writes": True, "source": b"/usr/bin/passwd"}, AUDIT),
    ("web-server-allow-list", PROCESS, b"/usr/sbin/nginx", {}, ALLOW),
    ("web-server-allow-list", PROCESS, b"/usr/bin/bash", {}, BLOCK),
    ("web-server-allow-list", FILE, b"/var/log/nginx/access.log", {"writes": True}, ALLOW),
    ("web-server-allow-list", FILE, b"/etc/nginx/nginx.conf", {}, ALLOW),
    ("web-server-allow-list", FILE, b"/etc/nginx/nginx.conf", {"writes": True}, BLOCK),
]  # fmt: skip


@pytest.mark.parametrize(("name", "rule_class", "path", "others", "expected"), TRIED)
def test_example_decides(
    name: str, rule_class: int, path: bytes, others: dict[str, Any], expected: Decision
) -> None:
    """What the comment promises, with the posture block for files."""
    rules = rule_set(policies(next(each for each in EXAMPLES if each.stem == name)))

    assert decide(rules, BLOCKING, Access(rule_class=rule_class, path=path, **others)).decided == expected
