"""How the images of an experiment are prepared, in words, with the numbers of its settings."""

from __future__ import annotations

from privrad.report import modality, number, tables
from privrad.report.account import Account
from privrad.report.number import Number
from privrad.report.tables import Text


def size(account: Account) -> Text:
    """The size of a prepared image: "512 × 512 pixels", "224 × 224 × 128 voxels" (columns, rows, slices)."""
    held = account.experiment.image.size
    sides = [_set(account, place, side) for place, side in enumerate(held)] if isinstance(held, tuple) else []
    sides = sides or [tables.setting(account.name, ("image", "size"), held)] * 2
    between = [piece for side in sides[1:] for piece in (" × ", side)]
    return (sides[0], *between, f" {modality.of(account.experiment).points}")


def window(account: Account) -> Text:
    """The window that a CT scan is clipped to: "-150 to 250 HU"; nothing of a radiograph."""
    held = account.experiment.image.window
    if held is None:
        return ()
    low, high = (_set(account, place, edge, name="window") for place, edge in enumerate(held))
    return (low, " to ", high, " HU")


def steps(account: Account) -> Text:
    """What is done to each image, to follow "is": "resized to 512 × 512 pixels, ..."."""
    greys = number.Said("256")
    if account.experiment.modality == "ct":
        begun: Text = ("brought to one orientation, clipped to ", *window(account), ", resized to ", *size(account))
        return (*begun, " and spread over ", greys, " greys")
    spread: Text = (", its range of values spread over ", greys, " greys, and its histogram equalised")
    return ("resized to ", *size(account), *spread)


def law(account: Account) -> Text:
    """The whole preparation as a sentence, up to what the network is given."""
    first, *rest = steps(account)
    said = modality.of(account.experiment)
    then: Text = ("; then mean ", number.Said("0"), " and standard deviation ", number.Said("1"))
    return (str(first)[:1].upper() + str(first)[1:], *rest, *then, f" over the {said.points} of each {said.unit}.")


def _set(account: Account, place: int, value: float, *, name: str = "size") -> Number:
    return tables.setting(account.name, ("image", name, place), value)
