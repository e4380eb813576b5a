"""Windows of frames."""

import pytest

from al3d.acquire.window import windows


def naive(drives, context):
    """The nearest frames before and after, then further ones on the other side, until there are 2 * context."""
    result = []
    for index, drive in enumerate(drives):
        own = [other for other, name in enumerate(drives) if name == drive]
        place = own.index(index)
        before, after = own[:place][::-1], own[place + 1 :]
        chosen = before[:context] + after[:context]
        rest = before[context:] + after[context:]
        result.append(sorted([index, *chosen, *rest[: 2 * context - len(chosen)]]))
    return result


@pytest.mark.parametrize("context", [0, 1, 2, 3])
@pytest.mark.parametrize("lengths", [[7], [7, 9, 8], [20, 7]])
def test_windows_equal_the_naive_twin(context, lengths):
    drives = [f"d{number}" for number, length in enumerate(lengths) for _ in range(length)]
    found = windows(drives, context)
    assert [list(window) for window in found] == naive(drives, context)
    assert all(len(window) == 2 * context + 1 for window in found)
    assert [window.start for window in found] == sorted(window.start for window in found), "windows only move on"


def test_what_cannot_have_windows_is_refused():
    with pytest.raises(ValueError, match=r"drive 'b' has 4 frames.*needs at least 5"):
        windows(["a"] * 5 + ["b"] * 4, 2)
    with pytest.raises(ValueError, match="do not follow each other"):
        windows(["a"] * 3 + ["b"] * 3 + ["a"] * 3, 1)
    assert windows([], 3) == []
