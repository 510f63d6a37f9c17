"""The state on disk: whole or refused, and of its own training alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from privrad.training import ordinary
from privrad.training.state import State


def trained(steps: int, *, state: State, to: int | None = None) -> nn.Module:
    """A small network after `steps` steps, from the state on."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimiser = ordinary.optimiser(model, learning_rate=0.1)
    done, facts = state.restore(model, optimiser)
    assert facts == ({"seen": done} if done else {})
    for step in range(done, steps):
        optimiser.zero_grad()
        model(torch.full((2, 3), 0.1 * (step + 1))).square().sum().backward()
        optimiser.step()
        state.keep(step + 1, model, optimiser, facts={"seen": step + 1})
    return model


def bits(model: nn.Module) -> list[Any]:
    return [value.tolist() for value in model.state_dict().values()]


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_training_goes_on_bit_for_bit(stop: int, tmp_path: Path) -> None:
    state = State(tmp_path / "state", owner="a", minutes=0)
    trained(stop, state=state)
    assert bits(trained(7, state=state)) == bits(trained(7, state=State()))
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600
    state.delete()
    assert not (tmp_path / "state").exists()


def test_the_optimiser_is_restored_whole(tmp_path: Path) -> None:
    """Weights alone would end elsewhere: the moments and NAdam's product of momenta count."""
    state = State(tmp_path / "state", owner="a", minutes=0)
    model = nn.Linear(2, 1)
    kept, other = (ordinary.optimiser(model, learning_rate=0.1) for _ in range(2))
    for _ in range(3):
        model(torch.ones(1, 2)).sum().backward()
        kept.step()
    state.keep(3, model, kept)
    assert state.restore(model, other)[0] == 3
    for one, two in zip(kept.state.values(), other.state.values(), strict=True):
        assert one.keys() == two.keys() >= {"step", "mu_product", "exp_avg", "exp_avg_sq"}
        assert all(torch.equal(one[name], two[name]) for name in one)
        assert all(one[name].dtype == two[name].dtype for name in one)


def test_nothing_is_written_before_its_time_or_by_another_rank(tmp_path: Path) -> None:
    trained(3, state=State(tmp_path / "state", owner="a", minutes=60))
    trained(3, state=State(tmp_path / "state", owner="a", minutes=0, writes=False))
    assert list(tmp_path.iterdir()) == []


def test_a_state_of_another_training_is_refused_or_where_repeating_is_free_passed_over(tmp_path: Path) -> None:
    trained(3, state=State(tmp_path / "state", owner="a", minutes=0))
    with pytest.raises(ValueError, match="belongs to a training with other inputs"):
        trained(3, state=State(tmp_path / "state", owner="b"))
    fresh = trained(5, state=State(tmp_path / "state", owner="b", expendable=True))
    assert bits(fresh) == bits(trained(5, state=State()))


def test_a_state_of_another_network_is_refused(tmp_path: Path) -> None:
    state = State(tmp_path / "state", owner="a", minutes=0)
    trained(1, state=state)
    other = nn.Linear(3, 4)
    with pytest.raises(ValueError, match="another network; delete it"):
        state.restore(other, ordinary.optimiser(other, learning_rate=0.1))


@given(data=st.data())
@settings(deadline=None, max_examples=60)
def test_a_state_cut_short_or_changed_anywhere_is_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("state") / "state"
    trained(2, state=State(path, owner="a", minutes=0))
    whole = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        del whole[place:]
    else:
        whole[place] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(whole)
    with pytest.raises(ValueError, match="delete it"):
        trained(2, state=State(path, owner="a"))


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    for told in (None, {"privrad": "[]"}, {"privrad": json.dumps({"owner": "a", "step": 1})}):
        save_file({"x": torch.zeros(1)}, tmp_path / "state", metadata=told)
        with pytest.raises(ValueError, match=r"cut short or damaged .* at no further charge"):
            trained(1, state=State(tmp_path / "state", owner="a"))
