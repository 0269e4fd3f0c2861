"""Files in memory, and content that is known."""

from __future__ import annotations

import memory_files
import pytest
from memory_files import KnownContent, MemorySource


@pytest.fixture
def known_content():
    return KnownContent


@pytest.fixture
def memory_source():
    return MemorySource


@pytest.fixture(name="encode")
def encode_fixture():
    return memory_files.encode


@pytest.fixture(name="companions")
def companions_fixture():
    return memory_files.companions


@pytest.fixture(name="made")
def made_fixture():
    return memory_files.made
