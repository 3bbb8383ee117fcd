import re

import numpy as np
import pandas as pd
import pytest

from cisnake.errors import InputError
from cisnake.interpret.contrasts import Contrast, each_group, resolve_contrast, resolve_contrasts
from cisnake.sections import ContrastSection, as_section

TASKS = ["heat_5", "heat_20", "acid_5", "control"]
TABLE = pd.DataFrame(
    {
        "task": TASKS,
        "group": ["heat", "heat", "acid", "control"],
        "minutes": ["5", "20", "5", ""],
        "batch": ["1", "2", "x", "1"],
    }
)


def resolve(**section):
    return resolve_contrast("mine", as_section(ContrastSection, {"score": "specificity"} | section), TABLE)


def test_groups_and_names_give_tasks_once():
    contrast = resolve(on_tasks=["heat", "heat_20", "acid_5"], off_tasks=["control"])
    assert contrast == Contrast("mine", ("heat_5", "heat_20", "acid_5"), ("control",), "specificity")


BOTH = pd.DataFrame({"task": ["liver", "liver.1", "blood", "skin"], "group": ["liver", "liver", "skin", "skin's"]})


@pytest.mark.parametrize("side", ["on_tasks", "off_tasks"])
@pytest.mark.parametrize(
    ("names", "name", "other", "as_task", "as_group"),
    [
        (["liver"], "liver", "liver.1", {"liver"}, {"liver", "liver.1"}),
        (["skin"], "skin", "blood", {"skin"}, {"blood"}),
        (["skin's", "liver"], "liver", "liver.1", {"skin", "liver"}, {"skin", "liver", "liver.1"}),
    ],
)
def test_a_name_that_is_a_task_and_a_group_is_refused_with_both_spellings(side, names, name, other, as_task, as_group):
    def select(chosen):
        section = {"score": "aggregate"}
        if side == "off_tasks":
            free = [task for task in BOTH["task"] if task not in as_task | as_group]
            section = {"score": "specificity", "on_tasks": f"task == {free[0]!r}"}
        return resolve_contrast("mine", as_section(ContrastSection, section | {side: chosen}), BOTH)

    with pytest.raises(
        InputError, match=rf"contrast mine: '{name}' in {side} is a task, and also a group .*\({other}\)"
    ) as error:
        select(names)
    queries = re.findall(rf'{side}: "(.+?)" for', str(error.value))
    for query, expected in zip(queries, (as_task, as_group), strict=True):
        assert set(getattr(select(query), side)) == expected


def test_a_name_that_is_a_task_and_a_group_is_no_matter_if_both_select_the_same():
    alone = pd.DataFrame({"task": ["a", "b", "c"], "group": ["a", "x", "x"]})
    assert resolve_contrast("mine", ContrastSection(("a",), None, "specificity"), alone).on_tasks == ("a",)
    whole = ContrastSection(("liver", "liver.1"), None, "specificity")
    assert resolve_contrast("mine", whole, BOTH).on_tasks == ("liver", "liver.1")


def test_each_group_means_groups_whatever_the_names_of_tasks():
    contrasts = {contrast.name: contrast.on_tasks for contrast in resolve_contrasts("each_group", BOTH)}
    assert contrasts == {"liver": ("liver", "liver.1"), "skin": ("blood",), "skin_s": ("skin",)}


@pytest.mark.parametrize("off", [{}, {"off_tasks": []}, {"off_tasks": None}])
def test_off_left_out_is_all_others(off):
    assert resolve(on_tasks=["heat"], **off).off_tasks == ("acid_5", "control")


def test_aggregate_has_no_off():
    assert resolve(on_tasks=["heat"], score="aggregate") == Contrast("mine", ("heat_5", "heat_20"), (), "aggregate")


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"on_tasks": ["heat"], "off_tasks": ["acid"], "score": "aggregate"}, "has off_tasks, but its score is aggregate"),
        ({"on_tasks": ["heat"], "off_tasks": ["heat_20", "acid"]}, "the task heat_20 in both on_tasks and off_tasks"),
        ({"on_tasks": ["heta"]}, "contrast mine 'heta': did you mean heat"),
        ({"on_tasks": ["heat"], "off_tasks": ["contrl"]}, "did you mean control"),
        ({"on_tasks": TASKS}, "none left for off_tasks"),
        ({"on_tasks": []}, "no on_tasks"),
        ({"on_tasks": ["heat"], "score": "specific"}, "did you mean specificity"),
        ({"on_tasks": "heat"}, r"name 'heat' is not defined\): use columns .*task, group, minutes, batch.* as \[heat\]"),
        ({"on_tasks": "minutes <"}, "query on_tasks: 'minutes <' failed"),
        ({"on_tasks": ""}, "failed"),
        ({"on_tasks": "task.str.upper()"}, "query on_tasks"),
        ({"on_tasks": "minutes + 1"}, "query on_tasks"),
        ({"on_tasks": ["heat"], "off_tasks": "minutes > 100"}, "no task matches the query off_tasks"),
        ({"on_tasks": "minutes < 10", "off_tasks": ["heat"]}, "the task heat_5 in both on_tasks and off_tasks"),
    ],
)
def test_invalid_sections_are_refused(section, message):
    with pytest.raises(InputError, match=message):
        resolve(**section)


def test_queries_use_columns_and_compare_numbers_as_numbers():
    assert resolve(on_tasks="minutes <= 5", off_tasks="group == 'heat' and minutes > 5") == Contrast(
        "mine", ("heat_5", "acid_5"), ("heat_20",), "specificity"
    )
    assert resolve(on_tasks="task.str.startswith('heat')").off_tasks == ("acid_5", "control")
    # A column that is not all numbers stays text, so 1 is "1"; an empty cell matches no comparison.
    assert resolve(on_tasks="batch == '1'").on_tasks == ("heat_5", "control")
    assert resolve(on_tasks="minutes > 0", off_tasks=["control"]).on_tasks == ("heat_5", "heat_20", "acid_5")


def test_each_group_is_against_the_rest():
    sections = each_group(TABLE.replace({"group": {"heat": "heat shock (40 °C)"}}))
    assert list(sections) == ["heat_shock_40_C", "acid", "control"]
    assert sections["heat_shock_40_C"] == {"on_tasks": ["heat_5", "heat_20"], "score": "specificity"}
    assert resolve_contrasts("each_group", TABLE)[1].off_tasks == ("heat_5", "heat_20", "control")


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["a"] * 4, "requires at least two groups"),
        (["a b", "a_b", "c", "c"], "a b and a_b would both be named a_b"),
        (["a", "b", "b", "°"], "control is in group"),
    ],
)
def test_groups_without_distinct_names_are_refused(groups, message):
    with pytest.raises(InputError, match=message):
        each_group(TABLE.assign(group=groups))


def test_weights_are_differences_of_means():
    weights = resolve(on_tasks=["heat"]).weights(TASKS)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, [0.5, 0.5, -0.5, -0.5])
    np.testing.assert_allclose(resolve(on_tasks=["heat"], score="aggregate").weights(TASKS), [0.5, 0.5, 0, 0])
    np.testing.assert_allclose(resolve(on_tasks=["control"], off_tasks=["heat_20"]).weights(TASKS), [0, -1, 0, 1])


def test_measured_scores_ignore_missing_values():
    nan = np.nan
    labels = np.array(
        [[1, 3, 10, 20], [1, nan, 10, 20], [1, 3, nan, 20], [nan, nan, 10, 20], [1, 3, nan, nan]], dtype=np.float32
    )
    expected = [2 - 15, 1 - 15, 2 - 20, nan, nan]
    np.testing.assert_allclose(resolve(on_tasks=["heat"]).measured(labels, TASKS), expected)
    np.testing.assert_allclose(resolve(on_tasks=["heat"], score="aggregate").measured(labels, TASKS), [2, 1, 2, nan, 2])


def test_measured_without_gaps_is_labels_times_weights():
    labels = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    contrast = resolve(on_tasks=["acid", "heat_5"])
    np.testing.assert_allclose(contrast.measured(labels, TASKS), labels @ contrast.weights(TASKS), rtol=1e-5)
