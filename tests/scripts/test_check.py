"""The gate runs every test."""

from fnmatch import fnmatch
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_folder_of_tests_has_a_name_that_pytest_leaves_out(request):
    left_out = request.config.getini("norecursedirs")
    folders = {folder.name for path in TESTS.rglob("test_*.py") for folder in path.relative_to(TESTS).parents}
    assert "build" in folders
    assert [name for name in sorted(folders) if any(fnmatch(name, pattern) for pattern in left_out)] == []
