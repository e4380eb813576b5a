"""Choosing with a picker, as the tests of pickers do."""

from al3d.acquire.budget import Ledger

KEY = (1, "acquire", -1)


def bought(units, limit, pick, **options):
    """The rows that `pick` buys, in order, never above the limit."""
    ledger = Ledger(units, limit, **options)
    pick(units, ledger, KEY)
    assert ledger.spent <= limit
    return list(ledger.rows)
