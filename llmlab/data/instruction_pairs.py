"""Instructions with short answers that a program can check, split so that tests are new."""

from collections.abc import Iterator
from dataclasses import dataclass

from llmlab.data.instruction_families import HELD_OUT, PARTS, TRAINED, Fact, Family, Lots

__all__ = ["Instruction", "Instructions", "instructions"]

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


@dataclass(frozen=True)
class Instruction:
    """One instruction, the one right answer, and what it is about.

    `item` is what its `family` is asked about: of "What is the plural of fox?" the word "fox".
    `attribution` says whom to name when showing it; it is empty except for translations.
    """

    family: str
    item: str
    instruction: str
    answer: str
    attribution: str = ""


@dataclass(frozen=True, repr=False)
class Instructions:
    """Instructions to learn from, to tune with and to be tested on; each part is a tuple.

    `held_out` are those of two families that `train`, `validation` and `test` know nothing of.
    """

    train: tuple[Instruction, ...]
    validation: tuple[Instruction, ...]
    test: tuple[Instruction, ...]
    held_out: tuple[Instruction, ...]

    @property
    def families(self) -> tuple[str, ...]:
        """The names of the trained families, in a fixed order."""
        return tuple(family.name for family in TRAINED)

    @property
    def held_out_families(self) -> tuple[str, ...]:
        """The names of the families that are kept out of training."""
        return tuple(family.name for family in HELD_OUT)

    def __len__(self) -> int:
        return len(self.train) + len(self.validation) + len(self.test) + len(self.held_out)

    def __repr__(self) -> str:
        return (
            f"<{len(self):,} instructions: {len(self.train):,} to train on, "
            f"{len(self.validation):,} to validate, {len(self.test):,} to test, of "
            f"{len(self.families)} families; {len(self.held_out):,} of "
            f"{len(self.held_out_families)} families held out>"
        )


def instructions(seed: int = 0) -> Instructions:
    """Return instructions of 19 families and of 2 that are held out, 3,000 or so in all.

    Each answer is short and the only right one. Every part is well mixed, so its first few hundred
    are a fair sample. In `train` an item may come in several phrasings, elsewhere it comes once.

    What is promised: an item of `test` is new. Its family asks about it in no other part, in
    whatever phrasing. More than that, a word, country, number or sentence that one family is
    tested on is in no item of `train` in any family that asks about words (or countries, and so
    on). Words are meant with their opposites (hot, cold), numbers with all sums that can be made
    of them (3 + 4, 4 + 3, 7 - 3), neighbours as pairs in both directions: whoever is tested on
    what follows Monday has not practised what precedes Tuesday. The same holds for `validation`
    and `held_out`. Answers may come again only where there are few: letters, numbers, days, kinds.

    It depends on `seed` alone, the same on every platform. The facts come from lemminflect,
    countryinfo, num2words and Tatoeba (CC BY 2.0 FR, see `Instruction.attribution`). Raises
    `ValueError` for a seed that is no whole number, and `FetchError` when Tatoeba cannot be
    brought.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(f"{seed=!r} must be a whole number, such as 0")
    lots = Lots(seed)
    parts: dict[str, list[Instruction]] = {part: [] for part in PARTS}
    for family in TRAINED:
        facts = _facts_by_part(family, lots)
        for part in PARTS:
            n = round(SHARES[part] * family.pairs)
            parts[part] += _drawn(family, facts[part], n, lots, repeat=part == "train")
    held_out = []
    for family in HELD_OUT:
        facts = _facts_by_part(family, lots)
        held_out += _drawn(family, facts["validation"] + facts["test"], 100, lots, repeat=False)
    mixed = {part: _mixed(chosen, lots) for part, chosen in parts.items()}
    return Instructions(**mixed, held_out=_mixed(held_out, lots))


def _facts_by_part(family: Family, lots: Lots) -> dict[str, list[Fact]]:
    facts: dict[str, list[Fact]] = {part: [] for part in PARTS}
    for fact in lots.order(family.facts(lots), family.name):
        part = lots.one_part(fact.keys)
        if part is not None:
            facts[part].append(fact)
    return facts


def _drawn(
    family: Family, facts: list[Fact], n: int, lots: Lots, *, repeat: bool
) -> Iterator[Instruction]:
    """Draw n instructions: each fact once, then (if they may repeat) once more, put otherwise."""
    turns = len(family.phrasings) if repeat else 1
    for count in range(min(n, turns * len(facts))):
        turn, place = divmod(count, len(facts))
        fact = facts[place]
        first = lots.below(len(family.phrasings), "phrasing", family.name, fact.item)
        text = family.put(fact, (first + turn) % len(family.phrasings))
        yield Instruction(family.name, fact.item, text, fact.answer, fact.attribution)


def _mixed(chosen: list[Instruction], lots: Lots) -> tuple[Instruction, ...]:
    return tuple(lots.order(chosen, "mix"))
