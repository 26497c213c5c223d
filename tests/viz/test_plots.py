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


def test_zero_has_no_place_among_powers_of_ten():
    with pytest.raises(ValueError, match="bars"):
        points({"none": 0.0}, **WORDS)
