"""What a caller asks for: tags, variations, and those to leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cm4storage.core.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Query:
    """A parsed list of tags.

    Parameters
    ----------
    tags, without_tags : tuple of str
        Tags that the recipe must and must not have.
    variations, without_variations : tuple of str
        Variations to switch on and to keep off, without the underscore.
    name : str
        An alias or uid instead of tags; "" if none was given.
    """

    tags: tuple[str, ...] = ()
    without_tags: tuple[str, ...] = ()
    variations: tuple[str, ...] = ()
    without_variations: tuple[str, ...] = ()
    name: str = ""

    @classmethod
    def parse(cls, words: str | Iterable[str], name: str = "") -> Query:
        """Return the query of a comma- or space-separated text, or of a list of tags."""
        parts = words.replace(" ", ",").split(",") if isinstance(words, str) else words
        tags: dict[str, list[str]] = {"": [], "-": [], "_": [], "-_": []}
        for part in parts:
            word = str(part).strip()
            # CM's metadata writes an exclusion in both orders.
            for prefix in ("-_", "_-", "-", "_", ""):
                if word and word.startswith(prefix):
                    tags["-_" if prefix == "_-" else prefix].append(word.removeprefix(prefix))
                    break
        unique = {kind: tuple(dict.fromkeys(found)) for kind, found in tags.items()}
        return cls(unique[""], unique["-"], unique["_"], unique["-_"], name)

    def text(self) -> str:
        """Return the query in the form that ``--tags=`` takes."""
        if self.name and not self.tags:
            return self.name
        return ",".join(
            (
                *self.tags,
                *(f"-{tag}" for tag in self.without_tags),
                *(f"_{name}" for name in self.variations),
                *(f"-_{name}" for name in self.without_variations),
            )
        )
