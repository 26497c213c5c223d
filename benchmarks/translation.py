"""How well does our recipe translate after five minutes, and how soon is it as good as the classic?

The classic is `torch.nn.Transformer` of the same sizes, trained as in "Attention Is All You Need"
(Vaswani et al. 2017): post-norm, sinusoidal positions, one embedding for both languages and the
output, scaled by the root of the width, dropout 0.1 on the embeddings' sum and on the result of
each layer (section 5.4, nowhere else), Adam with betas 0.9 and 0.98, and a learning rate that rises
to a peak and falls with the root of the step (section 5.3). Both meet the same batches in the same
order, one after the other, each with all threads, and the clock counts nothing but training steps.

The paper's warm-up of 4,000 steps would outlast the five minutes, so `WARMUP` was chosen for the
classic's good: in one run of the full length its BLEU was 36.0 with 400 steps and 36.4 with 800.
``python benchmarks/translation.py 5 400 800 1600`` trains it once for each of these and compares
with the one that got the best BLEU.

B batch, S source position, T target position, N positions with a target, C width, V vocabulary
"""

from __future__ import annotations

import copy
import math
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from measure import Row
from torch import Tensor, nn

from llmlab.inference import corpus_bleu, translate
from llmlab.model import TranslatorConfig, count_parameters
from llmlab.recipes import Ingredients, TranslatorRecipe, prepare
from llmlab.train import IGNORE, Batch, NextTokenLoss, pair_batches, schedules, train
from llmlab.train.batches import Batches

MINUTES = 5.0
WARMUP = 800  # steps of the classic
DROPOUT = 0.1  # of the classic
SMOOTHING = 0.1
N_TESTED = 1_000
N_MEASURED = 15  # times that the held-out loss is measured in a run, every 20 seconds of 5 minutes
BLEU = 38
SHARE = 0.5
RECIPE = TranslatorRecipe(
    max_words=6,
    n_held_out=N_TESTED,
    vocab_size=4_000,
    width=160,
    n_heads=4,
    n_encoder_layers=2,
    n_decoder_layers=2,
    dropout=0.0,
    batch_size=128,
    label_smoothing=SMOOTHING,
    seed=0,
)


@dataclass(frozen=True)
class Run:
    """What came of one training: the held-out loss by minutes, and BLEU at the end."""

    n_steps: int
    curve: list[tuple[float, float]]  # minutes of training, nats a token
    bleu: float
    n_parameters: int

    @property
    def loss(self) -> float:
        """Give the held-out loss at the end."""
        return self.curve[-1][1]


def rows() -> list[Row]:
    """Train our model, then the classic."""
    return report(*compare(MINUTES, [WARMUP]), MINUTES)


def report(ours: Run, sooner: Run, others: dict[int, Run], minutes: float) -> list[Row]:
    """Hold ours against the classic; of several warm-ups the one with the best BLEU counts."""
    warmup, classic = max(others.items(), key=lambda item: item[1].bleu)
    return [
        Row(
            what=f"English to Spanish after {minutes:g} minutes of training, BLEU of "
            f"{N_TESTED:,} held-out sentences",
            measured=f"{ours.bleu:.1f} (`torch.nn.Transformer` as in "
            f"“Attention Is All You Need”: {classic.bleu:.1f})",
            target=f">= {BLEU}",
            met=ours.bleu >= BLEU,
        ),
        Row(
            what=f"the same in {SHARE:g} of the time, held-out loss in nats a token",
            measured=f"{sooner.loss:.3f}, BLEU {sooner.bleu:.1f} (the other after all of it: "
            f"{classic.loss:.3f})",
            target="<= the other's",
            met=sooner.loss <= classic.loss,
        ),
        Row(
            what="the same, what was done in the time",
            measured=f"{ours.n_steps:,} steps to {ours.loss:.2f} nats a token, "
            f"{ours.n_parameters:,} parameters ({classic.n_steps:,} steps to "
            f"{classic.loss:.2f}, {classic.n_parameters:,}; warm-up of {warmup:,} steps)",
        ),
    ]


def compare(minutes: float, warmups: Iterable[int]) -> tuple[Run, Run, dict[int, Run]]:
    """Train ours, ours anew in less time, and for each warm-up the classic."""
    made = prepare(RECIPE, progress=False)
    tested = list(held_out_batches(made))
    sources = list(made.references)[:N_TESTED]
    known = [made.references[text] for text in sources]
    ids = [made.tokenizer.encode(text) for text in sources]
    check_classic(Classic(made.model.config), ids[:8])

    ours, sooner = (train_ours(made, tested, share * minutes) for share in (1, SHARE))
    others = {}
    for warmup in warmups:
        made.batches.seek(0)
        with torch.random.fork_rng():
            torch.manual_seed(RECIPE.seed)
            model = Classic(made.model.config)
            steps = train_classic(model, made.batches, minutes=minutes, warmup=warmup)
            n_steps, curve = measured(steps, model, tested, minutes)
        found = check_classic(model, ids)
        written = [made.tokenizer.decode(target) for target in found]
        bleu = corpus_bleu(written, known)
        others[warmup] = Run(n_steps, curve, bleu, count_parameters(model))
    return ours, sooner, others


def train_ours(made: Ingredients, tested: list[Batch], minutes: float) -> Run:
    """Train our model from its first weights; the learning rate comes to 0 when the time is up."""
    model = copy.deepcopy(made.model)
    made.batches.seek(0)
    steps = train(
        model,
        made.batches,
        schedule=schedules.linear(2_000, warmup=20),
        minutes=minutes,
        loss=NextTokenLoss(label_smoothing=SMOOTHING),
    )
    now = ((step.number, step.elapsed / 60) for step in steps)
    n_steps, curve = measured(now, model, tested, minutes)
    sources = list(made.references)[:N_TESTED]
    written = translate(model, made.tokenizer, sources, progress=False)
    bleu = corpus_bleu(written, [made.references[text] for text in sources])
    return Run(n_steps, curve, bleu, count_parameters(model))


def held_out_batches(made: Ingredients) -> Iterator[Batch]:
    """Give all held-out pairs once."""
    encode, config = made.tokenizer.encode, made.model.config
    batches = pair_batches(
        [
            (encode(source), encode(target))
            for source, targets in made.references.items()
            for target in targets
        ],
        batch_size=RECIPE.batch_size,
        pad_id=config.pad_id,
        start_id=config.start_id,
        end_id=config.end_id,
    )
    for _ in range(batches.n_per_epoch):
        yield next(batches)


def measured(
    steps: Iterable[tuple[int, float]], model: nn.Module, tested: list[Batch], minutes: float
) -> tuple[int, list[tuple[float, float]]]:
    """Follow a training; measure the held-out loss now and then, while its clock stands still."""
    n_steps, now, curve = 0, 0.0, []
    for n_steps, now in steps:  # noqa: B007, the last one is returned
        if now >= (len(curve) + 1) * minutes / N_MEASURED:
            curve.append((now, held_out_loss(model, tested)))
    if not curve or curve[-1][0] < now:
        curve.append((now, held_out_loss(model, tested)))
    return n_steps, curve


@torch.inference_mode()
def held_out_loss(model: nn.Module, tested: list[Batch]) -> float:
    """Give the mean cross-entropy in nats a token, without label smoothing or dropout."""
    model.eval()
    total = sum(NextTokenLoss()(model, batch).item() for batch in tested)
    return total / sum(batch.n_targets for batch in tested)


class Classic(nn.Module):
    """`torch.nn.Transformer` with what it lacks: embeddings, positions, masks and the output."""

    def __init__(self, config: TranslatorConfig):
        super().__init__()
        self.config = config
        width, n_heads, hidden = config.width, config.n_heads, config.hidden_width
        layer = nn.TransformerEncoderLayer(width, n_heads, hidden, DROPOUT, batch_first=True)
        self.transformer = nn.Transformer(
            width,
            n_heads,
            num_decoder_layers=config.n_decoder_layers,
            dim_feedforward=hidden,
            dropout=DROPOUT,
            custom_encoder=nn.TransformerEncoder(
                layer, config.n_encoder_layers, enable_nested_tensor=False
            ),
            batch_first=True,
        )
        for module in self.transformer.modules():  # the paper does not drop these; it costs time
            if isinstance(module, nn.MultiheadAttention):
                module.dropout = 0.0
            elif isinstance(module, nn.TransformerEncoderLayer | nn.TransformerDecoderLayer):
                module.dropout = nn.Identity()
        self.embedding = nn.Embedding(config.vocab_size, width)
        for weight in self.parameters():
            if weight.dim() > 1:
                nn.init.xavier_uniform_(weight)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)  # as in the authors' tensor2tensor
        self.dropout = nn.Dropout(DROPOUT)
        self.register_buffer("positions_TC", sinusoids(config.context, width))
        later = nn.Transformer.generate_square_subsequent_mask(config.context)
        self.register_buffer("later_TT", later)

    def encode(self, source_BS: Tensor) -> tuple[Tensor, Tensor | None]:
        """Read the sources; say which of their tokens are padding, None if there is none."""
        padding_BS = source_BS == self.config.pad_id
        if not padding_BS.any():
            padding_BS = None
        memory_BSC = self.transformer.encoder(
            self._embed(source_BS), src_key_padding_mask=padding_BS
        )
        return memory_BSC, padding_BS

    def decode(self, target_BT: Tensor, memory_BSC: Tensor, padding_BS: Tensor | None) -> Tensor:
        """Give the last vectors, (B, T, C); padding on the right is seen by no earlier token."""
        n_tokens = target_BT.shape[1]
        return self.transformer.decoder(
            self._embed(target_BT),
            memory_BSC,
            tgt_mask=self.later_TT[:n_tokens, :n_tokens],
            memory_key_padding_mask=padding_BS,
            tgt_is_causal=True,
        )

    def hidden_states(self, source_BS: Tensor, target_BT: Tensor) -> Tensor:
        """Run everything but the output: the last vectors, (B, T, C)."""
        return self.decode(target_BT, *self.encode(source_BS))

    def head(self, x_BTC: Tensor) -> Tensor:
        """Score every token of the vocabulary; the embedding serves once more."""
        return F.linear(x_BTC, self.embedding.weight)

    def _embed(self, ids_BT: Tensor) -> Tensor:
        x_BTC = self.embedding(ids_BT) * self.config.width**0.5
        return self.dropout(x_BTC + self.positions_TC[: ids_BT.shape[1]])


def sinusoids(n_positions: int, width: int) -> Tensor:
    """Give the positions' vectors, (T, C) (Vaswani et al. 2017, section 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(n_positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def train_classic(
    model: Classic, batches: Batches, *, minutes: float, warmup: int
) -> Iterator[tuple[int, float]]:
    """Train as in sections 5.3 and 5.4; yield the steps done and the minutes spent in them."""
    optimizer = torch.optim.Adam(model.parameters(), betas=(0.9, 0.98), eps=1e-9, fused=True)
    number, seconds = 0, 0.0
    while seconds < 60 * minutes:
        began = time.perf_counter()
        number += 1
        model.train()
        batch = next(batches)
        rate = model.config.width**-0.5 * min(number**-0.5, number * warmup**-1.5)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        hidden_NC = model.hidden_states(*batch.inputs).flatten(0, 1)
        targets_N = batch.targets_BT.flatten()
        kept_N = (targets_N != IGNORE).nonzero().squeeze(1)
        F.cross_entropy(
            model.head(hidden_NC.index_select(0, kept_N)),
            targets_N.index_select(0, kept_N),
            label_smoothing=SMOOTHING,
        ).backward()
        optimizer.step()
        seconds += time.perf_counter() - began
        yield number, seconds / 60


@torch.inference_mode()
def check_classic(model: Classic, sources: list[list[int]]) -> list[list[int]]:
    """Translate greedily, and make sure of it; returns the ids of the translations.

    More padding must change nothing, and to the model that reads a translation at once each of its
    tokens must be the most probable, as it was when it was written.
    """
    config = model.eval().config
    found = []
    for start in range(0, len(sources), 50):
        batch = sources[start : start + 50]
        written = greedy(model, batch)
        read = padded([[config.start_id, *ids] for ids in written], config.pad_id)
        source_BS = padded(batch, config.pad_id)
        hidden_BTC = model.hidden_states(source_BS, read)
        wider_BS = F.pad(source_BS, (0, 3), value=config.pad_id)
        torch.testing.assert_close(
            model.hidden_states(wider_BS, read), hidden_BTC, atol=1e-3, rtol=0
        )
        logits_BTV = allowed(model, model.head(hidden_BTC))
        for ids, source, logits_TV in zip(written, batch, logits_BTV, strict=True):
            ended = [config.end_id] if len(ids) < most_tokens(source) else []
            chosen_T1 = torch.tensor([*ids, *ended])[:, None]
            logits_TV = logits_TV[: len(chosen_T1)]
            behind_T = logits_TV.amax(dim=1) - logits_TV.gather(1, chosen_T1).squeeze(1)
            assert behind_T.max() < 1e-3, "greedy decoding chose a token that is not the best"
        found += written
    return found


def greedy(model: Classic, sources: list[list[int]]) -> list[list[int]]:
    """Take the most probable token each time, with the limits of `translate`."""
    config = model.config
    memory = model.encode(padded(sources, config.pad_id))
    target_BT = torch.full((len(sources), 1), config.start_id)
    ended_B = torch.zeros(len(sources), dtype=torch.bool)
    for _ in range(max(map(most_tokens, sources))):
        logits_BV = allowed(model, model.head(model.decode(target_BT, *memory)[:, -1]))
        next_B = logits_BV.argmax(dim=1)
        target_BT = torch.cat([target_BT, next_B[:, None]], dim=1)
        ended_B |= next_B == config.end_id
        if ended_B.all():
            break
    found = []
    for source, target in zip(sources, target_BT[:, 1:].tolist(), strict=True):
        end = target.index(config.end_id) if config.end_id in target else len(target)
        found.append(target[: min(end, most_tokens(source))])
    return found


def most_tokens(source: list[int]) -> int:
    return min(2 * len(source) + 10, RECIPE.context - 1)


def allowed(model: Classic, logits_BTV: Tensor) -> Tensor:
    """Leave no chance to the tokens that stand for no text, as `translate` does."""
    never = torch.tensor([model.config.pad_id, model.config.start_id])
    return logits_BTV.index_fill(-1, never, -torch.inf)


def padded(texts: list[list[int]], pad_id: int) -> Tensor:
    longest = max(map(len, texts))
    return torch.tensor([ids + [pad_id] * (longest - len(ids)) for ids in texts])


if __name__ == "__main__":
    minutes, *warmups = sys.argv[1:] or [MINUTES]
    runs = compare(float(minutes), [int(warmup) for warmup in warmups] or [WARMUP])
    for what, run in {"ours": runs[0], "ours, sooner": runs[1], **runs[2]}.items():
        curve = ", ".join(f"{loss:.2f}" for _, loss in run.curve)
        print(f"{what}: {run.n_steps:,} steps, BLEU {run.bleu:.1f}, held-out loss {curve}")
    print(*(row.markdown() for row in report(*runs, float(minutes))), sep="\n")
