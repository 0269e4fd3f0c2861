"""The rules for the recipes of one repository together: what they are found by."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cm4storage.scripting.authoring.findings import Finding
    from cm4storage.scripting.authoring.rules import Subject


def check_together(
    subjects: Sequence[Subject], all_of_them: Sequence[Subject]
) -> Iterator[Finding]:
    """Yield what is wrong with `subjects` among all recipes of their repository."""
    for subject in subjects:
        others = [each for each in all_of_them if each.source.file != subject.source.file]
        yield from _uid_unique(subject, others)
        yield from _tags_unique(subject, others)
        if subject.house.is_strict:
            yield from _tags_reachable(subject, others)


def _uid_unique(subject: Subject, others: Sequence[Subject]) -> Iterator[Finding]:
    for other in others:
        if other.recipe.uid == subject.recipe.uid:
            yield subject.finding(
                "uid-unique",
                f"the uid {subject.recipe.uid} is that of {other.source.folder.name}, too",
                "uid",
                advice="a copied recipe needs a uid of its own: 16 random hexadecimal digits",
            )


def _tags_unique(subject: Subject, others: Sequence[Subject]) -> Iterator[Finding]:
    own = frozenset(subject.recipe.tags)
    for other in others:
        if own == frozenset(other.recipe.tags):
            yield subject.finding(
                "tags-unique",
                f"its tags are those of {other.source.folder.name}, too: {','.join(sorted(own))}",
                "tags",
                advice="no tags mean one of the two alone: change those of one",
            )


def _tags_reachable(subject: Subject, others: Sequence[Subject]) -> Iterator[Finding]:
    own = frozenset(subject.recipe.tags)
    for other in others:
        if own < frozenset(other.recipe.tags):
            yield subject.finding(
                "tags-reachable",
                f"{other.source.folder.name} has all of its tags, and more",
                "tags",
                advice=f"whatever tags find this recipe ({','.join(sorted(own))}) find that one as "
                "well, and other engines cannot tell which is meant: add a tag that only this has",
            )
