"""Texts that fit patterns: one for every way in which a text can fit some of them and not the others.

The patterns run side by side, as one automaton over the characters that they tell apart; the shortest
text that gets to a combination stands for all that do. This only proposes texts: what fits what is
judged by the code that production runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from fnmatch import fnmatchcase

STATES_MAX = 4_096
_SIGNS = frozenset("*?[")
# For a character that no pattern names; the first that is free is taken.
_STRANGERS = "xzqjkvwy0123456789" + "".join(chr(code) for code in range(0x3B1, 0x3C9))


def is_glob(pattern: str) -> bool:
    """Return whether a pattern is more than a name."""
    return not _SIGNS.isdisjoint(pattern)


def texts_for(patterns: Collection[str]) -> tuple[str, ...] | None:
    """Return texts among which every way is met in which a text can fit some patterns and not others.

    None: the patterns are too many and too entangled to tell.
    """
    names = [pattern for pattern in patterns if not is_glob(pattern)]
    globs = [pattern for pattern in patterns if is_glob(pattern)]
    named = set("".join(patterns))
    stranger = next((sign for sign in _STRANGERS if sign not in named), None)
    if stranger is None:
        return None
    if not globs:
        return (*names, stranger)
    entangled = [name for name in names if any(fnmatchcase(name, glob) for glob in globs)]
    found = _explored(globs, entangled, stranger)
    if found is not None and set(names).difference(entangled).intersection(found):
        # A text that was to fit no name is one: look for the others with all names in view.
        found = _explored(globs, names, stranger)
    return None if found is None else tuple(dict.fromkeys((*names, *found)))


def _explored(globs: Iterable[str], names: Iterable[str], stranger: str) -> tuple[str, ...] | None:
    """Return the shortest text for each combination of patterns that some text fits."""
    automaton = _Automaton([*map(_pieces, globs), *map(list, names)])
    alphabet = automaton.alphabet(stranger)
    seen: set[int] = set()
    queue = deque([(automaton.begin, "")])
    found: dict[int, str] = {}
    while queue:
        state, text = queue.popleft()
        for sign in alphabet:
            following = automaton.after(state, sign)
            if following not in seen:
                seen.add(following)
                found.setdefault(following & automaton.ends, text + sign)
                queue.append((following, text + sign))
        if len(seen) > STATES_MAX:
            return None
    return tuple(found.values())


class _Automaton:
    """All patterns at once: a number with a bit for each place in each pattern that a text has come to.

    Attributes:
        begin: Before the first character.
        ends: The last place of each pattern: it fits.
    """

    def __init__(self, patterns: Iterable[list[str]]) -> None:
        self.begin = self.ends = self._loops = 0
        self._places: dict[str, int] = {}  # piece -> where it is the next one
        place = 0
        for pieces in patterns:
            self.begin |= 1 << place
            for piece in pieces:
                if piece == "*":
                    self._loops |= 1 << place
                else:
                    self._places[piece] = self._places.get(piece, 0) | 1 << place
                    place += 1
            self.ends |= 1 << place
            place += 1
        self._moves: dict[str, int] = {}  # character -> places from which it leads to the next

    def alphabet(self, stranger: str) -> list[str]:
        """Return a character of every kind that pieces tell apart."""
        sets = [piece for piece in self._places if len(piece) > 1]
        signs = {piece for piece in self._places if len(piece) == 1 and piece != "?"}
        for first, last in [bounds for piece in sets for bounds in _ranges(piece)]:
            signs |= {chr(first), chr(min(last + 1, 0x10FFFF))}
        if sets:
            signs |= {chr(min(ord(sign) + 1, 0x10FFFF)) for sign in tuple(signs)}
        return [stranger, *sorted(signs - {stranger})]

    def after(self, state: int, sign: str) -> int:
        """Return where one more character leads."""
        moves = self._moves.get(sign)
        if moves is None:
            moves = 0
            for piece, places in self._places.items():
                if piece in (sign, "?") or (len(piece) > 1 and fnmatchcase(sign, piece)):
                    moves |= places
            self._moves[sign] = moves
        return (state & moves) << 1 | state & self._loops


def _pieces(glob: str) -> list[str]:
    """Cut a pattern into characters, `?`, `*` and sets (`[a-c]`), as `fnmatch` reads it."""
    pieces: list[str] = []
    at = 0
    while at < len(glob):
        end = _set_end(glob, at) if glob[at] == "[" else at
        pieces.append(glob[at : end + 1])
        at = end + 1
    return pieces


def _set_end(glob: str, at: int) -> int:
    """Return where the set that begins at `at` ends; `at` itself if it never does."""
    inside = at + 1
    if glob[inside : inside + 1] == "!":
        inside += 1
    end = glob.find("]", inside + 1)  # a bracket that closes at once stands for itself
    return at if end < 0 else end


def _ranges(piece: str) -> Iterator[tuple[int, int]]:
    """Yield first and last character of what a set names; rather one too many than one too few."""
    for sign in piece[1:-1]:
        yield ord(sign), ord(sign)
    for at in range(2, len(piece) - 2):
        if piece[at] == "-":
            yield ord(piece[at - 1]), ord(piece[at + 1])
