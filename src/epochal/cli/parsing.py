"""A verb's own options (argparse) and a recipe's dotted settings, told apart in one command line."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from epochal.errors import UsageError

# argparse's phrases, and the same in words that name the cure.
_ARGPARSE = (
    (r"^argument (\S+): expected one argument$", r"\1 needs a value"),
    (
        r"^argument (\S+): invalid choice: (.*) \(choose from (.*)\)$",
        r"\1 = \2 is not allowed; choose from \3",
    ),
    (r"^argument (\S+): invalid (.*) value: (.*)$", r"\1 = \3 is not allowed; it must be a \2"),
    (r"^the following arguments are required: (.*)$", r"\1 is missing"),
    (r"^unrecognized arguments: (.*)$", r"did not expect \1"),
)


class Parser(argparse.ArgumentParser):
    """An argument parser for one verb: examples below its help, errors as `UsageError`, `--lab` and `--json`.

    Args:
        verb: the verb.
        what: one sentence about it.
        examples: command lines, without `epochal`.

    Attributes:
        subject: the recipe or run that was named, whose settings are options too; empty before that is known.
    """

    def __init__(self, verb: str, what: str, examples: Sequence[str]) -> None:
        shown = "\n".join(f"  epochal {example}" for example in examples)
        super().__init__(
            prog=f"epochal {verb}",
            description=what,
            epilog=f"examples:\n{shown}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )
        self.verb, self.subject = verb, ""
        self.value_of: dict[str, bool] = {}
        self.add_argument("--help", "-h", action="store_true", help="show this help")
        self.add_argument(
            "--lab", metavar="FOLDER", help="folder of the runs (default: $EPOCHAL_LAB, or ./lab)"
        )
        self.add_argument("--json", action="store_true", help="answer in JSON with stable keys")
        self.add_argument("--debug", action="store_true", help="show tracebacks")

    def add_argument(self, *names: str, **how: Any) -> argparse.Action:
        """Adds an option or a positional argument, and remembers whether it takes a value."""
        action = super().add_argument(*names, **how)
        self.value_of.update(dict.fromkeys(action.option_strings, action.nargs != 0))
        return action

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The verb's options; prints the help and leaves when it was asked for.

        Raises:
            UsageError: an unknown option (with the nearest name), or a wrong or missing value.
        """
        own, settings = self.split(words)
        if self.asks_help(own):
            self.print_help()
            raise SystemExit(0)
        if settings:
            raise self.unknown(settings[0])
        return self.parse_args(own)

    def split(self, words: Sequence[str], settings_class: type | None = None) -> tuple[list[str], list[str]]:
        """The words that are the verb's own, and those that set settings.

        Args:
            words: the command line after the verb.
            settings_class: says how many values a setting takes; without it each takes one.
        """
        own: list[str] = []
        settings: list[str] = []
        position = 0
        while position < len(words):
            word = words[position]
            name = word.partition("=")[0]
            if name in self.value_of:
                count = 1 + (self.value_of[name] and "=" not in word)
                own += words[position : position + count]
            elif word.startswith("--") and len(word) > 2:
                count = 1 if "=" in word else 1 + _values(name, words[position + 1 :], settings_class)
                settings += words[position : position + count]
            else:
                count = 1
                own.append(word)
            position += count
        return own, settings

    def positionals(self, own: Sequence[str]) -> list[str]:
        """Those of the verb's own words that are neither options nor their values."""
        found, skip = [], False
        for word in own:
            name = word.partition("=")[0]
            if not skip and name not in self.value_of:
                found.append(word)
            skip = not skip and self.value_of.get(name, False) and "=" not in word
        return found

    def value(self, own: Sequence[str], option: str) -> str | None:
        """The value of one of the verb's options before everything is parsed."""
        for position, word in enumerate(own):
            name, has_value, text = word.partition("=")
            if name == option:
                return text if has_value else next(iter(own[position + 1 :]), None)
        return None

    def print_settings(self, settings: Any, whose: str, title: str = "settings of {}:") -> int:
        """Prints the verb's help and below it the settings that are options too, with these values; returns 0."""
        from epochal.settings.options import help_text

        self.print_help()
        print(f"\n{title.format(whose)}\n")
        print(help_text(settings, prog=f"epochal {self.verb} {self.subject}"), end="")
        return 0

    def asks_help(self, words: Sequence[str]) -> bool:
        """Whether `--help` is among the words."""
        return "--help" in words or "-h" in words

    def unknown(self, option: str, settings: Sequence[str] = ()) -> UsageError:
        """The error for an option that neither the verb nor the settings know, with the nearest names."""
        from difflib import get_close_matches

        from epochal.settings.patch import nearest

        typed = option.partition("=")[0]
        name = typed.lstrip("-")
        # Without the dashes that all share, and which would make any two short names alike.
        own = [own for own in self.value_of if own.startswith("--")]
        found = get_close_matches(name.replace("_", "-"), [each[2:] for each in own], n=2, cutoff=0.6)
        found += [key.replace("_", "-") for key in nearest(name, settings)]
        near = [f"--{each}" for each in dict.fromkeys(found)]
        hint = (
            f"Did you mean {' or '.join(near)}?"
            if near
            else f"`{' '.join(filter(None, ('epochal', self.verb, self.subject)))} --help` lists the options."
        )
        return UsageError(f"epochal {self.verb} has no option {typed}.", hint=hint)

    def error(self, message: str) -> NoReturn:
        """Called by argparse for a wrong or missing argument."""
        for pattern, words in _ARGPARSE:
            message = re.sub(pattern, words, message)
        raise UsageError(f"{self.verb}: {message}.", hint=f"`epochal {self.verb} --help` shows examples.")


def whole(text: str) -> int:
    """A whole number as an argument; argparse names the type in its message."""
    return int(text)


whole.__name__ = "whole number"


def add_training_options(parser: Parser) -> None:
    """Options of the verbs that train: run, fork, resume."""
    parser.add_argument("--keep-going", action="store_true", help="do not stop when the loss diverges")
    parser.add_argument("--quiet", action="store_true", help="print no progress")


def add_seed_options(parser: Parser, seed: str) -> None:
    """Options of the verbs that make runs: run and fork."""
    parser.add_argument("--seed", type=whole, metavar="S", help=f"seed of the first run (default: {seed})")
    parser.add_argument("--seeds", type=whole, default=1, metavar="N", help="train N runs, seeds S to S+N-1")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    parser.add_argument("--precision", default="auto", help="auto (measured), float32, bfloat16")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: measured)")
    parser.add_argument("--name", help="what to call the run")
    parser.add_argument("--note", metavar="TEXT", help="a remark, kept with the run")


def add_recipe_option(parser: Parser) -> None:
    """Option of the verbs that load a run's recipe."""
    parser.add_argument("--recipe", metavar="FILE", help="recipe file of the run, where it is not known here")


def setting_patch(parser: Parser, settings: Any, words: Sequence[str]) -> dict[str, Any]:
    """The patch that dotted options make on `settings`.

    Raises:
        UsageError: unknown option (of the verb or the settings), or a wrong value.
    """
    from epochal.settings import options
    from epochal.settings.fields import kinds

    cls: type = type(settings)
    known = kinds(cls)
    for word in words:
        name = word[2:].partition("=")[0] if word.startswith("--") else ""
        if name and "." not in name and options.setting_key(name, cls) is None:
            raise parser.unknown(word, list(known))
    return options.parse(settings, words)


def _values(name: str, following: Sequence[str], settings_class: type | None) -> int:
    from epochal.settings.options import setting_key, value_count

    key = None if settings_class is None else setting_key(name[2:], settings_class)
    if settings_class is None or key is None:
        return 1 if following and not following[0].startswith("--") else 0
    from epochal.settings.fields import kinds

    return value_count(kinds(settings_class)[key], following)
