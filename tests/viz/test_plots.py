import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest

from llmlab.viz import bars, curves, grouped_bars, heatmap, points, scatter

mpl.use("agg")
VALUES = {"one $": 1.0, "a hundred": 100.0, "ten": 10.0}
WORDS = {"title": "It grows", "label": "how many"}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("draw", [bars, points])
def test_rows_stand_in_the_order_given_with_their_numbers(draw):
    axes = draw(VALUES, **WORDS, write="{:.0f} pieces".format)
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.get_yticklabels()] == list(VALUES)
    assert {text.get_text() for text in axes.texts} == {"1 pieces", "100 pieces", "10 pieces"}
    assert axes.yaxis_inverted()
    assert axes.get_xlabel() == "how many"
    assert axes.figure.get_suptitle() == "It grows"


def test_bars_have_their_lengths_and_start_at_zero():
    axes = bars(VALUES, **WORDS)
    assert [bar.get_width() for bar in axes.patches] == list(VALUES.values())
    assert axes.get_xlim()[0] == 0


@pytest.mark.parametrize(
    "values",
    [{"a": -3, "b": -1}, {"a": -3, "b": 200}, {"a": 5, "b": -0.01}, {"a": 0}, {"a": 0, "b": -2}],
    ids=str,
)
def test_bars_and_their_numbers_lie_inside_the_picture(values):
    axes = bars(values, **WORDS)
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    assert low <= min(0, *values.values()) <= max(0, *values.values()) <= high
    assert low < high
    frame = axes.get_window_extent()
    for bar, text in zip(axes.patches, axes.texts, strict=True):
        written, drawn = text.get_window_extent(), bar.get_window_extent()
        assert frame.x0 <= written.x0 < written.x1 <= frame.x1
        assert written.x0 >= drawn.x1 or written.x1 <= drawn.x0


def test_points_stand_at_equal_steps_for_equal_factors():
    axes = points(VALUES, **WORDS)
    drawn = axes.collections[0].get_offsets()
    assert drawn[:, 0].tolist() == list(VALUES.values())
    one, hundred, ten = axes.transData.transform(drawn)[:, 0]
    assert hundred - ten == pytest.approx(ten - one)


def test_one_bar_can_stand_out():
    colours = [bar.get_facecolor() for bar in bars(VALUES, **WORDS, highlight="ten").patches]
    assert colours[0] == colours[1] != colours[2]


@pytest.mark.parametrize("draw", [bars, points])
def test_nothing_to_draw_is_refused(draw):
    with pytest.raises(ValueError, match="at least one"):
        draw({}, **WORDS)


@pytest.mark.parametrize("draw", [bars, points])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_a_number_that_is_not_finite_is_named_and_refused(draw, number):
    with pytest.raises(ValueError, match=rf"values\['lost'\]={number} has .*; leave it out"):
        draw({"one": 1.0, "lost": number}, **WORDS)
    assert plt.get_fignums() == []


def test_zero_has_no_place_among_powers_of_ten():
    with pytest.raises(ValueError, match="bars"):
        points({"none": 0.0}, **WORDS)


TABLE = {"title": "It is striped", "label": "value", "rows": "position", "columns": "column"}


def test_a_heatmap_shows_the_table_as_it_stands():
    table = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]])
    axes = heatmap(table, **TABLE)
    mesh = axes.collections[0]
    assert mesh.get_array().reshape(2, 3).tolist() == table.tolist()
    assert axes.yaxis_inverted()  # the first row at the top
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("column", "position")
    assert axes.figure.get_suptitle() == "It is striped"
    assert mesh.colorbar.ax.get_ylabel() == "value"


def test_zero_is_in_the_middle_of_the_colours_when_there_are_signs():
    mesh = heatmap([[-1.0, 0.0], [0.5, 3.0]], **TABLE).collections[0]
    assert mesh.get_clim() == (-3, 3)
    red, green, blue, _ = mesh.to_rgba(0.0)
    assert min(red, green, blue) > 0.9
    assert mesh.to_rgba(-3.0)[2] > mesh.to_rgba(-3.0)[0]  # blue below, red above
    assert mesh.to_rgba(3.0)[0] > mesh.to_rgba(3.0)[2]


def test_without_signs_a_larger_number_is_lighter():
    mesh = heatmap([[1.0, 2.0, 4.0]], **TABLE).collections[0]
    assert mesh.get_clim() == (1, 4)
    lightness = [sum(mesh.to_rgba(value)[:3]) for value in (1.0, 2.0, 4.0)]
    assert lightness == sorted(lightness)


@pytest.mark.parametrize("table", [[], [[]], [1.0, 2.0], [[[1.0]]]], ids=str)
def test_a_heatmap_needs_rows_and_columns(table):
    with pytest.raises(ValueError, match="rows and columns"):
        heatmap(table, **TABLE)


def test_a_number_without_a_colour_is_named():
    with pytest.raises(ValueError, match=r"table\[1, 0\]=nan"):
        heatmap([[0.0, 1.0], [float("nan"), 1.0]], **TABLE)
    assert plt.get_fignums() == []


AXES = {"title": "It falls", "x": "steps", "y": "loss"}


def test_curves_go_through_their_numbers_and_carry_their_names():
    axes = curves({"real $": [3.0, 2.0, 1.0], "shuffled": [3.0, 3.0, 2.5]}, at=[0, 10, 20], **AXES)
    axes.figure.canvas.draw()
    lines = axes.get_lines()
    assert [line.get_ydata().tolist() for line in lines] == [[3, 2, 1], [3, 3, 2.5]]
    assert lines[0].get_xdata().tolist() == [0, 10, 20]
    assert len({line.get_color() for line in lines}) == 2
    assert len({line.get_linestyle() for line in lines}) == 2
    assert [text.get_text() for text in axes.texts] == ["real $", "shuffled"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("steps", "loss")
    assert axes.figure.get_suptitle() == "It falls"


def test_names_that_would_cover_each_other_stand_in_a_legend():
    lines = {"one $": [3.0, 1.0], "two": [2.0, 1.01], "three": [1.0, 3.0]}
    axes = curves(lines, **AXES)
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.texts] == []
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(lines)
    apart = curves({"one": [3.0, 1.0], "two": [1.0, 3.0]}, **AXES)
    assert apart.get_legend() is None


def test_curves_count_their_places_from_zero():
    (line,) = curves({"loss": [5.0, 4.0]}, **AXES).get_lines()
    assert line.get_xdata().tolist() == [0, 1]


@pytest.mark.parametrize("lines", [{}, {str(n): [1.0] for n in range(5)}], ids=["none", "five"])
def test_too_many_or_no_curves_are_refused(lines):
    with pytest.raises(ValueError, match="1 to 4"):
        curves(lines, **AXES)


@pytest.mark.parametrize("lines", [{"a": []}, {"a": [1.0, 2.0], "b": [1.0]}], ids=str)
def test_a_curve_needs_a_number_for_each_place(lines):
    with pytest.raises(ValueError, match="numbers for"):
        curves(lines, **AXES)


def test_a_gap_in_a_curve_is_named():
    with pytest.raises(ValueError, match=r"loss, 1'\]=nan"):
        curves({"loss": [1.0, float("nan")]}, **AXES)
    assert plt.get_fignums() == []


CLOUDS = {
    "people": {"king $": (0.0, 0.0), "queen": (0.1, 0.0), "prince": (0.05, 0.05)},
    "fruits": {"apple": (4.0, 1.0), "mango": (4.1, 1.05)},
}


def test_scattered_points_stand_where_they_are_in_colours_and_shapes_of_their_groups():
    axes = scatter(CLOUDS, title="Two clouds")
    people, fruits = axes.collections
    assert people.get_offsets().tolist() == [list(at) for at in CLOUDS["people"].values()]
    assert people.get_facecolor().tolist() != fruits.get_facecolor().tolist()
    assert people.get_paths()[0].vertices.shape != fruits.get_paths()[0].vertices.shape
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["people", "fruits"]
    assert axes.figure.get_suptitle() == "Two clouds"
    (x0, y0), (x1, y1) = axes.transData.transform([(0, 0), (1, 1)])
    assert x1 - x0 == pytest.approx(y1 - y0)


def test_each_point_has_its_name_once_beside_it():
    axes = scatter(CLOUDS, title="Two clouds")
    axes.figure.canvas.draw()
    words = [word for members in CLOUDS.values() for word in members]
    assert [text.get_text() for text in axes.texts] == words
    places = {word: at for members in CLOUDS.values() for word, at in members.items()}
    for text in axes.texts:
        assert text.xy == places[text.get_text()]
        assert max(np.abs(text.xyann)) < 15  # points of a screen


def test_names_avoid_each_other():
    close = {"people": {"long name one": (0.0, 0.0), "long name two": (0.0, 0.001)}}
    axes = scatter(close | {"far": {"x": (1.0, 1.0)}}, title="Close")
    one, two, _ = axes.texts
    assert not one.get_window_extent().overlaps(two.get_window_extent())


@pytest.mark.parametrize("groups", [{}, {str(n): {"a": (0, 0)} for n in range(5)}, {"none": {}}])
def test_points_need_one_to_four_groups_with_something_in_them(groups):
    with pytest.raises(ValueError, match=r"1 to 4|no points"):
        scatter(groups, title="")


def test_a_point_without_a_place_is_named():
    with pytest.raises(ValueError, match=r"apple, y'\]=inf"):
        scatter({"fruits": {"apple": (0.0, float("inf"))}}, title="")
    assert plt.get_fignums() == []


# --- several bars a name ---

BEFORE = {"one $": 0.0, "a hundred": 40.0, "ten": 10.0}
AFTER = {"ten": 30.0, "one $": 5.0, "a hundred": 100.0}


@pytest.mark.parametrize("groups", [{"before": BEFORE, "after": AFTER}, {"only": BEFORE}])
def test_grouped_bars_have_their_lengths_beside_their_names(groups):
    axes = grouped_bars(groups, **WORDS, write="{:.0f} %".format)
    axes.figure.canvas.draw()
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == list(BEFORE)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(groups)
    for bars_, values in zip(axes.containers, groups.values(), strict=True):
        for row, (name, bar) in enumerate(zip(names, bars_, strict=True)):
            assert bar.get_width() == values[name]
            assert bar.get_x() == 0
            assert row - 0.5 < bar.get_y() < bar.get_y() + bar.get_height() < row + 0.5
    boxes = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in axes.patches]
    for (_, end), (start, _) in itertools.pairwise(sorted(boxes)):
        assert end <= start + 1e-9  # no bar covers another
    looks = {(bar.get_facecolor(), bar.get_hatch()) for bar in axes.patches}
    assert len(looks) == len(groups)


@pytest.mark.parametrize("names", [("before", "after"), ("before: somewhere", "after: exact")])
@pytest.mark.parametrize("title", ["It grows", "What was practised works on new words, too"])
def test_grouped_bars_and_their_numbers_lie_inside_the_picture(names, title):
    groups = dict(zip(names, (BEFORE, AFTER), strict=True))
    axes = grouped_bars(groups, title=title, label="how many", write="{:.1f} %".format)
    axes.figure.canvas.draw()
    frame = axes.get_window_extent()
    texts = [text.get_window_extent() for text in axes.texts]
    assert len(texts) == 6
    assert all(frame.x0 <= box.x0 < box.x1 <= frame.x1 for box in texts)
    legend = axes.get_legend().get_window_extent()
    assert legend.y0 >= frame.y1
    assert axes.figure.bbox.x0 <= legend.x0 < legend.x1 <= axes.figure.bbox.x1
    assert axes.figure._suptitle.get_window_extent().y0 >= legend.y1


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({}, "give 1 to 4"),
        ({str(n): {"a": 1.0} for n in range(5)}, "give 1 to 4"),
        ({"one": {}}, "values is empty"),
        ({"one": {"a": 1.0}, "two": {"a": 1.0, "b": 2.0}}, r"'two' and 'one' differ in \['b'\]"),
        ({"one": {"a": float("nan")}}, r"values\['a'\]=nan has no place"),
        ({"one": {"a": -1.0}}, "'one' holds -1.0; groups begin at zero"),
    ],
)
def test_groups_that_cannot_be_drawn(groups, message):
    with pytest.raises(ValueError, match=message):
        grouped_bars(groups, **WORDS)
