from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from duplexer.driver.exposition import Histogram, Page, together


def parsed(page):
    return {family.name: family for family in text_string_to_metric_families(str(page))}


def samples(family):
    return [(sample.name, sample.labels, sample.value) for sample in family.samples]


def test_families_have_help_type_and_labels():
    page = Page({"worker": "3"})
    page.family("x_total", "counter", "Some of x.", [({"by": "us"}, 1), ({"by": "you"}, 2)])
    page.family("y", "gauge", "How much y.", [({}, 0.25)])
    families = parsed(page)
    assert (families["x"].type, families["x"].documentation) == ("counter", "Some of x.")
    assert samples(families["x"]) == [
        ("x_total", {"worker": "3", "by": "us"}, 1.0),
        ("x_total", {"worker": "3", "by": "you"}, 2.0),
    ]
    assert samples(families["y"]) == [("y", {"worker": "3"}, 0.25)]


def test_what_labels_say_is_escaped():
    page = Page({})
    ugly = 'a\\b"c\nd{e="f"}'
    page.family("x", "gauge", "X.", [({"label": ugly}, 1)])
    assert samples(parsed(page)["x"]) == [("x", {"label": ugly}, 1.0)]


def test_a_histogram_counts_up_to_each_bound():
    histogram = Histogram([0.1, 1.0])
    for value in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(value)
    assert (histogram.count, histogram.sum) == (4, 3.65)
    page = Page({})
    page.histogram("x_seconds", "X.", histogram, 10)
    family = parsed(page)["x_seconds"]
    assert family.type == "histogram"
    assert samples(family) == [
        ("x_seconds_bucket", {"le": "0.1"}, 12.0),
        ("x_seconds_bucket", {"le": "1"}, 13.0),
        ("x_seconds_bucket", {"le": "+Inf"}, 14.0),
        ("x_seconds_sum", {}, 3.65),
        ("x_seconds_count", {}, 14.0),
    ]


def test_pages_together_have_each_family_once():
    pages = []
    for worker in "01":
        page = Page({"worker": worker, "odd": "\n# HELP x\u2028"})
        page.family("x", "gauge", "X.", [({}, 1)])
        page.family("empty", "gauge", "Nothing.", [])
        page.histogram("y_seconds", "Y.", Histogram([0.1]))
        pages.append(str(page))
    pages.append("# HELP z Z.\n# TYPE z gauge\nz 3\n")
    whole = together(pages)
    assert whole.count("# TYPE x gauge\n") == whole.count("# HELP x X.\n") == 1
    families = parsed(whole)
    assert list(families) == ["x", "empty", "y_seconds", "z"]
    assert [labels["worker"] for _, labels, _ in samples(families["x"])] == ["0", "1"]
    assert samples(families["empty"]) == []
    assert len(samples(families["y_seconds"])) == 8
    assert together(pages[:1]) == pages[0]
    assert together([]) == ""
