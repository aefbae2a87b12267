"""What globs mean, as an expression and as an automaton."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hauberk.errors import PolicyError
from hauberk.policy import globs
from hauberk.policy.globs import Automaton, compile_glob, literal_length


def matches(glob: str, path: str) -> bool:
    return compile_glob(glob).fullmatch(path.encode()) is not None


@pytest.mark.parametrize(
    ("glob", "matching", "others"),
    [
        ("/etc/shadow", ["/etc/shadow"], ["/etc/shadow-", "/etc/shado", "/x/etc/shadow", "/etc/Shadow"]),
        ("/etc/*hado?", ["/etc/shadow", "/etc/hadow", "/etc/gshadow"], ["/etc/hado", "/etc/a/shadow"]),
        ("/a?c", ["/abc", "/a c", "/a\nc"], ["/a/c", "/ac", "/abbc"]),
        ("/a*c", ["/ac", "/abc", "/abcc", "/a\nc"], ["/a/c", "/ab", "/abc/c"]),
        ("/a**c", ["/ac", "/a/c", "/a/b/c", "/a\nc"], ["/a/b", "/b/c"]),
        ("/etc/**", ["/etc/", "/etc/a", "/etc/a/b"], ["/etc", "/etca"]),
        ("**/bin", ["/bin", "/usr/bin", "bin/bin"], ["bin", "/bin/", "/sbin"]),
        ("/a***c", ["/ac", "/a/b/c"], ["/a/b"]),
        ("/[a-c]", ["/a", "/b", "/c"], ["/d", "/-", "/", "/ab"]),
        ("/[abz]", ["/a", "/z"], ["/c", "//"]),
        ("/[^a-c]", ["/d", "/^", "/-"], ["/a", "/c", "//", "/"]),
        ("/[!a-c]", ["/d", "/!"], ["/a", "//"]),
        ("/[]a]", ["/]", "/a"], ["/[", "/"]),
        ("/[^]a]", ["/b", "/["], ["/]", "/a"]),
        ("/[!]a]", ["/b", "/["], ["/]", "/a"]),
        ("/[a-]", ["/a", "/-"], ["/b"]),
        ("/[-a]", ["/a", "/-"], ["/b"]),
        ("/[.-0]", ["/.", "/0"], ["//"]),
        ("/[*?{]", ["/*", "/?", "/{"], ["/a"]),
        ("/{a,bc}d", ["/ad", "/bcd"], ["/d", "/abcd", "/bd", "/{a,bc}d"]),
        ("/a{,.bak}", ["/a", "/a.bak"], ["/a.", "/a,.bak"]),
        ("/{a,{b,c}d}e", ["/ae", "/bde", "/cde"], ["/be", "/ade"]),
        ("/{a/b,**.so}", ["/a/b", "/x/y.so", "/.so"], ["/a", "/x/y"]),
        ("/{[,}],x}", ["/,", "/}", "/x"], ["/[,}]"]),
        ("{/bin,/usr/bin}/ls", ["/bin/ls", "/usr/bin/ls"], ["/sbin/ls", "/ls"]),
        (r"/a\*", ["/a*"], ["/ab", "/a\\*"]),
        (r"/a\[b\{c\?\\", ["/a[b{c?\\"], ["/ab"]),
        (r"/{a\,b,c\}}", ["/a,b", "/c}"], ["/a", "/b", "/c"]),
        ("/a\\", ["/a\\"], ["/a"]),
        ("/a}b,c]", ["/a}b,c]"], ["/ab"]),
        ("/a.b+c(d)|^$", ["/a.b+c(d)|^$"], ["/aXb+c(d)|^$"]),
        ("/ä*", ["/ä", "/äö"], ["/a", "/Ã"]),
        ("/{ä,ö}", ["/ä", "/ö"], ["/ü"]),
    ],
)  # fmt: skip
def test_a_glob_matches_these_and_not_those(glob: str, matching: list[str], others: list[str]) -> None:
    assert [path for path in matching if not matches(glob, path)] == []
    assert [path for path in others if matches(glob, path)] == []


def test_a_question_mark_is_a_byte() -> None:
    """A letter beyond ASCII is several."""
    assert not matches("/?", "/ä")
    assert matches("/??", "/ä")


def test_a_path_need_not_be_text() -> None:
    assert compile_glob("/a?b*").fullmatch(b"/a\xffb\xfe\xff")


def test_a_path_matches_from_its_beginning_to_its_end() -> None:
    """A newline at the end is a byte like any other."""
    assert not compile_glob("/a").fullmatch(b"/a\n")


@pytest.mark.parametrize(
    ("glob", "reason"),
    [
        ("/[a", "opens a bracket that it does not close"),
        ("/[", "opens a bracket that it does not close"),
        ("/[]", "opens a bracket that it does not close"),
        ("/[^]", "opens a bracket that it does not close"),
        ("/[!]", "opens a bracket that it does not close"),
        ("/{a,[b}", "opens a bracket that it does not close"),
        ("/{a", "opens a brace that it does not close"),
        ("/{a,", "opens a brace that it does not close"),
        ("/{", "opens a brace that it does not close"),
        ("/{a,{b}", "opens a brace that it does not close"),
        ("/{a\\}", "opens a brace that it does not close"),
        ("/[äö]", "has more than ASCII in brackets"),
        ("/[z-a]", "has brackets that nothing matches"),
        ("/a[/]b", "has brackets that nothing matches"),
        ("/" + "{" * 5000 + "}" * 5000, "nests braces more than"),
    ],
)
def test_a_glob_that_means_nothing_is_refused(glob: str, reason: str) -> None:
    with pytest.raises(PolicyError, match=reason):
        compile_glob(glob)
    with pytest.raises(PolicyError, match=reason):
        Automaton().add([(glob, 1)])


def test_the_refusal_of_a_long_glob_can_be_read() -> None:
    with pytest.raises(PolicyError) as caught:
        compile_glob("/" + "{" * 5000)

    assert len(str(caught.value)) < 300


def test_literal_length_counts_what_stands_for_itself() -> None:
    expected = {"/etc/*hado?": 9, "/a**": 2, "/[a]": 2, "/[ab]": 1, "/{abc,d}": 1, r"/\*": 2, "/ä": 3, "": 0}

    assert {glob: literal_length(glob) for glob in expected} == expected


# The automaton

ALPHABET = "ab/.é\n"
LITERALS = st.text(ALPHABET, min_size=1, max_size=3)
ATOMS = st.one_of(
    LITERALS,
    st.sampled_from(["*", "**", "?", "[ab]", "[^a]", "[!b.]", "[a-z]", "[]a]", "\\*", "\\{", "x"]),
)
GLOBS = st.recursive(
    st.lists(ATOMS, max_size=5).map("".join),
    lambda inner: st.builds(
        lambda before, each, after: f"{before}{{{','.join(each)}}}{after}",
        st.lists(ATOMS, max_size=2).map("".join),
        st.lists(inner, min_size=1, max_size=3),
        st.lists(ATOMS, max_size=2).map("".join),
    ),
    max_leaves=4,
)
PATHS = st.one_of(
    st.text(ALPHABET + "*{x", max_size=8).map(str.encode),
    st.binary(max_size=6).map(lambda path: path.replace(b"\0", b"/")),
)


def accepted(automaton: Automaton, state: int, path: bytes) -> frozenset[int]:
    for byte in path:
        state = automaton.rows[state][byte]
    return automaton.accepts[state]


@given(st.lists(GLOBS, min_size=1, max_size=5), st.lists(PATHS, min_size=5, max_size=20))
@settings(deadline=None, max_examples=300)
@example(["/*", "/**", "/a"], [b"/a", b"/a/b", b"/", b"", b"/a\n", b"/\xff"])
@example(["{,a}{,a}b"], [b"b", b"ab", b"aab", b"aaab"])
def test_the_automaton_accepts_what_the_expressions_match(patterns: list[str], paths: list[bytes]) -> None:
    automaton = Automaton()
    start = automaton.add([(pattern, number) for number, pattern in enumerate(patterns, start=1)])

    for path in paths:
        expected = {
            number
            for number, pattern in enumerate(patterns, start=1)
            if compile_glob(pattern).fullmatch(path)
        }
        assert accepted(automaton, start, path) == expected, (patterns, path)


def test_automata_in_one_table_do_not_know_each_other() -> None:
    automaton = Automaton()
    first = automaton.add([("/a*", 1)])
    second = automaton.add([("/a*", 2), ("/b", 3)])

    assert accepted(automaton, first, b"/ab") == {1}
    assert accepted(automaton, first, b"/b") == set()
    assert accepted(automaton, second, b"/ab") == {2}
    assert accepted(automaton, second, b"/b") == {3}


def test_state_0_and_the_nul_lead_nowhere() -> None:
    automaton = Automaton()
    automaton.add([("**", 1), ("/[^a]*", 2)])

    assert set(automaton.rows[0]) == {0}
    assert automaton.accepts[0] == frozenset()
    assert {row[0] for row in automaton.rows} == {0}
    assert {len(row) for row in automaton.rows} == {256}


def test_alike_globs_share_states() -> None:
    """A thousand names in one directory cost about a state a letter, not a thousand walks."""
    automaton = Automaton()
    automaton.add([(f"/usr/share/doc/*/{number:03}", number) for number in range(1000)])

    assert len(automaton.rows) < 3000


def test_more_states_than_the_kernel_takes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(globs, "GLOB_STATES", 8)
    assert Automaton().add([("/abcde", 1)]) == 1  # and six after it, and state 0

    with pytest.raises(PolicyError, match="more than 8 states together"):
        Automaton().add([("/abcdefg", 1)])
