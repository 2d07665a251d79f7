# SPDX-License-Identifier: Apache-2.0
"""What a machine lacks is said with the Debian package that brings it."""

import pytest

from kindnode import pieces
from kindnode.pieces import PIECES, Piece


def test_each_missing_piece_has_its_sentence_and_package() -> None:
    lacking = pieces.missing(has=lambda _: False)
    text = pieces.sentence(lacking)
    for piece in PIECES:
        assert f"There is no {piece.name}, which {piece.why}: Debian package {piece.package}." in text
    command = text.splitlines()[-1]
    assert command.endswith(" ".join(piece.package for piece in PIECES))


def test_nothing_is_missing_where_all_is_there() -> None:
    assert pieces.missing(has=lambda _: True) == []


def test_a_piece_is_found_on_path_or_in_its_place() -> None:
    assert Piece("shell", ["sh"], "dash", "runs scripts").is_there()
    assert Piece("root", ["/absent", "/"], "base-files", "holds all").is_there()
    assert not Piece("nothing", ["/absent", "no-such-program"], "none", "is not").is_there()


@pytest.mark.parametrize(
    ("asked", "ci", "uid", "expected"),
    [
        (True, "", 0, True),
        (False, "true", 0, True),
        (False, "", 0, False),
        (False, "1", 0, False),
        (True, "true", 1000, False),
    ],
)
def test_packages_are_installed_by_root_and_only_when_wanted(asked: bool, ci: str, uid: int, expected: bool) -> None:
    assert pieces.may_install(asked=asked, ci=ci, uid=uid) is expected
