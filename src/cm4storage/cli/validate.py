"""``cm4storage validate``: explain a workload, and name all that is wrong with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cm4storage.checkpoint.models.needs import CheckpointNeeds, checkpoint_needs
from cm4storage.cli import options
from cm4storage.core.errors import ExitCode, UserError
from cm4storage.core.units import format_bytes, format_count, format_seconds
from cm4storage.dataset.needs import Needs, needs_of
from cm4storage.report.listing import table
from cm4storage.workload import stock
from cm4storage.workload.entries import Origin
from cm4storage.workload.explain import Explained, explain
from cm4storage.workload.problems import Problem
from cm4storage.workload.quirks import quirks

if TYPE_CHECKING:
    import argparse

    from cm4storage.report.console import Console

_LONGEST_VALUE = 60
_TITLES = {
    "error": "errors",
    "warning": "what DLIO cannot run",
    "remark": "what DLIO does otherwise",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's options."""
    parser.add_argument(
        "workload", metavar="FILE|NAME",
        help="a DLIO YAML, or a stock workload; see: cm4storage workload --list",
    )  # fmt: skip
    options.add_overrides(parser)
    parser.add_argument("--all", action="store_true", help="show the keys at their defaults too")
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def execute(args: argparse.Namespace, console: Console) -> int:
    """Explain the workload; exit with 1 where there is an error."""
    explained = explain(_request(args))
    findings = [*explained.problems, *quirks(explained)]
    needs: Needs | CheckpointNeeds | None = None
    if not _is_wrong(findings):
        try:
            needs = _needs(explained)
        except UserError as error:  # a model that cannot be spread as it says
            findings.append(Problem.of(error))
    is_wrong = _is_wrong(findings)
    if args.json:
        console.show(json.dumps(_document(explained, findings, needs), indent=2, allow_nan=False))
    else:
        console.show(_text(explained, findings, needs, _rows(explained, with_defaults=args.all)))
    return int(ExitCode.USER if is_wrong else ExitCode.OK)


def _is_wrong(findings: list[Problem]) -> bool:
    return any(finding.level == "error" for finding in findings)


def _needs(explained: Explained) -> Needs | CheckpointNeeds | None:
    if explained.workload.writes_checkpoints_only:
        return checkpoint_needs(explained.workload)
    return needs_of(explained.workload)


def _request(args: argparse.Namespace) -> Any:
    text = args.workload
    is_name = "/" not in text and (text in stock.names() or _is_in_folder(text, args.config_dir))
    path = Path(text)
    if path.is_file() or not (is_name or _has_no_suffix(text)):
        return options.request(args, model="", config=path)
    args.scale = args.scale or "stock"
    return options.request(args, model=text, config=None)


def _is_in_folder(name: str, folder: Path | None) -> bool:
    return folder is not None and (folder / "workload" / f"{name}.yaml").is_file()


def _has_no_suffix(text: str) -> bool:
    return "/" not in text and not text.endswith((".yaml", ".yml"))


def _rows(explained: Explained, *, with_defaults: bool) -> list[tuple[str, str, str]]:
    """Return key, value and origin of the values that were given, or of all."""
    default = Origin("default")
    rows = []
    for path, value in explained.workload.settings().items():
        origin = explained.origins.get(path, default)
        if with_defaults or origin.kind != "default":
            rows.append((path, _shown(value), str(origin)))
    return rows


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def _text(
    explained: Explained,
    findings: list[Problem],
    needs: Needs | CheckpointNeeds | None,
    rows: list[tuple[str, str, str]],
) -> str:
    workload = explained.workload
    title = f"workload {workload.name} ({workload.scale} scale) from {explained.source}"
    parts = [
        f"{title}\ndialect  {explained.dialect}",
        table(("key", "value", "from"), rows),
    ]
    for level, title in _TITLES.items():
        parts += _section(title, [_line(f) for f in findings if f.level == level])
    parts += _section("notes", list(explained.notes))
    if isinstance(needs, CheckpointNeeds):
        title = f"a run of {format_count(needs.ranks, 'rank')}"
        parts += _section(title, _checkpoint_lines(needs))
    elif needs is not None:
        parts += _section("a run of one rank", _needs_lines(needs))
    errors = sum(finding.level == "error" for finding in findings)
    parts.append(format_count(errors, "error") if errors else "no errors")
    return "\n\n".join(parts)


def _section(title: str, lines: list[str]) -> list[str]:
    return ["\n".join([title, *(f"  {line}" for line in lines)])] if lines else []


def _line(finding: Problem) -> str:
    if finding.level != "error":
        return f"{finding.what}\n    {finding.meaning}"
    details = (("where", finding.where), ("cause", finding.meaning), ("to do", finding.advice))
    lines = [finding.what]
    for label, text in details:
        if text:
            lines.append(f"    {label}: " + text.replace("\n", "\n           "))
    return "\n".join(lines)


def _needs_lines(needs: Needs) -> list[str]:
    lines = [f"data set     {format_bytes(needs.data_set_bytes)} on the storage"]
    if needs.epochs:
        epochs = format_count(needs.epochs, "epoch")
        steps = format_count(needs.epochs * needs.steps_per_epoch, "step")
        per_epoch, in_all = format_bytes(needs.read_bytes_per_epoch), format_bytes(needs.read_bytes)
        lines += [
            f"reads        {per_epoch} in each of {epochs}, {in_all} in all",
            f"memory       {format_bytes(needs.batch_memory_bytes)} for batches",
            f"least time   {format_seconds(needs.least_time_s)}, for {steps} of computation",
        ]
    return lines


def _checkpoint_lines(needs: CheckpointNeeds) -> list[str]:
    model, optimizer = format_bytes(needs.model_bytes), format_bytes(needs.optimizer_bytes)
    size = f"{format_bytes(needs.checkpoint_bytes)} in {format_count(needs.files, 'file')}"
    written = format_bytes(needs.written_bytes)
    return [
        f"checkpoint   {size}: model {model}, optimizer {optimizer}",
        f"writes       {format_count(needs.writes, 'checkpoint')}, {written} on the storage",
        f"reads        {format_count(needs.reads, 'checkpoint')}",
        f"least time   {format_seconds(needs.least_time_s)}, for the pauses before checkpoints",
    ]


def _document(
    explained: Explained, findings: list[Problem], needs: Needs | CheckpointNeeds | None
) -> dict[str, Any]:
    workload, default = explained.workload, Origin("default")
    return {
        "workload": workload.name,
        "scale": workload.scale,
        "source": explained.source,
        "dialect": asdict(explained.dialect),
        "digest": workload.digest(),
        "values": {
            path: {
                "value": value,
                "from": explained.origins.get(path, default).kind,
                "place": explained.origins.get(path, default).where,
            }
            for path, value in workload.settings().items()
        },
        "findings": [finding.to_json() for finding in findings],
        "notes": list(explained.notes),
        "needs": None if needs is None else asdict(needs),
    }
