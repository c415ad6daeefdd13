"""Which errors are mistakes that the user can mend."""

import errno
import os

import pytest

from runner.errors import UserError, as_mistake, is_full_disk


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(("filename", "named"), [(None, "disk"), ("a/b", "a/b")])
def test_a_full_disk_is_a_mistake_of_one_line(number, filename, named):
    error = OSError(number, os.strerror(number), filename)
    assert is_full_disk(error)
    assert str(as_mistake(error)) == f"{named}: {os.strerror(number)}; free some space, then go on"


def test_a_mistake_is_itself_and_any_other_error_is_raised():
    mistake = UserError("data.root: gone")
    assert as_mistake(mistake) is mistake
    for error in (PermissionError(errno.EACCES, "no"), ValueError("odd"), OSError("odd")):
        assert not is_full_disk(error)
        with pytest.raises(type(error)) as raised:
            as_mistake(error)
        assert raised.value is error
