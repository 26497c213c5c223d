import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from llmlab.model import GPT, GPTConfig, Translator, TranslatorConfig
from llmlab.train import (
    IGNORE,
    Batch,
    NextTokenLoss,
    cross_entropy,
    head_cross_entropy,
    losses,
    pair_batches,
)

SMOOTHING = pytest.mark.parametrize("label_smoothing", [0.0, 0.1, 0.5])
REDUCTION = pytest.mark.parametrize("reduction", ["mean", "sum"])


def given_sizes(seed=0, *, B=3, T=5, C=4, V=7, dtype=torch.float64, ignored=0.3):
    generator = torch.Generator().manual_seed(seed)
    hidden_BTC = torch.randn(B, T, C, generator=generator, dtype=dtype).requires_grad_()
    weight_VC = torch.randn(V, C, generator=generator, dtype=dtype).requires_grad_()
    targets_BT = torch.randint(V, (B, T), generator=generator)
    targets_BT[torch.rand(B, T, generator=generator) < ignored] = IGNORE
    targets_BT[0, 0] = 1
    return hidden_BTC, weight_VC, targets_BT


def torchs(logits_BTV, targets_BT, **options):
    return F.cross_entropy(
        logits_BTV.flatten(0, -2), targets_BT.flatten(), ignore_index=-100, **options
    )


def tiny_gpt(**options):
    torch.manual_seed(0)
    config = {"vocab_size": 23, "context": 12, "width": 8, "n_layers": 1, "n_heads": 2} | options
    return shaken(GPT(GPTConfig(**config)))


def tiny_translator(**options):
    torch.manual_seed(0)
    sizes = {"vocab_size": 23, "context": 12, "width": 8, "n_heads": 2}
    layers = {"n_encoder_layers": 1, "n_decoder_layers": 1}
    marks = {"pad_id": 0, "start_id": 1, "end_id": 2}
    return shaken(Translator(TranslatorConfig(**sizes | layers | marks | options)))


def shaken(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape) * 0.3)
    return model


def translator_batch():
    pairs = [([3, 4, 5], [6, 7]), ([8], [9, 10, 11, 12]), ([13, 14], [15])]
    return next(pair_batches(pairs, batch_size=3, pad_id=0, start_id=1, end_id=2))


def gpt_batch():
    targets_BT = torch.tensor([[4, 5, IGNORE], [IGNORE, 7, 8]])
    return Batch((torch.tensor([[3, 4, 5], [6, 7, 8]]),), targets_BT)


class TestCrossEntropy:
    @REDUCTION
    @SMOOTHING
    def test_it_is_torchs(self, label_smoothing, reduction):
        options = {"label_smoothing": label_smoothing, "reduction": reduction}
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        logits_BTV = hidden_BTC @ weight_VC.T
        ours, theirs = (f(logits_BTV, targets_BT, **options) for f in (cross_entropy, torchs))
        torch.testing.assert_close(ours, theirs)
        gradients = [
            torch.autograd.grad(loss, logits_BTV, retain_graph=True) for loss in (ours, theirs)
        ]
        torch.testing.assert_close(*gradients)

    @pytest.mark.parametrize("n", [2, 50, 1000])
    @SMOOTHING
    def test_a_model_that_knows_nothing_loses_the_logarithm(self, n, label_smoothing):
        loss = cross_entropy(
            torch.zeros(4, n), torch.tensor([0, 1, 0, IGNORE]), label_smoothing=label_smoothing
        )
        assert loss.item() == pytest.approx(math.log(n), rel=1e-6)

    def test_smoothing_by_hand(self):
        p = torch.tensor([[0.7, 0.2, 0.1]])
        asked = torch.tensor([[0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3]])
        loss = cross_entropy(p.log(), torch.tensor([0]), label_smoothing=0.1)
        assert loss.item() == pytest.approx(-(asked * p.log()).sum().item(), rel=1e-6)

    def test_half_precision_is_summed_in_full(self):
        logits_NV = torch.randn(4096, 5, generator=torch.Generator().manual_seed(0)).bfloat16()
        targets_N = torch.zeros(4096, dtype=torch.long)
        loss = cross_entropy(logits_NV, targets_N, reduction="sum")
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, torchs(logits_NV.float(), targets_N, reduction="sum"))

    def test_memory_may_lie_anyhow(self):
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        logits_BTV = hidden_BTC @ weight_VC.T
        other_BTV = logits_BTV.transpose(0, 2).contiguous().transpose(0, 2)
        assert not other_BTV.is_contiguous()
        torch.testing.assert_close(
            cross_entropy(other_BTV, targets_BT.T.contiguous().T),
            cross_entropy(logits_BTV, targets_BT),
        )


class TestHeadCrossEntropy:
    @pytest.mark.parametrize("chunk", [1, 2, 7, 1000])
    @REDUCTION
    @SMOOTHING
    def test_it_is_torchs(self, label_smoothing, reduction, chunk):
        options = {"label_smoothing": label_smoothing, "reduction": reduction}
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        ours = head_cross_entropy(hidden_BTC, weight_VC, targets_BT, chunk=chunk, **options)
        theirs = torchs(hidden_BTC @ weight_VC.T, targets_BT, **options)
        torch.testing.assert_close(ours, theirs)
        found = torch.autograd.grad(3 * ours, (hidden_BTC, weight_VC))
        torch.testing.assert_close(found, torch.autograd.grad(3 * theirs, (hidden_BTC, weight_VC)))

    @SMOOTHING
    def test_the_gradient_is_that_of_the_function(self, label_smoothing):
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        assert torch.autograd.gradcheck(
            lambda hidden_BTC, weight_VC: head_cross_entropy(
                hidden_BTC, weight_VC, targets_BT, label_smoothing=label_smoothing, chunk=4
            ),
            (hidden_BTC, weight_VC),
        )

    @given(
        n=st.integers(1, 20),
        chunk=st.integers(1, 25),
        ignored=st.sampled_from([0.0, 0.5, 0.95]),
        seed=st.integers(0, 99),
    )
    def test_chunks_change_nothing(self, n, chunk, ignored, seed):
        inputs = given_sizes(seed, B=1, T=n, dtype=torch.float32, ignored=ignored)
        whole, cut = (head_cross_entropy(*inputs, chunk=size) for size in (n, chunk))
        torch.testing.assert_close(whole, cut)
        gradients = (torch.autograd.grad(loss, inputs[:2]) for loss in (whole, cut))
        torch.testing.assert_close(*gradients)

    @pytest.mark.parametrize("wanted", [(True, False), (False, True), (False, False)])
    def test_only_the_wanted_gradients_are_computed(self, wanted):
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        expected = torch.autograd.grad(
            torchs(hidden_BTC @ weight_VC.T, targets_BT), (hidden_BTC, weight_VC)
        )
        inputs = [
            t.detach().requires_grad_(is_wanted)
            for t, is_wanted in zip((hidden_BTC, weight_VC), wanted, strict=True)
        ]
        loss = head_cross_entropy(*inputs, targets_BT, chunk=2)
        assert loss.requires_grad == any(wanted)
        if any(wanted):
            loss.backward()
        for tensor, is_wanted, gradient in zip(inputs, wanted, expected, strict=True):
            if is_wanted:
                torch.testing.assert_close(tensor.grad, gradient)
            else:
                assert tensor.grad is None

    def test_without_gradients_it_costs_none(self):
        hidden_BTC, weight_VC, targets_BT = given_sizes(B=2, T=8, C=3, V=100)
        with torch.no_grad(), Largest() as seen:
            loss = head_cross_entropy(hidden_BTC, weight_VC, targets_BT, chunk=2)
        assert not loss.requires_grad
        assert seen.n_products == -(-int((targets_BT != IGNORE).sum()) // 2)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
    def test_no_tensor_is_larger_than_a_chunk_of_logits(self, dtype):
        hidden_BTC, weight_VC, targets_BT = given_sizes(
            B=4, T=50, C=3, V=300, dtype=torch.float32, ignored=0.1
        )
        limit = 10 * 300

        def largest(loss_of):
            with Largest() as seen, torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                loss_of().backward()
            return seen.size

        options = {"label_smoothing": 0.1}
        assert (
            largest(
                lambda: head_cross_entropy(hidden_BTC, weight_VC, targets_BT, chunk=10, **options)
            )
            <= limit
        )
        # the test sees the plain form's logits, so it would see them here
        assert (
            largest(lambda: cross_entropy(hidden_BTC @ weight_VC.T, targets_BT, **options))
            >= 4 * 50 * 300
        )

    @pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
    def test_autocast(self, label_smoothing):
        hidden_BTC, weight_VC, targets_BT = given_sizes(B=4, T=50, C=64, V=300, dtype=torch.float32)
        hidden_BTC = (hidden_BTC / 8).detach().requires_grad_()
        options = {"label_smoothing": label_smoothing}
        exact = cross_entropy(hidden_BTC @ weight_VC.T, targets_BT, **options)
        with torch.autocast("cpu", torch.bfloat16), Largest() as seen:
            ours = head_cross_entropy(hidden_BTC, weight_VC, targets_BT, chunk=16, **options)
        with torch.autocast("cpu", torch.bfloat16):
            plain = cross_entropy(hidden_BTC @ weight_VC.T, targets_BT, **options)
        assert torch.bfloat16 in seen.product_types
        assert torch.float32 not in seen.product_types
        assert ours.dtype == torch.float32
        gradients = [
            torch.autograd.grad(loss, (hidden_BTC, weight_VC)) for loss in (exact, ours, plain)
        ]
        assert abs(ours - exact) < 1e-3 * exact
        for right, found, other in zip(*gradients, strict=True):
            assert found.dtype == torch.float32
            error, others = ((g - right).norm() / right.norm() for g in (found, other))
            assert error < 0.01
            assert error < 2 * others  # as good as the plain form under autocast, which rounds too

    def test_memory_may_lie_anyhow(self):
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        expected = head_cross_entropy(hidden_BTC, weight_VC, targets_BT)
        other = head_cross_entropy(
            hidden_BTC.transpose(0, 2).contiguous().transpose(0, 2),
            weight_VC.T.contiguous().T,
            targets_BT.T.contiguous().T,
            chunk=2,
        )
        torch.testing.assert_close(other, expected)

    def test_a_tied_weight_gets_both_gradients(self):
        _, weight_VC, targets_BT = given_sizes(V=7, C=4)
        ids_BT = targets_BT.clamp(min=0)
        losses = (
            head_cross_entropy(F.embedding(ids_BT, weight_VC), weight_VC, targets_BT, chunk=2),
            torchs(F.embedding(ids_BT, weight_VC) @ weight_VC.T, targets_BT),
        )
        gradients = (torch.autograd.grad(loss, weight_VC) for loss in losses)
        torch.testing.assert_close(*gradients)

    @pytest.mark.parametrize("chunk", [0, -1, 2.0, "2", True])
    def test_a_chunk_is_a_whole_number(self, chunk):
        with pytest.raises(ValueError, match="chunk="):
            head_cross_entropy(*given_sizes(), chunk=chunk)

    def test_weights_fit_the_width(self):
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        with pytest.raises(ValueError, match=r"weights of shape \(7, 3\) do not fit .* width 4"):
            head_cross_entropy(hidden_BTC, weight_VC[:, :3], targets_BT)


class Largest(TorchDispatchMode):
    """Watches all tensors that come out of operations, in the backward pass too."""

    def __init__(self):
        super().__init__()
        self.size = 0
        self.n_products, self.product_types = 0, set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        name = function.overloadpacket.__name__
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.size = max(self.size, tensor.numel())
                if name in ("mm", "addmm", "addmm_"):
                    self.n_products += 1
                    self.product_types.add(tensor.dtype)
        return result


@pytest.fixture(params=["plain", "chunked"])
def either(request):
    def loss(hidden_BTC, weight_VC, targets_BT, **options):
        if request.param == "chunked":
            return head_cross_entropy(hidden_BTC, weight_VC, targets_BT, **options)
        return cross_entropy(hidden_BTC @ weight_VC.T, targets_BT, **options)

    return loss


class TestBoth:
    def test_no_target_at_all_adds_nothing(self, either):
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        nothing_BT = torch.full_like(targets_BT, IGNORE)
        total = either(hidden_BTC, weight_VC, nothing_BT, reduction="sum", label_smoothing=0.1)
        assert total.item() == 0
        for gradient in torch.autograd.grad(total, (hidden_BTC, weight_VC)):
            assert (gradient == 0).all()
        with pytest.raises(ValueError, match=r"every target is IGNORE .* there is no mean"):
            either(hidden_BTC, weight_VC, nothing_BT)

    @pytest.mark.parametrize("target", [7, -1, -99, 1000])
    def test_targets_outside_the_vocabulary(self, either, target):
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        targets_BT[1, 1] = target
        with pytest.raises(ValueError, match=f"target {target} is outside the vocabulary of 7"):
            either(hidden_BTC, weight_VC, targets_BT)

    @pytest.mark.parametrize("wrong", [lambda t: t[:2], lambda t: t.flatten(), lambda t: t.float()])
    def test_targets_of_another_shape_or_type(self, either, wrong):
        hidden_BTC, weight_VC, targets_BT = given_sizes()
        with pytest.raises(ValueError, match="do not fit"):
            either(hidden_BTC, weight_VC, wrong(targets_BT))

    @pytest.mark.parametrize("label_smoothing", [-0.1, 1, 1.5, math.nan])
    def test_smoothing_is_a_share(self, either, label_smoothing):
        with pytest.raises(ValueError, match="label_smoothing="):
            either(*given_sizes(), label_smoothing=label_smoothing)

    def test_reductions_are_two(self, either):
        with pytest.raises(ValueError, match="reduction='none' is unknown; use 'mean' or 'sum'"):
            either(*given_sizes(), reduction="none")


MODELS = pytest.mark.parametrize(
    ("model", "batch"),
    [
        (tiny_gpt, gpt_batch),
        (lambda: tiny_gpt(tied=False), gpt_batch),
        (tiny_translator, translator_batch),
        (lambda: tiny_translator(tied=False), translator_batch),
    ],
    ids=["gpt", "gpt, own head", "translator", "translator, own head"],
)


@SMOOTHING
@pytest.mark.parametrize("V", [1024, 2100])
def test_a_head_of_more_tokens_than_are_multiplied_at_once(V, label_smoothing):
    given = given_sizes(V=V)
    options = {"label_smoothing": label_smoothing}
    ours = head_cross_entropy(*given, chunk=4, **options)
    theirs = torchs(given[0] @ given[1].T, given[2], **options)
    torch.testing.assert_close(ours, theirs)
    found, expected = (torch.autograd.grad(loss, given[:2]) for loss in (ours, theirs))
    torch.testing.assert_close(found, expected)


def test_a_target_of_no_measurable_probability_has_a_loss_all_the_same():
    hidden_BTC, weight_VC, targets_BT = given_sizes(dtype=torch.float32)
    loss = head_cross_entropy(hidden_BTC * 1e3, weight_VC, targets_BT)
    assert loss > 500  # e to the power of -500 is 0 in float32
    torch.testing.assert_close(loss, torchs(hidden_BTC * 1e3 @ weight_VC.T, targets_BT))


class TestNextTokenLoss:
    @MODELS
    @SMOOTHING
    @pytest.mark.parametrize("large", [False, True])
    def test_it_is_torchs_on_all_logits(self, model, batch, label_smoothing, large, monkeypatch):
        if large:
            monkeypatch.setattr(losses, "_LARGE_VOCABULARY", 2)
        model, batch = model(), batch()
        ours = NextTokenLoss(label_smoothing)(model, batch)
        found = torch.autograd.grad(ours, list(model.parameters()))
        theirs = torchs(
            model(*batch.inputs), batch.targets_BT, reduction="sum", label_smoothing=label_smoothing
        )
        torch.testing.assert_close(ours, theirs)
        expected = torch.autograd.grad(theirs, list(model.parameters()))
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_torch_compile_takes_it_as_one_piece(self, monkeypatch):
        monkeypatch.setattr(losses, "_LARGE_VOCABULARY", 2)
        model, batch = tiny_gpt(), gpt_batch()
        compiled = torch.compile(NextTokenLoss(), fullgraph=True, backend="eager")
        torch.testing.assert_close(compiled(model, batch), NextTokenLoss()(model, batch))

    @MODELS
    def test_the_head_sees_only_positions_with_a_target(self, model, batch, monkeypatch):
        model, batch = model(), batch()
        seen = []
        head = type(model).head
        monkeypatch.setattr(model, "head", lambda x: seen.append(x.shape) or head(model, x))
        NextTokenLoss()(model, batch)
        assert batch.n_targets < batch.targets_BT.numel()
        assert seen == [(batch.n_targets, model.config.width)]

    def test_large_vocabularies_go_piece_by_piece(self, monkeypatch):
        used = []
        monkeypatch.setattr(
            losses, "head_cross_entropy", lambda *a, **k: used.append(k) or torch.zeros(())
        )
        NextTokenLoss()(tiny_gpt(), gpt_batch())
        assert used == []
        NextTokenLoss(0.1)(tiny_gpt(vocab_size=losses._LARGE_VOCABULARY), gpt_batch())
        assert used == [{"label_smoothing": 0.1, "reduction": "sum"}]

    def test_any_other_model_is_called(self):
        table = torch.nn.Embedding(9, 9)
        batch = gpt_batch()
        expected = torchs(table(*batch.inputs), batch.targets_BT, reduction="sum")
        torch.testing.assert_close(NextTokenLoss()(table, batch), expected)

    def test_a_head_of_ones_own_is_used(self, monkeypatch):
        class Doubled(GPT):
            def head(self, x_BTC):
                return 2 * super().head(x_BTC)

        monkeypatch.setattr(losses, "_LARGE_VOCABULARY", 2)
        model = Doubled(tiny_gpt().config)
        batch = gpt_batch()
        expected = torchs(model(*batch.inputs), batch.targets_BT, reduction="sum")
        torch.testing.assert_close(NextTokenLoss()(model, batch), expected)

    def test_a_head_may_be_a_part_of_the_model(self):
        class Own(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden_states = torch.nn.Embedding(9, 4)
                self.head = torch.nn.Linear(4, 9)

        model, batch = Own(), gpt_batch()
        logits_BTV = model.head(model.hidden_states(*batch.inputs))
        expected = torchs(logits_BTV, batch.targets_BT, reduction="sum")
        torch.testing.assert_close(NextTokenLoss()(model, batch), expected)

    def test_a_first_loss_is_about_the_logarithm_of_the_vocabulary(self):
        torch.manual_seed(0)
        model = GPT(tiny_gpt().config)
        batch = gpt_batch()
        loss = NextTokenLoss()(model, batch) / batch.n_targets
        assert loss.item() == pytest.approx(math.log(23), rel=0.05)

    def test_it_is_a_value(self):
        assert NextTokenLoss(0.1) == NextTokenLoss(label_smoothing=0.1)
        with pytest.raises(ValueError, match="label_smoothing=2"):
            NextTokenLoss(2)
