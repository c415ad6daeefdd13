"""What a sweep that goes on is held to."""

from types import SimpleNamespace

import pytest

from runner.errors import UserError
from runner.sweep.execution.resume import check_unchanged


@pytest.mark.parametrize("space", [None, 3, {"optimizer.lr": 3}])
def test_a_space_that_cannot_be_read_is_named_by_its_file(tmp_path, space):
    folder = SimpleNamespace(record={"rounds": [], "space": space}, path=tmp_path)
    plan = SimpleNamespace(space=SimpleNamespace(describe=dict))
    with pytest.raises(UserError) as raised:
        check_unchanged(folder, plan, None, None)
    assert str(raised.value) == f"{tmp_path}/sweep.json: its space cannot be read; restore the file from a copy"
