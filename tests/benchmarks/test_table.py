from benchmarks.table import at_most, beside, markdown, median_at_most


def test_a_ratio_at_the_target_reaches_it() -> None:
    row = beside("serve", 130.0, 100.0, "MB/s", name="nginx", at_least=1.3)
    assert row.reached is True
    assert row.cells() == ("serve", "130 MB/s", "100 MB/s (nginx)", "1.30", "ratio ≥ 1.3", "yes")


def test_a_ratio_below_the_target_does_not_reach_it() -> None:
    assert beside("serve", 1.29, 1.0, "s", name="nginx", at_least=1.3).reached is False


def test_a_figure_without_a_target_is_neither_reached_nor_missed() -> None:
    row = beside("serve: CPU", 1.0, 2.0, "s", name="nginx")
    assert row.reached is None
    assert row.cells()[-2:] == ("", "")


def test_more_than_the_limit_is_said_plainly() -> None:
    assert at_most("memory", 128.1, 128, "MiB").cells()[-1] == "**no**"
    assert at_most("memory", 128.0, 128, "MiB").reached is True


def test_latencies_show_median_and_p99_in_ms() -> None:
    row = median_at_most("404", [0.001] * 99 + [0.5], 3.5)
    assert row.reached is True
    assert row.ours.startswith("1 ms (p99 ")


def test_the_table_has_a_line_for_each_row() -> None:
    lines = markdown([at_most("memory", 90, 110, "MiB")]).splitlines()
    assert len(lines) == 3
    assert lines[2] == "| memory | 90 MiB |  |  | ≤ 110 MiB | yes |"
