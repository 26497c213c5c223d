import itertools
import math

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.viz import attention_heatmap

mpl.use("agg")
HOSTILE = "</script><img src=x onerror=alert(1)>"
TOKENS = ["The", " cat", " $5$", "\n", HOSTILE]


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def weights(*shape, causal=True, seed=0):
    """Rows that sum to 1, with zeros above the diagonal."""
    score = np.random.default_rng(seed).normal(size=shape)
    if causal:
        score = np.where(np.tri(*shape[-2:], dtype=bool), score, -np.inf)
    power = np.exp(score)
    return power / power.sum(-1, keepdims=True)


def drawn(axes):
    """The table in the picture, masked where no colour is."""
    mesh = axes.collections[0]
    return np.ma.array(mesh.get_array()).reshape(mesh.get_coordinates().shape[0] - 1, -1)


def boxes(axes_list):
    texts = [
        text
        for axes in axes_list
        for text in (
            axes.title,
            *axes.get_xticklabels(),
            *axes.get_yticklabels(),
            axes.xaxis.label,
            axes.yaxis.label,
        )
        if text.get_text()
    ]
    return {text: text.get_window_extent() for text in texts}


def overlaps(one, other):
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide > 0.5 and high > 0.5  # pixels


def test_every_cell_shows_its_weight_and_masked_cells_show_none():
    table = weights(5, 5)
    axes = attention_heatmap(table, TOKENS, title="It looks at itself", causal=True)
    shown = drawn(axes)
    seen = np.tri(5, dtype=bool)
    assert (np.ma.getmaskarray(shown) == ~seen).all()
    assert (shown.data[seen] == table[seen]).all()
    assert axes.yaxis_inverted()  # the first query at the top
    assert axes.patch.get_hatch()
    assert axes.figure.get_suptitle() == "It looks at itself"
    (entry,) = axes.figure.legends[0].get_texts()
    assert entry.get_text() == "masked: the query may not look there"
    assert axes.collections[0].colorbar.ax.get_ylabel() == "attention weight"


def test_a_weight_of_zero_is_no_masked_cell():
    axes = attention_heatmap([[1.0, 0.0], [0.5, 0.5]], ["a", "b"], title="")
    assert not np.ma.getmaskarray(drawn(axes)).any()
    assert axes.figure.legends == []


def test_the_picture_itself_tells_masked_from_zero():
    mask = np.array([[True, False], [True, True]])
    axes = attention_heatmap([[1.0, 0.0], [0.0, 1.0]], ["a", "b"], title="", mask=mask)
    axes.figure.canvas.draw()
    pixels = np.asarray(axes.figure.canvas.buffer_rgba())[..., :3]

    def cell(column, row):
        x, y = axes.transData.transform((column + 0.5, row + 0.85))  # beside the number
        return pixels[int(pixels.shape[0] - y) - 4 : int(pixels.shape[0] - y) + 4, int(x)]

    masked, zero = cell(1, 0), cell(0, 1)
    assert (np.ptp(masked, axis=1) == 0).all()  # grey
    assert masked.min() > 100
    assert (np.ptp(zero, axis=1) > 30).all()


def test_a_mask_and_causal_together_hide_what_either_hides():
    mask = np.array([[True, True, True], [False, True, True], [True, True, True]])
    table = weights(3, 3, causal=False)
    axes = attention_heatmap(table, list("abc"), title="", mask=mask, causal=True)
    assert (np.ma.getmaskarray(drawn(axes)) == ~(mask & np.tri(3, dtype=bool))).all()


def test_minus_infinity_is_welcome_where_it_is_masked_only():
    score = np.array([[1.0, -np.inf], [-2.0, 3.0]])
    axes = attention_heatmap(score, ["a", "b"], title="", causal=True, label="score")
    assert axes.collections[0].get_clim() == (-3, 3)
    with pytest.raises(ValueError, match=r"weights\[0, 1\]=-inf has no colour; say with causal"):
        attention_heatmap(score, ["a", "b"], title="")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_number_that_is_none_is_named_even_where_it_is_masked(bad):
    table = np.array([[1.0, bad], [0.5, 0.5]])
    message = rf"weights\[0, 1\]={bad} of panel 'x' has no colour; find where it comes from"
    with pytest.raises(ValueError, match=message):
        attention_heatmap({"x": table}, ["a", "b"], title="", causal=True)
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("table", "limits"),
    [
        ([[0.2, 0.8]], (0, 1)),
        ([[0.0, 1.0000001]], (0, 1)),
        ([[2.0, 8.0]], (2, 8)),
        ([[-1.0, 4.0]], (-4, 4)),
        ([[-5.0, 4.0]], (-5, 5)),
        ([[3.0, 3.0]], (2.5, 3.5)),
        ([[0.0, 0.0]], (0, 1)),
    ],
    ids=str,
)
def test_the_scale_follows_what_the_numbers_are(table, limits):
    axes = attention_heatmap(table, ["a"], keys=["b", "c"], title="")
    assert axes.collections[0].get_clim() == limits


def test_the_scale_can_be_given():
    axes = attention_heatmap([[0.0, 0.4]], ["a"], keys=["b", "c"], title="", limits=(0, 0.25))
    mesh = axes.collections[0]
    assert mesh.get_clim() == (0, 0.25)
    assert mesh.colorbar.extend == "max"  # there is more than the scale shows
    with pytest.raises(ValueError, match=r"limits=\(1, 1\) are no two rising numbers; give"):
        attention_heatmap([[0.5]], ["a"], title="", limits=(1, 1))


def test_colours_are_told_apart_without_colour_and_zero_is_white_among_signs():
    mesh = attention_heatmap([[0.2, 0.8]], ["a"], keys=["b", "c"], title="").collections[0]
    light = [np.dot(mesh.to_rgba(w)[:3], (0.2126, 0.7152, 0.0722)) for w in np.linspace(0, 1, 50)]
    assert light == sorted(light)
    mesh = attention_heatmap([[-2.0, 0.8]], ["a"], keys=["b", "c"], title="").collections[0]
    assert min(mesh.to_rgba(0.0)) > 0.9


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("count", [1, 3, 12])
def test_panels_share_one_scale_and_one_bar(count, named):
    tables, seen = weights(count, 5, 5), np.tri(5, dtype=bool)
    tables[0] *= 3  # no more weights, but a larger scale for all
    given = {f"head $n$ {n}": table for n, table in enumerate(tables)} if named else tables
    panels = attention_heatmap(given, TOKENS, title="Many", causal=True)
    assert len(panels) == count
    figure = panels[0].figure
    assert len(figure.axes) == count + 1
    for axes, table in zip(panels, tables, strict=True):
        assert axes.collections[0].get_clim() == (tables[:, seen].min(), 3)
        assert (drawn(axes).compressed() == table[seen]).all()
    names = [axes.get_title(loc="left") for axes in panels]
    assert names == [f"head $n$ {n}" if named else str(n) for n in range(count)]
    assert len(figure.legends) == 1


def test_one_table_gives_axes_and_a_tensor_is_welcome():
    table = torch.softmax(torch.randn(3, 3, requires_grad=True), dim=-1).bfloat16()
    axes = attention_heatmap(table, list("abc"), title="")
    assert (drawn(axes) == table.detach().double().numpy()).all()
    axes = attention_heatmap(
        torch.full((2, 2), 0.5), ["a", "b"], title="", mask=torch.tensor([[True, False]] * 2)
    )
    assert drawn(axes).count() == 2


def test_labels_are_what_people_read():
    axes = attention_heatmap(weights(5, 5), TOKENS, title="at $5 and $6")
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "The", "␣cat", "␣$5$", "⏎", "</script><img␣s…",
    ]  # fmt: skip
    assert [text.get_text() for text in axes.get_xticklabels()][2] == "␣$5$"
    assert not any(text.get_parse_math() for text in axes.get_xticklabels())
    assert not any(text.get_parse_math() for text in axes.get_yticklabels())


def test_a_character_without_a_picture_is_written_out():
    # Drawing it would warn, and warnings are errors here.
    tokens = ["漢", "\ud800", "\x00", "", "\u202e"]
    axes = attention_heatmap(weights(5, 5), tokens, title="漢 looks back")
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "\\u6f22", "\\ud800", "\\x00", "(empty)", "\\u202e",
    ]  # fmt: skip


LONG = [f" token{'x' * (n % 9)}{n}" for n in range(40)]


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("tokens", [LONG[:2], TOKENS, LONG[:12], LONG], ids=len)
def test_nothing_written_overlaps_or_is_cut_off(tokens, count):
    table = weights(*([count] if count else []), len(tokens), len(tokens))
    found = attention_heatmap(table, tokens, title="words " * 30, causal=True)
    panels = found if count else [found]
    figure = panels[0].figure
    figure.canvas.draw()
    around = boxes(panels)
    around |= {text: text.get_window_extent() for text in figure.legends[0].get_texts()}
    bar = panels[0].collections[0].colorbar.ax
    around |= {text: text.get_window_extent() for text in [bar.yaxis.label, *bar.get_yticklabels()]}
    title = figure.texts[0] if figure.texts else figure._suptitle
    around[title] = title.get_window_extent()
    for one, other in itertools.combinations(around, 2):
        assert not overlaps(around[one], around[other]), (one, other)
    for text, box in around.items():
        assert box.x0 >= 0 <= box.y0, text
        assert box.x1 <= figure.bbox.x1, text
        assert box.y1 <= figure.bbox.y1, text
        for axes in panels:
            assert not overlaps(box, axes.get_window_extent()), text
    sizes = [text.get_fontsize() for text in panels[0].get_yticklabels()]
    assert min(sizes) >= 6


@pytest.mark.parametrize("shape", [(1, 1), (4, 9), (30, 3), (40, 40)])
def test_cells_are_squares(shape):
    axes = attention_heatmap(
        weights(*shape, causal=False), ["q"] * shape[0], keys=["k"] * shape[1], title=""
    )
    box = axes.get_window_extent()
    assert box.width / shape[1] == pytest.approx(box.height / shape[0])
    assert len(axes.get_xticklabels()) == shape[1]


def test_few_cells_carry_numbers_which_stand_out_from_their_colour():
    table = np.linspace(0, 1, 64).reshape(8, 8)
    axes = attention_heatmap(table, list("abcdefgh"), title="", causal=True)
    axes.figure.canvas.draw()
    seen = table[np.tri(8, dtype=bool)]
    assert [text.get_text() for text in axes.texts] == [f"{weight:.2f}" for weight in seen]
    side = axes.get_window_extent().width / 8

    def light(colour):
        channel = np.array(mpl.colors.to_rgb(colour))
        linear = np.where(channel <= 0.04045, channel / 12.92, ((channel + 0.055) / 1.055) ** 2.4)
        return linear @ (0.2126, 0.7152, 0.0722)

    for text, weight in zip(axes.texts, seen, strict=True):
        pair = light(text.get_color()), light(axes.collections[0].to_rgba(weight))
        assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 4.5
        assert text.get_window_extent().width < side
        assert text.get_fontsize() >= 5.5


def test_who_writes_the_numbers_decides_how():
    table = [[-0.001, 2.0], [1.0, 1.0]]
    axes = attention_heatmap(table, ["a", "b"], title="")
    assert [text.get_text() for text in axes.texts] == ["0.00", "2.00", "1.00", "1.00"]
    axes = attention_heatmap(table, ["a", "b"], title="", write="{:.0f} $".format)
    assert [text.get_text() for text in axes.texts][1] == "2 $"
    assert len(attention_heatmap(table, ["a", "b"], title="", write=None).texts) == 0
    many = attention_heatmap(weights(13, 13), ["a"] * 13, title="")
    assert len(many.texts) == 0


@pytest.mark.parametrize("shape", [(0, 0), (3,), (2, 2, 2, 2), (0, 2, 2), (2, 0, 2), ()], ids=str)
def test_shapes_that_are_no_panels_are_refused(shape):
    with pytest.raises(ValueError, match=r"give a table \(queries, keys\)|holds no panel"):
        attention_heatmap(np.zeros(shape), ["a", "b"], title="")


@pytest.mark.parametrize(
    ("table", "tokens", "options", "message"),
    [
        ({}, ["a"], {}, "weights holds no panel; give one"),
        ({"a": np.zeros((2, 2)), "b": np.zeros((2, 3))}, ["a", "b"], {}, "share their tokens"),
        (np.zeros((2, 2)), ["a"], {}, "1 tokens cannot label 2 rows; give one for each"),
        (np.zeros((2, 3)), ["a", "b"], {}, "2 keys cannot label 3 columns; .* so give keys="),
        (np.zeros((2, 3)), ["a", "b"], {"keys": list("abc"), "causal": True}, "say with mask"),
        (np.zeros((2, 2)), ["a", "b"], {"mask": np.ones((2, 2))}, "give booleans of shape"),
        (np.zeros((2, 2)), ["a", "b"], {"mask": np.ones(2, dtype=bool)}, "give booleans of shape"),
        (np.zeros((2, 2)), ["a", "b"], {"mask": np.zeros((2, 2), dtype=bool)}, "hides every cell"),
        (np.zeros((201, 2)), ["a"] * 201, {}, "at most 200 tokens .* AttentionExplorer"),
        (np.zeros((2, 201)), ["a", "b"], {}, "at most 200 tokens .* AttentionExplorer"),
        (np.zeros((270, 20, 20)), ["a"] * 20, {}, "1,000 rows .* AttentionExplorer"),
        ([["a", "b"]], ["a"], {}, "no table of numbers"),
        ([[1.0], [1.0, 2.0]], ["a"], {}, "no table of numbers"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_a_sentence(table, tokens, options, message):
    with pytest.raises(ValueError, match=message):
        attention_heatmap(table, tokens, title="", **options)
    assert plt.get_fignums() == []


def test_tokens_that_are_no_texts_are_refused():
    with pytest.raises(TypeError, match="tokens='ab' is one text; give the list"):
        attention_heatmap(np.zeros((2, 2)), "ab", title="")
    with pytest.raises(TypeError, match=r"keys\[1\]=7 is not a string"):
        attention_heatmap(np.zeros((2, 2)), ["a", "b"], keys=["a", 7], title="")


def test_the_largest_picture_can_be_drawn():
    axes = attention_heatmap(weights(200, 200), [f"t{n}" for n in range(200)], title="")
    axes.figure.canvas.draw()
    labels = [text.get_window_extent() for text in axes.get_yticklabels()]
    assert all(above.y0 >= below.y1 - 0.5 for above, below in itertools.pairwise(labels))


@settings(max_examples=15)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=4))
def test_any_token_can_be_drawn(tokens):
    axes = attention_heatmap(weights(len(tokens), len(tokens)), tokens, title=tokens[0])
    axes.figure.canvas.draw()
    plt.close("all")
