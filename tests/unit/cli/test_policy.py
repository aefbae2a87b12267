"""`hauberk policy` as people meet it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hauberk.abi import Hook, ItemKind, RecordFlag
from hauberk.cli.main import app
from hauberk.constants import SYSCALLS
from hauberk.errors import ConfigError, HauberkError, PolicyError, SinkError
from hauberk.model.event import Node
from hauberk.model.machine import Machine
from hauberk.policy.asked import NAMES, asked
from hauberk.policy.document import parse_documents
from hauberk.policy.rules import matches
from hauberk.sensor.probe import POLICIES, CgroupPlacement, Finding, Report, State
from hauberk.sensor.recording import Recorder
from tests.unit.decode.raw import CWD, frame, raw_record

GOLDEN = Path(__file__).parents[2] / "golden"
SHADOW = """\
# why it is there
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {name: shadow}
spec:
  selector: {matchLabels: {app: web}}
  file:
    matchPaths:
      - path: /etc/shadow
        readOnly: true
  action: Block
"""
HOST = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorHostPolicy
metadata: {name: tools}
spec:
  nodeSelector: {}
  process:
    matchPaths:
      - {execname: nc}
      - {path: /usr/bin/id, action: Audit, fromSource: [{path: /usr/bin/sh}]}
  network: {matchProtocols: [{protocol: raw}]}
  action: Block
"""
WARNING = HOST.replace("execname: nc", "execname: nc, severity: 3").replace(
    "      - {path", "      - {execname: nc, action: Audit}\n      - {path"
)
ERROR = SHADOW.replace("readOnly", "readonly")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HAUBERK_POLICIES", str(tmp_path / "kept"))
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.chdir(tmp_path)
    for name, text in (("shadow", SHADOW), ("host", HOST), ("warning", WARNING), ("error", ERROR)):
        Path(f"{name}.yaml").write_text(text)


def run(*arguments: str, given: str | bytes | None = None) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; errors of ours are raised."""
    done = CliRunner().invoke(app, ["policy", *arguments], input=given)
    if isinstance(done.exception, Exception):
        raise done.exception
    return done.exit_code, done.stdout, done.stderr


def kept() -> list[str]:
    return sorted(path.name for path in Path("kept").iterdir())


@pytest.mark.parametrize(
    ("file", "options", "exit_code", "beginning"),
    [
        ("shadow.yaml", (), 0, ""),
        ("shadow.yaml", ("--strict",), 0, ""),
        ("warning.yaml", (), 0, "warning.yaml:9: warning: conflicts with warning.yaml:8"),
        ("warning.yaml", ("--strict",), 1, "warning.yaml:9: warning: conflicts with warning.yaml:8"),
        ("error.yaml", (), 3, "error.yaml:10: error: "),
        ("missing.yaml", (), 3, "missing.yaml:1: error: cannot be read: No such file or directory"),
    ],
)
def test_check(file: str, options: tuple[str, ...], exit_code: int, beginning: str) -> None:
    """One line a problem; errors fail, and with --strict warnings do."""
    code, text, _ = run("check", file, *options)

    assert code == exit_code
    assert text.startswith(beginning)
    assert bool(text) == bool(beginning)


def test_check_tells_of_links_on_this_node() -> None:
    """A link is resolved for real."""
    Path("real").mkdir()
    Path("link").symlink_to("real")
    here = Path.cwd()
    Path("shadow.yaml").write_text(SHADOW.replace("/etc/shadow", f"{here}/link/x"))

    assert f"`{here}/link/x` is `{here}/real/x` by a symbolic link" in run("check", "shadow.yaml")[1]


@pytest.mark.parametrize(("state", "is_told"), [("degraded", True), ("ok", False), ("unknown", False)])
def test_check_tells_of_rules_that_never_act(
    state: State, is_told: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel of this node is asked, but only if there are rules for capabilities."""
    report = Report(CgroupPlacement("v2"), (Finding(POLICIES, state, ""),))
    monkeypatch.setattr("hauberk.cli.policy.probe", lambda: report)
    Path("shadow.yaml").write_text(SHADOW)
    Path("chown.yaml").write_text(
        SHADOW.partition("  file:")[0]
        + "  capabilities:\n    matchCapabilities:\n    - {capability: chown}\n  action: Block\n"
    )

    assert "never acts" not in run("check", "shadow.yaml")[1]
    assert ("never acts on this node" in run("check", "chown.yaml")[1]) == is_told


def test_check_knows_the_postures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether an allow-list denies anything hangs on the settings."""
    Path("shadow.yaml").write_text(SHADOW.replace("Block", "Allow"))

    assert "set default_file_posture to block" in run("check", "shadow.yaml")[1]
    monkeypatch.setenv("HAUBERK_DEFAULT_FILE_POSTURE", "block")
    assert run("check", "shadow.yaml")[1] == ""


def test_check_as_json() -> None:
    """One array, of nothing too; a directory stands for its files."""
    Path("all").mkdir()
    Path("all/error.yml").write_text(ERROR)
    Path("all/notes.txt").write_text("no policy")

    assert json.loads(run("check", "shadow.yaml", "--format", "json")[1]) == []
    code, text, _ = run("check", "all", "--format", "json")
    (problem,) = json.loads(text)
    assert code == 3
    assert (problem["severity"], problem["file"], problem["line"]) == ("error", "all/error.yml", 10)


def test_check_of_an_empty_directory() -> None:
    """Nothing that could be checked is no success."""
    Path("empty").mkdir()
    with pytest.raises(ConfigError, match="no policy is in empty"):
        run("check", "empty")


def test_apply_says_what_became_of_each() -> None:
    """Each policy has a file of its own, with the text of its author."""
    Path("both.yaml").write_text(f"{SHADOW}---\n{HOST}")

    assert run("apply", "both.yaml")[1].splitlines() == [
        "KubeArmorPolicy shadow applied",
        "KubeArmorHostPolicy tools applied",
    ]
    assert kept() == ["kubearmorhostpolicy-tools.yaml", "kubearmorpolicy-shadow.yaml"]
    assert Path("kept/kubearmorpolicy-shadow.yaml").read_text() == SHADOW
    assert Path("kept/kubearmorhostpolicy-tools.yaml").read_text() == HOST
    Path("shadow.yaml").write_text(SHADOW.replace("Block", "Audit"))
    assert run("apply", "shadow.yaml", "host.yaml")[1].splitlines() == [
        "KubeArmorPolicy shadow modified",
        "KubeArmorHostPolicy tools unchanged",
    ]
    assert "Audit" in Path("kept/kubearmorpolicy-shadow.yaml").read_text()


def test_apply_keeps_comments() -> None:
    """Those before the marker of a document belong to it, too."""
    Path("both.yaml").write_text(f"# a licence\n---\n{SHADOW}--- # the other\n{HOST}")
    run("apply", "both.yaml")

    assert Path("kept/kubearmorpolicy-shadow.yaml").read_text() == f"# a licence\n---\n{SHADOW}"
    assert Path("kept/kubearmorhostpolicy-tools.yaml").read_text() == f"--- # the other\n{HOST}"
    assert run("apply", "both.yaml", "--policies", "kept")[1].count("unchanged") == 2


def test_apply_of_an_error_writes_nothing() -> None:
    """Not even what is right."""
    code, text, errors = run("apply", "shadow.yaml", "error.yaml")

    assert (code, text) == (3, "")
    assert "error.yaml:10: error" in errors
    assert not Path("kept").exists()


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "..", "/etc/x", "ä ö", "x" * 253, "a;rm -rf"])
def test_hostile_name_stays_in_the_directory(name: str) -> None:
    """Whatever a policy is called, its file lies in the directory; and it can be deleted by that name."""
    Path("kept").mkdir()
    before = sorted(Path.cwd().rglob("*"))
    Path("shadow.yaml").write_text(SHADOW.replace("name: shadow", f"name: '{name}'"))
    run("apply", "shadow.yaml")
    (new,) = set(Path.cwd().rglob("*")) - set(before)

    assert new.parent == Path.cwd() / "kept"
    assert new.suffix == ".yaml"
    assert run("apply", "shadow.yaml")[1].endswith(" unchanged\n")
    assert run("delete", name)[0] == 0
    assert kept() == []


def test_names_that_look_alike_have_files_of_their_own() -> None:
    """`a-b` in no namespace and `b` in the namespace `a` are two policies."""
    for metadata in ("name: a-b", "name: b, namespace: a"):
        Path("shadow.yaml").write_text(SHADOW.replace("name: shadow", metadata))
        assert run("apply", "shadow.yaml")[1].endswith(" applied\n")

    assert len(kept()) == 2
    assert len(json.loads(run("list", "--format", "json")[1])) == 2


def test_apply_and_delete_in_a_file_of_several() -> None:
    """A policy that stands in a file with others is changed and deleted there."""
    Path("kept").mkdir()
    Path("kept/mine.yaml").write_text(f"{SHADOW}---\n{HOST}")
    Path("shadow.yaml").write_text(SHADOW.replace("Block", "Audit"))
    run("apply", "shadow.yaml")

    assert kept() == ["mine.yaml"]
    assert Path("kept/mine.yaml").read_text() == f"{SHADOW.replace('Block', 'Audit')}---\n{HOST}"
    run("delete", "shadow")
    assert Path("kept/mine.yaml").read_text() == HOST
    run("delete", "tools")
    assert kept() == []


def test_apply_where_nothing_can_be_written() -> None:
    """The error names the file."""
    Path("file").write_text("")
    with pytest.raises(SinkError, match=r"cannot write file/kubearmorpolicy-shadow\.yaml: "):
        run("apply", "shadow.yaml", "--policies", "file")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shado",), "did you mean `shadow`"),
        (("zzz",), "`hauberk policy list` shows"),
        (("shadow", "--kind", "KubeArmorHostPolicy"), "of another kind or namespace"),
        (("tools",), "2 policies are called so: KubeArmorHostPolicy tools, KubeArmorPolicy tools"),
    ],
)
def test_delete_of_none_or_several(arguments: tuple[str, ...], message: str) -> None:
    """Nothing is deleted that was not meant."""
    Path("other.yaml").write_text(SHADOW.replace("name: shadow", "name: tools"))
    run("apply", "shadow.yaml", "other.yaml", "host.yaml")
    with pytest.raises(ConfigError) as raised:
        run("delete", *arguments)

    assert message in str(raised.value)
    assert len(kept()) == 3


def test_list() -> None:
    """One row a policy; where there is none, that is said."""
    assert run("list")[1] == "no policies in " + str(Path.cwd() / "kept") + "\n"
    run("apply", "shadow.yaml", "host.yaml")
    header, *rows = run("list")[1].splitlines()

    assert header.split() == ["kind", "namespace", "name", "rules", "actions", "selector", "file"]
    assert [row.split()[:7] for row in rows] == [
        ["KubeArmorHostPolicy", "tools", "3", "Audit", "1,", "Block", "2"],
        ["KubeArmorPolicy", "shadow", "1", "Block", "1", "app=web", str(Path.cwd() / "kept/kubearmorpolicy-shadow.yaml")],
    ]  # fmt: skip


WEB = ("--policies", "shadow.yaml", "--policies", "host.yaml", "--label", "app=web")
ON_HOST = ("--policies", "shadow.yaml", "--policies", "host.yaml", "--host")


@pytest.mark.parametrize(
    ("arguments", "first", "others"),
    [
        (("/etc/shadow", "--write", *WEB), "Block  write /etc/shadow",
         ["decides    shadow (shadow.yaml:9): it is about file /etc/shadow, for all but reading; readOnly: it is written to",
          "not asked  1 policy that does not hold for this workload"]),
        (("/etc/shadow", *WEB), "passes  read /etc/shadow",
         ["nearly     Block by shadow (shadow.yaml:9): readOnly: it is only read"]),
        (("/etc/shadow", "--write", "--policies", "shadow.yaml", "--label", "app=db"),
         "passes  write /etc/shadow", ["decides    no rule is about such an access"]),
        (("/etc/shadow", "--write", "--policies", "shadow.yaml"), "Block  write /etc/shadow", []),
        (("/opt/nc", "--operation", "process", "--argument", "-l", *ON_HOST), "Block  execute /opt/nc -l",
         ["decides    tools (host.yaml:8): it is about process named nc"]),
        (("/usr/bin/id", "--operation", "process", "--source", "/usr/bin/bash", *ON_HOST),
         "passes  execute /usr/bin/id by /usr/bin/bash",
         ["nearly     Audit by tools (host.yaml:9): fromSource: it is for /usr/bin/sh, and /usr/bin/bash acts"]),
    ],
)  # fmt: skip
def test_explain(arguments: tuple[str, ...], first: str, others: list[str]) -> None:
    """Which rule decides, and what keeps the others from it."""
    head, *lines = run("explain", *arguments)[1].splitlines()

    assert head == first
    assert [line for line in others if f"  {line}" not in lines] == []


def test_explain_the_posture() -> None:
    """What no Allow rule covers, and what comes later in the order."""
    Path("allow.yaml").write_text(SHADOW.replace("Block", "Allow").replace("name: shadow", "name: list"))
    chosen = ("--policies", "allow.yaml", "--policies", "shadow.yaml", "--label", "app=web")
    head, *lines = run("explain", "/etc/hosts", *chosen)[1].splitlines()

    assert head == "Audit  read /etc/hosts"
    assert (
        "there are Allow rules for such accesses and none covers this one: the posture audit acts" in lines[0]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "say what to explain"),
        (("/f", "--event", "-"), "say what to explain"),
        (("--protocol", "tcp", "--capability", "chown"), "and one thing only"),
        (("--recording", "x.rec", "--preset", "exec"), "and one thing only"),
        (("/f", "--protocol", "tcp"), "--protocol goes without a path"),
        (("/f", "--record", "1"), "say which by --recording"),
        (("--protocol", "tcpp"), "no protocol is called `tcpp`; did you mean `tcp`"),
        (("--capability", "zzz"), "no capability is called `zzz`; there are chown, "),
        (("--syscall", "unlinked"), "did you mean `unlink`"),
        (("--preset", "FilelessExec"), "did you mean `filelessExec`"),
        (("--recording", "missing.rec", "--policies", "host.yaml"), "cannot read the recording missing.rec"),
        (("etc/shadow",), "etc/shadow is not absolute"),
        (("/f",), "no policies are in .*; name their files by --policies"),
        (("/f", "--label", "web"), "a label is written key=value, not web"),
        (("/f", "--host", "--container", "x", "--policies", "host.yaml"), "in no container"),
        (("/f", "--policies", "error.yaml"), "^error.yaml:10: .*readonly"),
        (("--event", "missing.json", "--policies", "host.yaml"), "cannot read the events in missing.json"),
    ],
)
def test_explain_what_cannot_be(arguments: tuple[str, ...], message: str) -> None:
    """The error says what to do."""
    with pytest.raises(HauberkError, match=message):
        run("explain", *arguments)


EVENTS = [
    {"Operation": "File", "ProcessName": "/usr/bin/vi", "Resource": "/etc/shadow", "ContainerName": "web",
     "Labels": "app=web,tier=front", "EventData": {"syscall": "openat", "flags": "O_RDWR"}},
    {"Operation": "Process", "ParentProcessName": "/usr/bin/sh", "ProcessName": "/usr/bin/id",
     "Resource": "/usr/bin/id", "EventData": {"syscall": "execve", "argv": "/usr/bin/id"}},
    {"Operation": "Network", "ProcessName": "/usr/bin/x", "EventData": {"syscall": "connect", "sa_family": "AF_INET"}},
    {"Operation": "Syscall", "Resource": "\u001b[2J", "EventData": {}},
]  # fmt: skip


def test_explain_events() -> None:
    """Each line for itself, with the workload that it names; what it does not tell is said."""
    lines = "\n".join(json.dumps(event) for event in EVENTS)
    _, text, _ = run(
        "explain", "--event", "-", "--policies", "shadow.yaml", "--policies", "host.yaml", given=lines
    )

    assert [line for line in text.splitlines() if not line.startswith("  ")] == [
        "Block  write /etc/shadow by /usr/bin/vi",
        "Audit  execute /usr/bin/id by /usr/bin/sh",
        "passes  socket of unknown kind by /usr/bin/x",
        "cannot be judged  Syscall \\x1b[2J: it tells too little",
    ]
    assert text.count("  unknown    what kind of socket it is: events do not tell it") == 1


def test_explain_events_as_they_come() -> None:
    """Each is answered before the next one, or the end."""
    command = [
        sys.executable,
        "-m",
        "hauberk",
        "policy",
        "explain",
        "--event",
        "-",
        "--policies",
        "host.yaml",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdin
        assert program.stdout
        for _ in range(2):
            program.stdin.write(json.dumps(EVENTS[1]) + "\n")
            program.stdin.flush()
            assert program.stdout.readline() == "Audit  execute /usr/bin/id by /usr/bin/sh\n"
            assert program.stdout.readline().startswith("  decides    tools (host.yaml:9)")
        program.stdin.close()
        assert program.wait() == 0


def test_explain_event_of_a_file_whose_owner_decides() -> None:
    """The answer is that for anybody else, and says so."""
    Path("shadow.yaml").write_text(SHADOW.replace("readOnly", "ownerOnly"))
    _, text, _ = run("explain", "--event", "-", "--policies", "shadow.yaml", given=json.dumps(EVENTS[0]))

    assert text.splitlines()[0] == "Block  write /etc/shadow by /usr/bin/vi"
    assert text.splitlines()[-1] == "  unknown    who owns the file: events do not tell it"


def test_explain_names_the_line_that_is_no_event() -> None:
    with pytest.raises(ConfigError, match=r"events\.json:2: no event of KubeArmor's"):
        Path("events.json").write_text(f"{json.dumps(EVENTS[0])}\n{{}}\n")
        run("explain", "--event", "events.json", "--policies", "host.yaml")


def exec_of(path: bytes, *, flags: RecordFlag = RecordFlag(0)) -> bytes:
    items = (
        (ItemKind.EXECUTABLE, 0, path),
        (ItemKind.ARGV, 0, path + b"\0"),
        (ItemKind.FILENAME, 0, path),
        CWD,
    )
    return frame(raw_record(*items, hook=Hook.EXEC, flags=flags))


def call(
    name: str, *items: tuple[ItemKind, int, bytes], arguments: tuple[int, ...], result: int = 0
) -> bytes:
    return frame(raw_record(*items, syscall=SYSCALLS[name], arguments=arguments, result=result))


WORDS = """\
apiVersion: security.kubearmor.com/v1
kind: KubeArmorPolicy
metadata: {name: words}
spec:
  selector: {}
  network: {matchProtocols: [{protocol: raw}, {protocol: tcp, fromSource: [{path: /usr/bin/curl}]}]}
  capabilities: {matchCapabilities: [{capability: net_raw}]}
  syscalls: {matchPaths: [{syscall: [unlink], path: /etc/, recursive: true}]}
  presets: [{name: filelessExec}]
"""


@pytest.mark.parametrize(
    ("arguments", "first", "second"),
    [
        (("--protocol", "icmp"), "Block  socket raw icmp", "decides    words (words.yaml:6): it is about network raw"),
        (("--protocol", "stream"), "passes  socket stream", "decides    no rule matches"),
        (("--protocol", "TCP", "--source", "/usr/bin/wget"), "passes  socket stream tcp by /usr/bin/wget",
         "nearly     Block by words (words.yaml:6): fromSource: it is for /usr/bin/curl, and /usr/bin/wget acts"),
        (("--protocol", "tcp", "--source", "/usr/bin/curl"), "Block  socket stream tcp by /usr/bin/curl",
         "decides    words (words.yaml:6): it is about network tcp, from /usr/bin/curl"),
        (("--capability", "CAP_NET_RAW"), "Block  use CAP_NET_RAW", "decides    words (words.yaml:7)"),
        (("--syscall", "unlink", "/etc/a/b"), "Audit  call unlink /etc/a/b", "decides    words (words.yaml:8)"),
        (("--syscall", "unlink"), "passes  call unlink", "decides    no rule matches"),
        (("--preset", "filelessExec", "/dev/shm/x"), "Block  fileless exec /dev/shm/x", "decides    words (words.yaml:9)"),
        (("--preset", "protectProc"), "passes  protect proc", "decides    no rule is about such an access"),
    ],
)  # fmt: skip
def test_explain_by_the_words_of_rules(arguments: tuple[str, ...], first: str, second: str) -> None:
    """A protocol, a capability, a system call and a preset can be asked about, on a workload as paths can."""
    Path("words.yaml").write_text(WORDS)
    head, *lines = run("explain", *arguments, "--policies", "words.yaml", "--container", "web")[
        1
    ].splitlines()

    assert head == first
    assert any(line.startswith(f"  {second}") for line in lines), lines


def test_every_word_that_can_be_asked_about_is_one_of_rules() -> None:
    """A rule for just this matches just what is asked."""
    for kind, section in (
        ("protocol", "network: {matchProtocols: [{protocol: %s}]}"),
        ("capability", "capabilities: {matchCapabilities: [{capability: %s}]}"),
        ("syscall", "syscalls: {matchSyscalls: [{syscall: [%s]}]}"),
        ("preset", "presets: [{name: %s}]"),
    ):
        for name in NAMES[kind]:
            text = WORDS.partition("  network:")[0] + f"  {section % name}\n"
            (policy,) = parse_documents(text, "p.yaml").policies
            assert matches(policy.rules[0], asked(kind, name)), (kind, name)


def test_explain_native_alert() -> None:
    """A line that Hauberk wrote is explained by the rule that it names."""
    line = (GOLDEN / "container-file-alert" / "kubearmor.out").read_text()
    alert = json.loads(line)
    text = SHADOW.replace("/etc/shadow", alert["Resource"]).replace("readOnly: true", "severity: 1")
    Path("shadow.yaml").write_text(text.replace("{matchLabels: {app: web}}", "{}"))
    _, told, _ = run("explain", "--event", "-", "--policies", "shadow.yaml", given=json.dumps(alert))

    assert told.splitlines()[0].startswith("Block  ")
    assert f" {alert['Resource']} by {alert['ProcessName']}" in told.splitlines()[0]
    assert "decides    shadow (shadow.yaml:9)" in told.splitlines()[1]


def recorded() -> None:
    with Recorder(Path("x.rec"), Machine(Node("here"), 0, 4026531836)) as recorder:
        recorder.write(exec_of(b"/usr/bin/sh") + exec_of(b"/usr/bin/id") + exec_of(b"/usr/bin/ls"))
        recorder.write(call("openat", OBJECT_SHADOW, arguments=(0, 0, 1)) + exec_of(b"/opt/nc"))


OBJECT_SHADOW = (ItemKind.OBJECT, 0, b"/etc/shadow")


def test_explain_recording() -> None:
    """All records that have to do with a rule, by the number that simulate tells, or one alone."""
    recorded()
    Path("sources.yaml").write_text(HOST.replace("/usr/bin/sh}", "/usr/bin/dash}"))
    chosen = ("explain", "--recording", "x.rec", "--policies", "sources.yaml")
    lines = run(*chosen)[1].splitlines()

    assert [line for line in lines if not line.startswith("  ")] == [
        "record 2 in host: passes  execute /usr/bin/id by /usr/bin/sh",
        "record 5 in host: Block  execute /opt/nc by /usr/bin/ls",
        "2 of 5 records explained; no rule is about the others",
    ]
    assert (
        "  nearly     Audit by tools (sources.yaml:9): fromSource: it is for /usr/bin/dash, and /usr/bin/sh acts"
        in lines
    )
    (outcome,) = json.loads(run("simulate", "sources.yaml", "--recording", "x.rec", "--format", "json")[1])[
        "outcomes"
    ]
    assert outcome["record"] == 5
    assert run(*chosen, "--record", "5")[1].splitlines()[0] == lines[3]
    assert run(*chosen, "--record", "4")[1] == "record 4: no rule is about it\n"
    assert run(*chosen, "--record", "3")[1].splitlines() == [
        "record 3 in host: passes  execute /usr/bin/ls by /usr/bin/id",
        "  decides    no rule matches, and there is no Allow rule that would bring the posture in",
    ]
    with pytest.raises(ConfigError, match=r"x\.rec has 5 records that rules can ask about: there is no 6"):
        run(*chosen, "--record", "6")


def test_simulate() -> None:
    """Who executed is known from before, a socket from when it was made; what was filtered is judged too."""
    inet = (ItemKind.ADDRESS, 0, b"\x02\0" + bytes(14))
    batch = b"".join(
        (
            exec_of(b"/usr/bin/sh"),
            exec_of(b"/usr/bin/id", flags=RecordFlag.STATE),
            exec_of(b"/opt/nc"),
            exec_of(b"/home/nc"),
            call("socket", arguments=(2, 3, 1), result=7),
            call("connect", inet, arguments=(7,)),
            call("connect", inet, arguments=(8,)),
        )
    )
    with Recorder(Path("x.rec"), Machine(Node("here"), 0, 4026531836)) as recorder:
        recorder.write(batch)
    code, text, errors = run("simulate", "host.yaml", "--recording", "x.rec", "--format", "json")
    told = json.loads(text)

    assert (code, errors) == (0, "")
    assert [(each["rule"], each["action"], each["count"], each["example"]) for each in told["outcomes"]] == [
        ("host.yaml:10", "Block", 2, "/home/nc: socket raw icmp"),
        ("host.yaml:8", "Block", 2, "/usr/bin/id: execute /opt/nc"),
        ("host.yaml:9", "Audit", 1, "/usr/bin/sh: execute /usr/bin/id"),
    ]
    assert (told["records"], told["unjudged"]) == (7, 1)
    table = run("simulate", "host.yaml", "--recording", "x.rec")[1].splitlines()
    assert table[1].split() == [
        "host",
        "Block",
        "host.yaml:10",
        "tools",
        "2",
        "5",
        "/home/nc:",
        "socket",
        "raw",
        "icmp",
    ]
    assert table[-1].startswith(
        "records 7  accesses 10  blocked 4  audited 1  allowed 0  could not be judged 1"
    )


def test_cut_recording() -> None:
    """What is left is judged, and what is missing is said."""
    with Recorder(Path("x.rec"), Machine(Node("here"), 0, 4026531836)) as recorder:
        recorder.write(exec_of(b"/opt/nc"))
    with Path("x.rec").open("ab") as file:
        file.write(b"\1\2\3")
    _, text, errors = run("simulate", "host.yaml", "--recording", "x.rec")

    assert "host.yaml:8" in text
    assert "3 bytes at the end" in errors
    _, text, errors = run("explain", "--recording", "x.rec", "--policies", "host.yaml")
    assert "record 1 in host: Block  execute /opt/nc" in text
    assert "3 bytes at the end" in errors


def test_simulate_with_a_wrong_policy() -> None:
    """Nothing is judged by half of the policies."""
    with pytest.raises(PolicyError, match=r"error\.yaml:10"):
        run("simulate", "error.yaml", "--recording", "x.rec")
