"""Order, cycles and neighbours of stages."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowdapt.domain.graph import Graph, find_cycles

DIAMOND = {"end": ["left", "right"], "left": ["start"], "right": ["start"], "start": []}


def test_every_stage_comes_after_its_dependencies() -> None:
    assert Graph.of(DIAMOND).order == ("start", "left", "right", "end")


def test_independent_stages_keep_the_order_of_the_definition() -> None:
    assert Graph.of({"c": [], "a": [], "b": []}).order == ("c", "a", "b")


def test_roots_leaves_and_relatives_are_known() -> None:
    graph = Graph.of({**DIAMOND, "alone": []})
    assert graph.roots == ("start", "alone")
    assert graph.leaves == ("end", "alone")
    assert graph.descendants("start") == {"left", "right", "end"}
    assert graph.ancestors("end") == {"left", "right", "start"}
    assert graph.descendants("left", "right") == {"end"}
    assert graph.dependants["start"] == ("left", "right")


def test_a_dependency_written_twice_counts_once() -> None:
    assert Graph.of({"a": [], "b": ["a", "a"]}).order == ("a", "b")


def test_a_cycle_is_named_from_stage_to_dependency() -> None:
    assert find_cycles({"a": ["b"], "b": ["c"], "c": ["a"]}) == [["a", "b", "c", "a"]]
    with pytest.raises(ValueError, match="a -> b -> a"):
        Graph.of({"a": ["b"], "b": ["a"]})


def test_what_only_leads_to_a_cycle_is_not_part_of_it() -> None:
    graph = {"before": [], "a": ["before", "b"], "b": ["a"], "after": ["b"]}
    assert find_cycles(graph) == [["a", "b", "a"]]


def test_separate_cycles_are_all_found() -> None:
    graph = {"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"], "e": ["e"]}
    assert sorted(find_cycles(graph)) == [["a", "b", "a"], ["c", "d", "c"], ["e", "e"]]


def test_an_unknown_dependency_is_no_cycle() -> None:
    assert find_cycles({"a": ["nowhere"]}) == []
    with pytest.raises(ValueError, match="'nowhere', which does not exist"):
        Graph.of({"a": ["nowhere"]})


def test_five_thousand_stages_in_a_row_are_quick() -> None:
    row = {f"s{i}": [f"s{i - 1}"] if i else [] for i in range(5000)}
    began = time.perf_counter()
    graph = Graph.of(row)
    assert len(graph.descendants("s0")) == 4999
    assert find_cycles({**row, "s0": ["s4999"]})[0][:2] == ["s0", "s4999"]
    assert time.perf_counter() - began < 1.0


@given(
    st.dictionaries(
        st.integers(0, 12).map(str), st.lists(st.integers(0, 12).map(str), max_size=4), max_size=13
    )
)
def test_a_graph_has_an_order_or_a_cycle_and_never_both(graph: dict[str, list[str]]) -> None:
    known = {name: [need for need in needs if need in graph] for name, needs in graph.items()}
    cycles = find_cycles(known)
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert all(after in known[before] for before, after in itertools.pairwise(cycle))
    if cycles:
        with pytest.raises(ValueError, match="cycle"):
            Graph.of(known)
        return
    order = Graph.of(known).order
    assert sorted(order) == sorted(known)
    assert all(order.index(need) < order.index(name) for name in known for need in known[name])
