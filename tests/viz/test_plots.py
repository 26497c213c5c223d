import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest

from llmlab.viz import bars, points

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
