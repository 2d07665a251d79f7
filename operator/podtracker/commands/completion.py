# SPDX-License-Identifier: Apache-2.0
"""`podtracker completion`: the command line's words for a shell, taken from the parser itself."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

FILES: Final = "FILE"
"""The metavar of arguments that are files."""


class Command(msgspec.Struct, frozen=True):
    """A command as a shell has to know it."""

    name: str
    help: str
    options: tuple[tuple[str, str], ...]
    """Each with what it means."""
    valued: tuple[str, ...]
    """Options that take a value, for which nothing is suggested."""
    words: tuple[str, ...]
    """What its arguments may be, where that is fixed."""
    files: bool
    """Whether they are files."""


def run(shell: str, parser: argparse.ArgumentParser) -> int:
    """Print the script for a shell; returns the exit code."""
    sys.stdout.write(SHELLS[shell](tuple(commands_of(parser))))
    return 0


def commands_of(parser: argparse.ArgumentParser) -> Iterator[Command]:
    """The commands of a parser."""
    for group in _actions(parser):
        if not isinstance(group, argparse._SubParsersAction):  # noqa: SLF001 - argparse shows it nowhere else
            continue
        # The commands' short helps stand in the group, their parsers in its choices.
        helps = {entry.dest: entry.help or "" for entry in group._choices_actions}  # noqa: SLF001 - as above
        for name, command in group.choices.items():
            yield _command(name, helps.get(name, ""), _actions(command))


def _actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return parser._actions  # noqa: SLF001 - as above


def _command(name: str, text: str, actions: Sequence[argparse.Action]) -> Command:
    arguments = [action for action in actions if not action.option_strings]
    return Command(
        name=name,
        help=text,
        options=tuple((flag, action.help or "") for action in actions for flag in action.option_strings),
        valued=tuple(flag for action in actions if action.nargs != 0 for flag in action.option_strings),
        words=tuple(str(choice) for action in arguments for choice in action.choices or ()),
        files=any(action.metavar == FILES for action in arguments),
    )


def _bash(commands: Sequence[Command]) -> str:
    cases = []
    for command in commands:
        words = " ".join((*(flag for flag, _ in command.options), *command.words))
        files = " -f" if command.files else ""
        valued = f'        case "$before" in {"|".join(command.valued)}) return ;; esac\n' if command.valued else ""
        cases.append(
            f"      {command.name})\n{valued}"
            f'        COMPREPLY=($(compgen{files} -W {shlex.quote(words)} -- "$word")) ;;\n'
        )
    names = " ".join(command.name for command in commands)
    return f"""\
# bash completion of podtracker: source it, or put it into a folder of bash-completion
_podtracker() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W {shlex.quote(names)} -- "$word"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{"".join(cases)}    esac
}}
complete -F _podtracker podtracker
"""


def _zsh(commands: Sequence[Command]) -> str:
    cases = []
    for command in commands:
        described = " ".join(_entry(flag, text) for flag, text in command.options)
        words = f"compadd -- {shlex.join(command.words)}; " if command.words else ""
        files = "_files; " if command.files else ""
        valued = f'case "$words[CURRENT-1]" in {"|".join(command.valued)}) return ;; esac; ' if command.valued else ""
        cases.append(
            f"        {command.name}) {valued}{words}{files}"
            f"[[ $PREFIX == -* ]] && {{ choices=({described}); _describe option choices }} ;;\n"
        )
    names = " ".join(_entry(command.name, command.help) for command in commands)
    return f"""\
#compdef podtracker
# zsh completion of podtracker: put it as _podtracker into a folder of $fpath
_podtracker() {{
    local -a choices
    if (( CURRENT == 2 )); then
        choices=({names})
        _describe command choices
        return
    fi
    case "$words[2]" in
{"".join(cases)}    esac
}}
if [ "$funcstack[1]" = "_podtracker" ]; then
    _podtracker "$@"
else
    compdef _podtracker podtracker
fi
"""


def _fish(commands: Sequence[Command]) -> str:
    lines = ["# fish completion of podtracker: put it as podtracker.fish into ~/.config/fish/completions"]
    lines.append("complete -c podtracker -f")
    for command in commands:
        lines.append(
            f"complete -c podtracker -n __fish_use_subcommand -a {command.name} -d {shlex.quote(_plain(command.help))}"
        )
        within = f"complete -c podtracker -n '__fish_seen_subcommand_from {command.name}'"
        for flag, text in command.options:
            kind = f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}"
            needs = " -x" if flag in command.valued else ""
            lines.append(f"{within} {kind}{needs} -d {shlex.quote(_plain(text))}")
        if command.words:
            lines.append(f"{within} -a {shlex.quote(' '.join(command.words))}")
        if command.files:
            lines.append(f"{within} -F")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """A description in one line."""
    return " ".join(text.replace("%%", "%").split())


def _entry(word: str, text: str) -> str:
    """A word and its description as zsh takes them."""
    return shlex.quote(f"{word}:{_plain(text).replace(':', chr(92) + ':')}")


SHELLS: Final[dict[str, Callable[[Sequence[Command]], str]]] = {"bash": _bash, "fish": _fish, "zsh": _zsh}
