"""Features of selection: variations, dependencies and their conditions."""

from __future__ import annotations

from feature import Feature, Traced, ask

_OUT = {"new_env_keys": ["X_*"]}

VARIATIONS = {
    "small": {"group": "size", "default": True, "env": {"X_SIZE": "small"}},
    "large": {"group": "size", "env": {"X_SIZE": "large"}},
    "plain": {"group": "kind", "default": True, "env": {"X_KIND": "plain"}},
    "fancy": {"group": "kind", "env": {"X_KIND": "fancy"}},
    "loud": {"env": {"X_LOUD": "yes"}},
    "both": {"base": ["loud"], "env": {"X_BOTH": "yes"}},
    "huge": {"alias": "large"},
    "preset": {"default_variations": {"size": "large"}, "env": {"X_PRESET": "yes"}},
    "loud,large": {"env": {"X_COMBINED": "loud and large"}},
    "n.#": {"env": {"X_N": "#"}, "deps": [{"tags": "vary-dep,_as.#"}]},
}

_DEPS = {
    "tree-leaf": Traced(
        {
            "new_env_keys": ["X_LEAF_*"],
            "variations": {"green": {"env": {"X_LEAF_COLOUR": "green"}}, "v.#": {}},
            "env": {"X_LEAF_RAN": "yes"},
        },
        preprocess="env['X_LEAF_VERSION'] = env.get('CM_VERSION', 'none')",
    ),
    "tree-branch": Traced(
        {"deps": [{"tags": "tree-leaf", "names": ["leaf"]}], "new_env_keys": ["X_*"]}
    ),
    "tree": Traced({"deps": [{"tags": "tree-branch", "names": ["branch"]}], **_OUT}),
    "tree-own": Traced({"deps": [{"tags": "tree-leaf", "names": ["leaf"]}], **_OUT}),
    "tree-meta": Traced(
        {
            "deps": [{"tags": "tree-branch"}],
            "adr": {},
            "variations": {
                "green": {"adr": {"leaf": {"tags": "_green"}}},
                "once": {"deps": [{"tags": "tree-leaf", "names": ["leaf"]}]},
                "own": {"base": ["once"], "ad": {"leaf": {"tags": "_green"}}},
            },
            **_OUT,
        }
    ),
}


def _conditional(**conditions: dict) -> Traced:
    return Traced(
        {
            "deps": [{"tags": "cond-dep", **conditions}],
            "default_env": {"X_ON": "maybe", "X_OFF": "no", "X_EMPTY": ""},
            **_OUT,
        }
    )


_WHEN = {
    "all-yes": {"enable_if_env": {"X_ON": ["yes"]}},
    "all-two": {"enable_if_env": {"X_ON": ["maybe"], "X_OFF": ["yes"]}},
    "all-missing-no": {"enable_if_env": {"X_NOWHERE": ["no"]}},
    "all-missing-yes": {"enable_if_env": {"X_NOWHERE": ["yes"]}},
    "any-one": {"enable_if_any_env": {"X_OFF": ["yes"], "X_ON": ["maybe"]}},
    "any-none": {"enable_if_any_env": {"X_OFF": ["yes"], "X_NOWHERE": ["yes"]}},
    "any-missing": {"enable_if_any_env": {"X_NOWHERE": ["no"]}},
    "any-empty": {"enable_if_any_env": {"X_ON": [""]}},
    "skip-all": {"skip_if_env": {"X_ON": ["maybe"], "X_OFF": ["no"]}},
    "skip-not-all": {"skip_if_env": {"X_ON": ["maybe"], "X_OFF": ["yes"]}},
    "skip-any": {"skip_if_any_env": {"X_ON": ["other"], "X_OFF": ["no"]}},
    "enable-and-skip": {"enable_if_env": {"X_ON": ["on"]}, "skip_if_env": {"X_EMPTY": [""]}},
}

CHOICE = (
    Feature(
        "variations: groups, defaults, base, alias, default_variations, combined, dynamic",
        {
            "vary": Traced({"variations": VARIATIONS, **_OUT}),
            "vary-dep": Traced({"variations": {"as.#": {"env": {"X_AS": "#"}}}, **_OUT}),
        },
        (
            ask("vary"),
            ask("vary,_large"),
            ask("vary,_fancy,_loud"),
            ask("vary,_both"),
            ask("vary,_huge"),
            ask("vary,_preset"),
            ask("vary,_preset,_small"),
            ask("vary,_loud,_large"),
            ask("vary,_n.7"),
            ask("vary,-_small"),
            ask("vary,_preset,-_large"),
        ),
    ),
    Feature(
        "variations: what is refused",
        {
            "refuse": Traced(
                {
                    "variations": VARIATIONS,
                    "invalid_variation_combinations": [["loud", "fancy"]],
                    **_OUT,
                }
            ),
            "permit": Traced(
                {
                    "variations": {"one": {}, "two": {}, "three": {}},
                    "valid_variation_combinations": [["one", "two"], ["three"]],
                }
            ),
        },
        (
            ask("refuse,_loud,_fancy"),
            ask("refuse,_small,_large"),
            ask("refuse,_unknown"),
            ask("permit,_one"),
            ask("permit,_two,_one"),
            ask("permit,_three"),
        ),
    ),
    Feature(
        "default_variation",
        {
            "lone": Traced(
                {
                    "default_variation": "first",
                    "variations": {
                        "first": {"env": {"X_IS": "first"}},
                        "second": {"env": {"X_IS": "second"}},
                    },
                    **_OUT,
                }
            )
        },
        (ask("lone"), ask("lone,_second"), ask("lone,-_first")),
    ),
    Feature(
        "names: adr and ad, from the command line and from variations",
        _DEPS,
        (
            ask("tree"),
            ask("tree", adr={"leaf": {"tags": "_green"}}),
            ask("tree", adr={"leaf": {"version": "1.5"}}),
            ask("tree", add_deps_recursive={"leaf": {"version": "2.5"}}),
            ask("tree-own", ad={"leaf": {"tags": "_green"}}),
            ask("tree-own", ad={"other": {"tags": "_green"}}),
            ask("tree-meta,_green"),
            ask("tree-meta,_own"),
        ),
        dict.fromkeys(
            ("status", "env", "phases"),
            "what a variation adds to a dependency holds wherever that one comes from",
        ),
        (7,),
    ),
    *(
        Feature(
            f"condition {name}",
            {f"when-{name}": _conditional(**conditions)},
            (ask(f"when-{name}"), ask(f"when-{name}", env={"X_ON": "no", "X_OFF": "yes"})),
        )
        for name, conditions in _WHEN.items()
    ),
    Feature(
        "keys of dependencies",
        {
            "cond-dep": Traced({"env": {"X_DEP": "ran"}, **_OUT}),
            "key-dep": Traced(
                {
                    "new_env_keys": ["X_*"],
                    "variations": {
                        "t.#": {"env": {"X_T": "#"}},
                        "small": {"env": {"X_HAS": "small"}},
                        "fancy": {"env": {"X_IS": "fancy"}},
                    },
                },
                preprocess="""
                    env['X_SAW'] = env.get('CM_TMP_MINE', 'nothing')
                    env['X_GIVEN'] = env.get('X_GIVE', 'nothing')
                    env['X_VERSIONS'] = env.get('CM_VERSION', '-') + env.get('CM_VERSION_MIN', '-')
                """,
            ),
            "keys": Traced(
                {
                    "env": {"X_NAME": "seven", "CM_TMP_MINE": "mine", "X_TAGS": "_fancy"},
                    "variations": {
                        "small": {"group": "size", "default": True},
                        "prefix": {
                            "deps": [
                                {
                                    "tags": "key-dep",
                                    "update_tags_from_env_with_prefix": {"_t.": ["X_NAME"]},
                                }
                            ]
                        },
                        "tags": {"deps": [{"tags": "key-dep", "update_tags_from_env": ["X_TAGS"]}]},
                        "force": {"deps": [{"tags": "key-dep", "force_env_keys": ["CM_TMP_*"]}]},
                        "env": {"deps": [{"tags": "key-dep", "env": {"X_GIVE": "<<<X_NAME>>>"}}]},
                        "reuse": {"deps": [{"tags": "key-dep", "reuse_version": True}]},
                        "limit": {"deps": [{"tags": "key-dep", "version_min": "3"}]},
                        "newkeys": {"deps": [{"tags": "key-dep", "force_new_env_keys": ["X_SAW"]}]},
                    },
                    **_OUT,
                }
            ),
            "inherit": Traced(
                {
                    "variations": {
                        "small": {"group": "size", "default": True},
                        "fancy": {"group": "kind", "default": True},
                        "all": {
                            "deps": [{"tags": "key-dep,-_all", "inherit_variation_tags": True}]
                        },
                        "some": {
                            "deps": [
                                {
                                    "tags": "key-dep,-_some",
                                    "inherit_variation_tags": True,
                                    "skip_inherit_variation_groups": ["kind"],
                                }
                            ]
                        },
                    },
                    **_OUT,
                }
            ),
        },
        (
            ask("keys,_prefix"),
            ask("keys,_tags"),
            ask("keys,_force"),
            ask("keys,_env"),
            ask("keys,_reuse", version="4.2"),
            ask("keys,_limit"),
            ask("keys,_newkeys"),
            ask("inherit,_all"),
            ask("inherit,_some"),
        ),
    ),
    Feature(
        "tags: by name, several, excluded",
        {
            "pick-a": Traced({"tags": ["pick", "a"], "env": {"X_PICKED": "a"}, **_OUT}),
            "pick-b": Traced({"tags": ["pick", "b"], "env": {"X_PICKED": "b"}, **_OUT}),
        },
        (
            ask("pick,a"),
            ask("b,pick"),
            ask("pick,-a"),
            {"artifact": "pick a"},
            {"artifact": "pick-b"},
            ask("pick,c"),
            ask("pick"),
        ),
    ),
)
