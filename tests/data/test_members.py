import pytest

from llmlab.data import FetchError
from llmlab.data.members import member_names, open_member, read_member

from .toys import MEMBERS, WHEEL_NAME, use, wheel_bytes, wheel_entry

NAME = "llmlab_toy/grüße.txt"


@pytest.fixture
def toy(cache, monkeypatch):
    use(monkeypatch, wheel_entry())
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / WHEEL_NAME).write_bytes(wheel_bytes())
    return cache


def test_members_are_read_in_place(toy):
    assert member_names("toy") == sorted(MEMBERS)
    assert read_member("toy", NAME) == MEMBERS[NAME]
    with open_member("toy", NAME) as file:
        assert file.read(5) == MEMBERS[NAME][:5]
    assert [path.name for path in toy.iterdir()] == ["wheels"]


def test_a_member_that_does_not_exist_names_one_that_does(toy):
    with pytest.raises(ValueError, match=r"member='llmlab_toy/gruesse.txt' is not .*grüße"):
        read_member("toy", "llmlab_toy/gruesse.txt")


def test_a_wheel_with_a_broken_member_says_so(cache, monkeypatch):
    packed = wheel_bytes()
    broken = packed.replace(MEMBERS[NAME], b"?" * len(MEMBERS[NAME]))
    assert broken != packed
    use(monkeypatch, wheel_entry(broken))
    (cache / "wheels").mkdir(parents=True)
    (cache / "wheels" / WHEEL_NAME).write_bytes(broken)
    with pytest.raises(FetchError, match=r"cannot be read .*CRC"):
        read_member("toy", NAME)
