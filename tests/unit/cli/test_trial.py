"""The plot of intervals in the report of a trial."""

from mlops_assets.cli.trial import interval_plot


def test_each_line_spans_its_interval_and_marks_its_value() -> None:
    lines = interval_plot([("classic", 0.0, 12.0, 48.0), ("bert", 24.0, 36.0, 48.0)]).splitlines()
    start = len("classic  ")
    for line, (low, value, high) in zip(lines, [(0, 12, 48), (24, 36, 48)], strict=False):
        assert (line.index("["), line.rindex("o"), line.index("]")) == (start + low, start + value, start + high)
    assert lines[-1].split() == ["0", "48"]


def test_the_mark_is_on_every_line_that_does_not_hold_it_and_within_the_axis() -> None:
    lines = interval_plot([("a", 1.0, 2.0, 3.0), ("b", -2.0, -1.5, -1.0)], mark=0).splitlines()
    assert lines[0].index("|") == lines[1].index("|")
    assert lines[0].index("|") < lines[0].index("[")
    assert lines[-1].split() == ["-2", "3"]


def test_an_interval_without_width_is_one_point() -> None:
    assert interval_plot([("a", 0.5, 0.5, 0.5)]).splitlines()[0] == "a  o"
