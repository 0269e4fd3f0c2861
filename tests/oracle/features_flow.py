"""Features of a run: phases, environment, state, versions, the cache, failures."""

from __future__ import annotations

from feature import Feature, Traced, ask

_OUT = {"new_env_keys": ["X_*"]}
_STAMP = {
    "cache": True,
    "new_env_keys": ["X_*"],
    "default_env": {"X_SIZE": "1"},
}
_NOTE = "env['X_TOOL'] = 'found'"

_VERSIONED = Traced(
    {
        "default_version": "2.0",
        "versions": {
            "1.0": {"env": {"X_IS": "one"}},
            "2.0": {"env": {"X_IS": "two"}, "deps": [{"tags": "flow-dep"}]},
            "3.0": {"env": {"X_IS": "three"}},
        },
        "variations": {"new": {"default_version": "3.0"}},
        **_OUT,
    },
    preprocess="""
        env['X_VERSION'] = env.get('CM_VERSION', 'none')
        env['X_PIP'] = env.get('CM_TMP_PIP_VERSION_STRING', 'none')
    """,
)

_TOOL = """
    import os

    def detect_version(i):
        r = i['automation'].parse_version({'match_text': r'tool ([0-9.]+)', 'group_number': 1,
                                           'env_key': 'X_TOOL_VERSION', 'which_env': i['env']})
        if r['return'] > 0:
            return r
        return {'return': 0, 'version': r['version']}
"""

_FIND = """
    folder = os.path.join(os.path.dirname(os.environ["ORACLE_LOG"]), "..", "tools")
    folder = os.path.normpath(folder)
    for number in ("1.0", "2.0", "3.0"):
        os.makedirs(os.path.join(folder, number), exist_ok=True)
        file = os.path.join(folder, number, "tool")
        if not os.path.exists(file):
            with open(file, "w") as stream:
                stream.write("tool " + number)
    env["CM_TMP_PATH"] = ":".join(os.path.join(folder, n) for n in ("1.0", "2.0", "3.0"))
    found = i["automation"].find_artifact({"file_name": "tool", "env": env,
        "os_info": i["os_info"], "default_path_env_key": "PATH", "detect_version": True,
        "env_path_key": "X_TOOL", "run_script_input": i["run_script_input"],
        "recursion_spaces": i["recursion_spaces"]})
    if found["return"] > 0:
        return found
    env["X_FOUND"] = ",".join(sorted(found))
"""

FLOW = (
    Feature(
        "phases and their order",
        {
            "flow-dep": Traced({"env": {"X_DEP": "yes"}, **_OUT}),
            "flow-pre": Traced({"env": {"X_PRE": "yes"}, **_OUT}),
            "flow-post": Traced({"env": {"X_POST": "yes"}, **_OUT}),
            "flow-last": Traced({"env": {"X_LAST": "yes"}, **_OUT}),
            "flow": Traced(
                {
                    "deps": [{"tags": "flow-dep"}],
                    "prehook_deps": [{"tags": "flow-pre"}],
                    "posthook_deps": [{"tags": "flow-post"}],
                    "post_deps": [{"tags": "flow-last"}],
                    **_OUT,
                }
            ),
            "flow-bare": Traced({"post_deps": [{"tags": "flow-last"}], **_OUT}, run=""),
        },
        (ask("flow"), ask("flow-bare")),
    ),
    Feature(
        "precedence of the environment",
        {
            "rank": Traced(
                {
                    "default_env": {"X_A": "default", "X_B": "default", "X_C": "default"},
                    "env": {"X_B": "meta", "X_C": "meta", "X_D": "meta"},
                    "input_mapping": {"c": "X_C", "d": "X_D"},
                    "variations": {
                        "v": {
                            "env": {"X_C": "variation", "X_D": "variation", "X_E": "variation"},
                            "default_env": {"X_A": "variation default", "X_F": "variation default"},
                        }
                    },
                    **_OUT,
                }
            )
        },
        (
            ask("rank"),
            ask("rank,_v"),
            ask("rank,_v", env={f"X_{letter}": "env" for letter in "ABCDEF"}),
            ask("rank,_v", c="input", d="input"),
            ask("rank,_v", const={"X_A": "const", "X_C": "const", "X_E": "const"}),
            ask("rank,_v", const={"X_C": "const"}, c="input"),
        ),
    ),
    Feature(
        "what reaches the parent",
        {
            "hand-dep": Traced(
                {
                    "env": {
                        "X_ONE": "1",
                        "X_TWO": "2",
                        "Y_THREE": "3",
                        "X_REF": "Y_FOUR",
                        "Y_FOUR": "4",
                        "CM_TMP_X": "5",
                        "+X_LIST": ["a", "b"],
                    },
                    "new_env_keys": [
                        "X_ONE",
                        "Y_TH*",
                        "<<<X_REF>>>",
                        "CM_TMP_X",
                        "+X_LIST",
                        "X_NO",
                    ],
                    "new_state_keys": ["shared", "list*"],
                    "state": {"shared": {"deep": 1}, "hidden": 2, "listed": [1, 2]},
                }
            ),
            "hand": Traced(
                {
                    "deps": [{"tags": "hand-dep"}],
                    "env": {"+X_LIST": ["z"]},
                    "new_env_keys": ["*"],
                    "new_state_keys": ["*"],
                    "state": {"shared": {"mine": 3}, "listed": [0]},
                },
                preprocess="""
                    for name in list(env):
                        if name.startswith(('CM_', 'GH_')):
                            del env[name]
                    state.pop('docker', None)
                """,
                postprocess="""
                    for name in list(env):
                        if name.startswith(('CM_', 'GH_')):
                            del env[name]
                    state.pop('docker', None)
                """,
            ),
        },
        (ask("hand-dep"), ask("hand")),
    ),
    Feature(
        "substitution",
        {
            "fill": Traced(
                {
                    "env": {"X_A": "a<<<X_B>>>", "X_B": "b", "X_L": ["<<<X_B>>>", "c"]},
                    "variations": {"v": {"env": {"X_C": "<<<X_A>>><<<X_GIVEN>>>"}}},
                    **_OUT,
                }
            )
        },
        (ask("fill"), ask("fill,_v", env={"X_GIVEN": "g"})),
    ),
    Feature(
        "files that run.sh writes and reads",
        {
            "files": Traced(
                {"new_env_keys": ["X_*"], "new_state_keys": ["answer"], "state": {"question": 6}},
                preprocess="env['X_ASKED'] = 'yes'",
                run="""
                    echo "X_FROM_RUN=$X_ASKED and no" > tmp-run-env.out
                    grep -q '"question": 6' tmp-state.json && echo "X_STATE=seen" >> tmp-run-env.out
                    echo '{"answer": {"is": 42}}' > tmp-run-state.json
                """,
                postprocess="env['X_LATE'] = str(state['answer']['is']) + env['X_FROM_RUN']",
            ),
            "files-equals": Traced(_OUT, run='echo "X_EQUALS=a=b" > tmp-run-env.out'),
        },
        (ask("files"), ask("files-equals")),
        {"env": "a value keeps what stands behind a second ="},
        (1,),
    ),
    Feature(
        "+KEY lists in run.sh",
        {
            "plus": Traced(
                {
                    "env": {
                        "+X_PATH": ["/one", "/two"],
                        "X_PATH": "/old",
                        "+ X_FLAGS": ["-a", "-b"],
                        "X_FLAGS": "-c",
                    },
                    "new_env_keys": ["X_SEEN", "X_FLAGGED"],
                },
                run="""
                    echo "X_SEEN=$X_PATH" > tmp-run-env.out
                    echo "X_FLAGGED=$X_FLAGS" >> tmp-run-env.out
                """,
            ),
            "plus-host": Traced(
                {"env": {"+PATH": ["/one", "/two"]}, "new_env_keys": ["X_SEEN", "+PATH"]},
                run='echo "X_SEEN=${PATH%%:/usr*}" > tmp-run-env.out',
            ),
        },
        (ask("plus-host"), ask("plus")),
        {"env": "the list is put before a KEY that is in the recipe's env, too, not lost"},
        (1,),
    ),
    Feature(
        "versions: asked, default, limits",
        {"ver": _VERSIONED},
        (
            ask("ver"),
            ask("ver", version="1.0"),
            ask("ver", version="9.9"),
            ask("ver,_new"),
            ask("ver", version_min="1.0"),
            ask("ver", version_max="3.5"),
            ask("ver", version_min="1.0", version_max="3.5"),
            ask("ver", env={"CM_VERSION": "3.0"}),
        ),
    ),
    Feature(
        "versions: a default outside of the limits",
        {"clamp": Traced({"default_version": "2.0", **_OUT}, preprocess=_VERSIONED.preprocess)},
        (
            ask("clamp", version_min="2.5"),
            ask("clamp", version_max="1.5"),
            ask("clamp", version_max="1.5", version_max_usable="1.4"),
        ),
    ),
    Feature(
        "find_artifact and detect_version",
        {
            "seek-tool": Traced(
                {"new_env_keys": ["X_FOUND", "X_TOOL_VERSION", "X_TOOL"]},
                preprocess=_FIND,
                more=_TOOL,
                run='cat "$X_TOOL" > tmp-ver.out',
                postprocess="""
                    answer = detect_version(i)
                    if answer['return'] > 0:
                        return answer
                """,
            )
        },
        (
            ask("seek-tool"),
            ask("seek-tool", version="2.0"),
            ask("seek-tool", version_min="2.5"),
            ask("seek-tool", version_max="2.0", version_min="2.0"),
            ask("seek-tool", version="7.0"),
        ),
        differs={
            "phases": "the first version that fits is taken; later ones are not tried",
        },
        differs_at=(0, 1, 3),
    ),
    Feature(
        "run_native_script and script_name",
        {
            "native-plain": Traced(
                {"new_env_keys": ["X_*"], "variations": {"other": {"script_name": "other"}}},
                preprocess="""
                    env['X_MINE'] = 'mine'
                    r = i['automation'].run_native_script({
                        'run_script_input': i['run_script_input'], 'env': env,
                        'script_name': 'extra'})
                    if r['return'] > 0:
                        return r
                    env['X_TEMPORARY'] = r['env_tmp']['X_EXTRA']
                """,
                scripts={
                    "extra": 'echo "X_EXTRA=$X_MINE" > tmp-run-env.out',
                    "other": 'echo other >> "$ORACLE_LOG"',
                    "named": 'echo named >> "$ORACLE_LOG"',
                },
            ),
            "native-named": Traced(
                preprocess="i['run_script_input']['script_name'] = 'named'",
                scripts={"named": 'echo named >> "$ORACLE_LOG"'},
            ),
            "native-os": Traced(
                {"env": {"CM_HOST_OS_FLAVOR": "oracle", "CM_HOST_OS_VERSION": "1"}},
                scripts={"run-oracle": "echo flavor", "run-oracle-1": 'echo os >> "$ORACLE_LOG"'},
            ),
            "native-absent": Traced({"script_name": "absent"}),
        },
        (ask("native-plain"), ask("native-plain,_other"), ask("native-named"), ask("native-os")),
    ),
    Feature(
        "hooks change dependencies that have yet to run",
        {
            "late-dep": Traced({"variations": {"a": {"env": {"X_A": "a"}}}, **_OUT}),
            "late": Traced(
                {"prehook_deps": [{"tags": "late-dep", "names": ["it"]}], **_OUT},
                preprocess="""
                    i['automation'].update_deps({'deps': i['meta']['prehook_deps'],
                                                 'update_deps': {'it': {'tags': '_a'}}})
                """,
            ),
        },
        (ask("late"),),
    ),
    Feature(
        "skip, and another recipe instead",
        {
            "skip-other": Traced({"env": {"X_OTHER": "yes"}, **_OUT}),
            "skip": Traced(_OUT, preprocess="result['skip'] = True"),
            "skip-instead": Traced(
                _OUT, preprocess="result.update(skip=True, script={'tags': 'skip-other'})"
            ),
            "skip-above": Traced({"deps": [{"tags": "skip"}], **_OUT}),
        },
        (ask("skip"), ask("skip-instead"), ask("skip-above")),
    ),
    Feature(
        "env_key_mappings and update_meta_if_env",
        {
            "mapped": Traced(
                {
                    "env": {"X_OLD_A": "1"},
                    "env_key_mappings": {"X_OLD_": "X_NEW_"},
                    "variations": {
                        "if": {
                            "update_meta_if_env": [
                                {"enable_if_env": {"X_OLD_A": ["1"]}, "env": {"X_IF": "yes"}},
                                {"enable_if_env": {"X_OLD_A": ["2"]}, "env": {"X_IF": "no"}},
                            ]
                        }
                    },
                    **_OUT,
                },
                run='echo "X_SEEN=$X_NEW_A" > tmp-run-env.out',
            )
        },
        (ask("mapped"), ask("mapped,_if")),
    ),
    Feature(
        "the cache: a hit skips the phases",
        {
            "kept-dep": Traced(
                {
                    "cache": True,
                    "default_env": {"X_KEPT_DEP": "yes"},
                    "new_env_keys": ["X_KEPT_*"],
                }
            ),
            "kept": Traced({**_STAMP, "deps": [{"tags": "kept-dep"}]}, postprocess=_NOTE),
            "forced": Traced({"can_force_cache": True, **_OUT}, postprocess=_NOTE),
            "forced-dep": Traced({"deps": [{"tags": "forced", "force_cache": True}], **_OUT}),
        },
        (
            ask("kept"),
            ask("kept"),
            ask("kept-dep"),
            ask("forced"),
            ask("forced"),
            ask("forced-dep"),
            ask("forced-dep"),
        ),
    ),
    Feature(
        "the cache: dynamic dependencies run on a hit",
        {
            "lively-dep": Traced({"env": {"X_LIVELY": "yes"}, **_OUT}),
            "lively": Traced(
                {
                    "cache": True,
                    "deps": [{"tags": "lively-dep", "dynamic": True}],
                    "post_deps": [
                        {"tags": "lively-dep", "dynamic": True},
                        {"tags": "quiet-dep"},
                    ],
                    **_OUT,
                }
            ),
            "quiet-dep": Traced({"env": {"X_QUIET": "yes"}, **_OUT}),
        },
        (ask("lively"), ask("lively")),
    ),
    Feature(
        "failures",
        {
            "fail-run": Traced(run="exit 3"),
            "fail-pre": Traced(preprocess="result.update({'return': 5, 'error': 'no'})"),
            "fail-post": Traced(postprocess="result.update({'return': 5, 'error': 'no'})"),
            "fail-raise": Traced(preprocess="raise RuntimeError('boom')"),
            "fail-above": Traced({"deps": [{"tags": "fail-run"}]}),
            "fail-none": Traced({"deps": [{"tags": "no-such-recipe"}]}),
        },
        (
            ask("fail-run"),
            ask("fail-pre"),
            ask("fail-post"),
            ask("fail-raise"),
            ask("fail-above"),
            ask("fail-none"),
        ),
    ),
    Feature(
        "what hooks are given",
        {
            "given": Traced(
                {
                    "variations": {
                        "v": {"base": ["b"]},
                        "b": {},
                        "d": {"group": "g", "default": True},
                        "e": {"group": "h", "default": True},
                    },
                    "new_env_keys": ["X_*"],
                    "customize": {"own": 1},
                },
                preprocess="""
                    env['X_KEYS'] = ','.join(sorted(set(i) - {'const'}))
                    env['X_META'] = i['meta']['alias'] + i['artifact'].meta['alias']
                    env['X_PATH'] = os.path.basename(i['artifact'].path)
                    env['X_TAGS'] = ','.join(i['script_tags'] + i['variation_tags'])
                    env['X_OS'] = ','.join(f'{k}={v}' for k, v in sorted(i['os_info'].items()))
                    env['X_CUSTOM'] = str(i['customize'])
                    env['X_HERE'] = str(os.getcwd() == env.get('CM_TMP_CURRENT_PATH'))
                    env['X_RUN'] = os.path.basename(i['run_script_input']['path'])
                    env['X_QUIET'] = env.get('CM_QUIET', '')
                    env['X_STATE'] = str(i['run_script_input']['run_state']['script_id'])
                """,
            )
        },
        (ask("given,_v,-_d"),),
        {
            "env": "a recipe without cache runs in a folder of its own, not in the caller's; "
            "variation_tags are all variations that are on, not only those named in the call"
        },
        (0,),
    ),
)
