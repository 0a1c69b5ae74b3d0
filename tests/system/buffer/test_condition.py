"""A condition selects the steps that SQLite selects from a table of single steps, and its errors say what would do."""

import sqlite3
from contextlib import closing, suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from user_gym.errors import BadOption
from user_gym.system.buffer.condition import KNOWN, OF_BLOCK, parse
from user_gym.system.buffer.grammar import DEEPEST, LONGEST, MOST

TEXTS = ("a", "B", "a_b", "50%", "it's", "é", "")
STEP = ("policy_version", "reward", "time", "is_intervention", "terminated", "truncated", "reward_source", "score")
numbers = st.sampled_from([-2, -1, 0, 1, 2, 3, 0.5, -0.25, 1.75])
texts = st.sampled_from(TEXTS)


def of_kind(kind):
    return sorted(name for name, column in KNOWN.items() if (column.kind == "text") == (kind == "text"))


def written(value):
    return "'{}'".format(value.replace("'", "''")) if isinstance(value, str) else str(value)


def named(kind):
    return st.sampled_from([*of_kind(kind), *(["score"] if kind == "number" else [])]).map(
        lambda name: '"return"' if name == "return" else name
    )


@st.composite
def leaves(draw):
    kind, value = draw(st.sampled_from([("text", texts), ("number", numbers)]))
    column, literal = draw(named(kind)), value.map(written)
    comparison = draw(st.sampled_from(["=", "==", "!=", "<>", "<", "<=", ">", ">="]))
    other = draw(st.one_of(named(kind), literal))
    negative, patterns = draw(st.sampled_from(["", "NOT "])), st.sampled_from(["%a%", "_", "A%", "%", "%b", "a_b%", "%_%_", ""])
    return draw(
        st.sampled_from(
            [
                f"{column} {comparison} {other}",
                f"{draw(literal)} {comparison} {column}",
                f"{column} {negative}BETWEEN {draw(literal)} AND {draw(literal)}",
                f"{column} {negative}in ({', '.join(draw(st.lists(literal, min_size=1, max_size=3)))})",
                f"{column} IS {negative}NULL",
                f"{draw(named('text'))} {negative}LIKE {written(draw(patterns))}",
                draw(st.sampled_from(["success", "is_intervention", "terminated", "truncated", "TRUE", "false"])),
            ]
        )
    )


conditions = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR", "or"]), inner).map(" ".join),
        inner.map("NOT {}".format),
        inner.map("({})".format),
    ),
    max_leaves=6,
)


@st.composite
def blocks(draw):
    """One value for each column of the block, and of each step."""
    n, kinds = draw(st.integers(1, 4)), {"text": texts, "whole": st.integers(-1, 3), "flag": st.integers(0, 1)}
    whole = {name: draw(kinds.get(kind, numbers)) for name, kind in OF_BLOCK.items()} | {"steps": n}
    steps = {name: draw(st.lists(kinds.get(KNOWN[name].kind, numbers), min_size=n, max_size=n)) for name in STEP[:-1]}
    for name in ("terminated", "truncated"):
        steps[name] = [0] * (n - 1) + steps[name][-1:]
    for name in ("policy_version", "reward", "time"):
        whole |= {f"{name}_min": min(steps[name]), f"{name}_max": max(steps[name])}
    whole |= {name: steps[name][-1] for name in ("terminated", "truncated")} | {"interventions": sum(steps["is_intervention"])}
    return whole, steps | {"score": draw(st.lists(st.one_of(st.none(), numbers), min_size=n, max_size=n))}


def as_arrays(whole, steps):
    arrays = {name: np.array([np.nan if v is None else v for v in values]) for name, values in steps.items()}
    return whole | arrays | {name: arrays[name].astype(np.float32) for name in ("reward", "score")}


@settings(max_examples=400, deadline=None)
@given(conditions, st.lists(blocks(), min_size=1, max_size=4))
def test_it_selects_the_steps_that_sqlite_selects_among_single_steps(text, made):
    condition = parse(text, labels=["score"])
    possibly, certainly = condition.possibly(), condition.certainly()
    for whole, steps in made:
        n = whole["steps"]
        rows = [whole | {name: values[i] for name, values in steps.items()} for i in range(n)]
        with closing(sqlite3.connect(":memory:")) as database:
            for table, of in (("chunks", [whole]), ("steps", rows)):
                names, marks = ", ".join(f'"{name}"' for name in of[0]), ", ".join("?" * len(of[0]))
                database.execute(f"CREATE TABLE {table} ({names})")
                database.executemany(f"INSERT INTO {table} VALUES ({marks})", [tuple(row.values()) for row in of])
            truth = [bool(value) for (value,) in database.execute(f"SELECT ({text}) FROM steps ORDER BY rowid")]
            select = f"SELECT ({possibly.text}), ({certainly.text}) FROM chunks"
            possible, certain = map(bool, database.execute(select, possibly.values + certainly.values).fetchone())
        assert condition.steps(as_arrays(whole, steps), n).tolist() == truth
        assert possible or not any(truth)
        assert all(truth) or not certain
        if not condition.of_step and possible:
            assert certain  # nothing is left to ask of the steps


@pytest.mark.parametrize(
    ("text", "possible", "certain"),
    [
        ("policy_version > 4", 1, 0),
        ("policy_version >= 3", 1, 1),
        ("policy_version > 7", 0, 0),
        ("NOT policy_version > 7", 1, 1),
        ("policy_version = 5", 1, 0),
        ("policy_version != 9", 1, 1),
        ("policy_version IN (1, 2)", 0, 0),
        ("policy_version IN (1, 3)", 1, 0),
        ("policy_version IN (7, 9)", 1, 0),
        ("policy_version NOT IN (1, 2)", 1, 1),
        ("is_intervention", 1, 0),
        ("NOT is_intervention AND success", 1, 0),
        ("terminated", 0, 0),
        ("NOT truncated OR reward_source = 'x'", 1, 1),
        ("reward_source = 'x'", 1, 0),
        ("time IS NULL", 0, 0),
        ("policy_version_min < policy_version", 1, 0),
    ],
)
def test_a_block_is_decided_from_its_row_where_that_can_be(text, possible, certain):
    row = {"policy_version_min": 3, "policy_version_max": 7, "steps": 5, "interventions": 2, "success": 1}
    row |= {"terminated": 0, "truncated": 0}
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"CREATE TABLE chunks ({', '.join(row)})")
        database.execute(f"INSERT INTO chunks VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
        condition = parse(text)
        for sql, expected in ((condition.possibly(), possible), (condition.certainly(), certain)):
            assert database.execute(f"SELECT {sql.text} FROM chunks", sql.values).fetchone() == (expected,)


def test_a_number_is_rounded_to_the_column_it_is_compared_with():
    reward = np.array([0.1, 0.3], np.float32)
    assert parse("reward = 0.1").steps({"reward": reward}, 2).tolist() == [True, False]
    assert parse("reward > 0.1 AND reward < 1e300").steps({"reward": reward}, 2).tolist() == [False, True]
    assert parse("policy_version = 9007199254740993").possibly().values[0] == 9007199254740993
    assert parse("episode = 3.0").possibly().values == (3,)


def test_what_one_value_decides_holds_for_all_steps():
    assert parse("robot LIKE 'Franka-%'").steps({"robot": "franka-fr3"}, 3).tolist() == [True] * 3
    assert parse("TRUE").steps({}, 2).tolist() == [True, True]


def test_a_condition_within_another_is_both():
    inner = parse("reward > 0 OR success").within(parse("kind = 'demo' OR kind = 'policy'"))
    columns = {"reward": np.array([1.0, -1.0]), "success": 0, "kind": "demo"}
    assert inner.steps(columns, 2).tolist() == [True, False]
    assert not inner.steps(columns | {"kind": "x"}, 2).any()
    assert (inner.of_block, inner.of_step) == ({"kind", "success"}, {"reward"})
    assert parse(inner.text).expression == inner.expression


def test_patterns_of_many_wildcards_take_no_time():
    text = "a" * 20_000
    assert not parse(f"reward_source LIKE '{'%a' * 400}b'").steps({"reward_source": np.array([text])}, 1)[0]


def test_long_conditions_stay_shallow_for_sqlite():
    text = " OR ".join(f"(source = 's{i}' AND episode = {i})" for i in range(MOST // 2))
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE chunks (source, episode)")
        database.execute("INSERT INTO chunks VALUES ('s7', 7), ('s7', 8)")
        sql = parse(text).possibly()
        assert database.execute(f"SELECT count(*) FROM chunks WHERE {sql.text}", sql.values).fetchone() == (1,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "position 1: the end; a column or a value"),
        ("robt = 'x'", "position 1: unknown column 'robt'; did you mean 'robot'"),
        ("success AND Robot = 'x'", "position 13: unknown column 'Robot'; did you mean 'robot'"),
        ("robot = franka", "position 9: unknown column 'franka'; text stands in single quotes"),
        ('robot = "franka"', "position 9: unknown column 'franka'"),
        ('robot = "seven"', "did you mean 'sequence'\\? text stands in single quotes"),
        ("robot = 5", "'robot', which is text, compared with 5"),
        ("episode = '5'", "'episode', which is a number, compared with '5'"),
        ("robot = episode", "text compared with a number"),
        ("1) OR (1", "position 1: '1' alone; only a flag stands alone"),
        ("episode", "position 1: 'episode' alone; only a flag"),
        ("success) OR (success", r"position 8: '\)' after a whole condition"),
        ("(success", r"position 9: the end; \) belongs here"),
        ("success; DROP TABLE chunks", "position 8: '; '; there are no"),
        ("success -- so", "position 9: '--'; there are no"),
        ("success /* so */", r"position 9: '/\*'"),
        ("success = ?", r"position 11: '\?'"),
        ("kind = 'demo", "position 8: no second '; close the text"),
        ('kind = "demo', 'position 8: no second "; close the text'),
        ('kind = ""', "position 8: a column without a name; text stands in single quotes"),
        ("abs(episode) = 1", "the function 'abs'"),
        ("load_extension('x')", "the function 'load_extension'"),
        ("episode IN (SELECT 1)", "unknown column 'SELECT'"),
        ("episode IN ()", r"position 13: '\)'; a column or a value"),
        ("episode IN (steps)", "column 'steps' in a list"),
        ("steps > (1)", "no subqueries"),
        ("episode + 1 = 2", r"position 9: '\+ '"),
        ("episode = 12abc", "position 11: '12'"),
        ("success = NULL", "write: column IS NULL"),
        ("success IS 1", "NULL belongs here"),
        ("success NOT IS NULL", "write IS NOT NULL"),
        ("success NOT", "position 12: the end; after NOT: BETWEEN, IN or LIKE"),
        ("episode LIKE 'a'", "text columns, and 'a pattern'"),
        ("robot LIKE 5", "text columns, and 'a pattern'"),
        ("5 IN (5)", "'5' before IN; write a column"),
        ("1 < steps < 5", "position 11: '<' after a whole condition"),
        ("reward > 1e999", "write a number below"),
        ("kind = 'a\0'", "position 10: the character NUL"),
        ("kind = '\ud800'", "half a character"),
        ("(" * (DEEPEST + 1) + "success", f"more than {DEEPEST} brackets"),
        ("NOT " * 10_000 + "success", f"more than {DEEPEST} brackets"),
        (f"episode IN ({','.join(['1'] * MOST)})", f"more than {MOST} comparisons"),
        (" " * LONGEST + "success", f"write at most {LONGEST}"),
        (7, "bad view condition 7; allowed: text"),
    ],
)
def test_an_error_says_what_is_wrong_where_and_what_would_do(text, says):
    with pytest.raises(BadOption, match=says) as caught:
        parse(text)
    if isinstance(text, str):
        said = str(caught.value)
        lists_columns = "policy_version_min" in said
        assert lists_columns == ("unknown column" in said or "a column or a value" in said)
        assert len(said) < 1200


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("abcselTRUE '\"()<>=!,.%-/*;?1e9\n\0é"), max_size=40))
def test_whatever_the_text_it_is_a_condition_or_a_bad_option(text):
    with suppress(BadOption):
        parse(text)
