"""A chain of recipes that is too long is not taken for one that comes back to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cm4storage.core.errors import UserError

if TYPE_CHECKING:
    from recipe_books import Library, Recipes


def test_too_deep(recipes: Recipes, library: Library) -> None:
    for number in range(70):
        recipes.add(f"step-n{number}", {"deps": [{"tags": f"step,n{number + 1}"}]})
    recipes.add("step-n70")
    with pytest.raises(UserError, match="more than 64 deep"):
        library.run("step,n0")
    assert library.env("step,n10") == {}
