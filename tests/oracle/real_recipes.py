"""Recipes that cmx4mlops carries, need no network and change nothing outside of the cache."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Real:
    """A call of a real recipe.

    Parameters
    ----------
    must_work : bool
        Whether it works on every machine; else it may fail, and must then fail under both.
    differs : Mapping
        Part of the result (status, env, state, phases) -> why this engine differs on purpose.
    """

    tags: str
    flags: Mapping[str, Any] = field(default_factory=dict)
    must_work: bool = False
    differs: Mapping[str, str] = field(default_factory=dict)
    again: bool = False

    @property
    def name(self) -> str:
        """The call as a person would write it."""
        flags = [f"--{key}={value}" for key, value in self.flags.items()]
        return " ".join([self.tags, *flags, *(["(again)"] if self.again else [])])

    @property
    def step(self) -> dict[str, Any]:
        """The call as the engines take it."""
        return {"tags": self.tags, **self.flags}


REAL = (
    Real("detect,os", must_work=True),
    Real("detect,cpu", must_work=True),
    Real("get,python3", must_work=True),
    Real("get,python3", must_work=True, again=True),
    Real("get,sys-utils-min", must_work=True),
    Real("get,gcc"),
    Real("get,gcc", again=True),
    Real("get,gcc", {"version": "0.1"}),
    Real("get,gcc", {"version_max": "0.1"}),
    Real("get,gcc", {"version_min": "1.0", "version_max": "99"}),
    Real("get,openssl"),
    Real("get,cmake", {"env": {"CM_TMP_PATH": "/nowhere"}}),
    Real("get,cl"),
    Real("get,java"),
    Real("get,docker"),
    Real("get,cache,dir", must_work=True),
    Real("print,python-version", must_work=True),
    Real("print,native,hello-world", must_work=True),
    Real("print,native,hello-world,_text.FOO", must_work=True),
    Real("print,any-text,_text.hello", must_work=True),
    Real("run,python", must_work=True),
    Real("test,cm-script,pipeline", must_work=True),
    Real("test,deps,conditions", must_work=True),
    Real("test,deps,conditions", {"test1": "yes"}, must_work=True),
    Real("test,deps,conditions2", {"env": {"TEST": "yes"}}, must_work=True),
    Real("test,dummy", must_work=True),
    Real("get,mlperf,inference,submission,dir", must_work=True),
    Real("get,mlperf,inference,local,results,dir", must_work=True),
    Real("get,mlperf,inference,local,results,dir,_version.x", must_work=True),
    Real("get,mlperf,inference,intel,scratch,space", must_work=True),
    Real("get,abtf,inference,scratch,space", must_work=True),
    Real("set,sqlite,dir", must_work=True),
    Real("set,echo,off,win", must_work=True),
    Real("create,patch"),
    Real("create,custom,cache,entry,_unknown.x"),
    Real("get,tool,go"),
)
