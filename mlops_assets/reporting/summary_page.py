"""A summary as one HTML file that loads nothing from anywhere, so that a person can send it around."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from mlops_assets.reporting.messages import cause
from mlops_assets.reporting.summary_text import MARK, change, data_lines, duration, outcome, score, serving_lines

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; --good: #1a7f4b; --bad: #c0392b; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 1.75rem 0 .5rem; }
.SUCCESS { color: var(--good); } .FAILURE { color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .75rem .35rem 0; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-weight: 600; white-space: nowrap; } tbody th { font-weight: 400; white-space: nowrap; }
td { overflow-wrap: anywhere; } td.short { white-space: nowrap; }
td.done { color: var(--good); } td.failed { color: var(--bad); font-weight: 600; }
tr.failed { background: var(--soft); } tr.skipped { opacity: .65; }
ul { margin: 0; padding-left: 1.2rem; } summary { cursor: pointer; } footer { margin-top: 2rem; opacity: .7; }
"""


def as_page(summary: Mapping[str, Any]) -> str:
    """The page: how it ended first, then what stands, then stage by stage, then the figures."""
    title = f"Run {summary['run_id'][:8]} of {summary['job']}"
    ended = escape(outcome(summary))
    why = [f"Cause: {cause(summary)}."] if summary["status"] == "FAILURE" else []
    parts = [
        f'<h1>{escape(title)} <span class="{escape(str(summary["status"]))}">{ended}</span></h1>',
        *_list("", [*why, *data_lines(summary), *serving_lines(summary)]),
        _table("The run", ["", ""], _about(summary)),
        _stages(summary),
        *_list("Failed steps", [f"{row['step']}: {row['reason']}" for row in summary["failures"]]),
        *_checks(summary),
        *_models(summary),
        f"<footer>Run {escape(summary['run_id'])}, "
        f'<a href="{escape(str(summary["link"]))}">{escape(str(summary["link"]))}</a></footer>',
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)} {ended}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _about(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    took = duration(summary["duration_s"]) if summary["duration_s"] is not None else "not known"
    rows = [
        ("Trigger", str(summary["trigger"])),
        ("Started", _time(summary["started"])),
        ("Ended", f"{_time(summary['ended'])}, after {took}"),
        ("Source", str(summary["source"])),
    ]
    if summary.get("follows"):
        rows.append(("Next", str(summary["follows"])))
    if summary.get("attempt_of"):
        rows.append(("Repeats", f"run {summary['attempt_of']}"))
    return rows


def _stages(summary: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr class="{status}"><th scope="row">{escape(row["stage"])}</th>'
        f'<td class="short {status}">{MARK[status]} {status}</td><td>{escape(row["reason"])}</td></tr>'
        for row in summary["stages"]
        for status in [row["status"]]
    )
    head = "<thead><tr><th>Stage</th><th>Status</th><th>Reason</th></tr></thead>"
    return f'<h2>Stages</h2>\n<div class="wide"><table>{head}<tbody>{rows}</tbody></table></div>'


def _checks(summary: Mapping[str, Any]) -> list[str]:
    def told(passed: bool) -> list[str]:  # noqa: FBT001  which half
        return [
            f"{row['check']}{'' if passed else ' (' + row['severity'].lower() + ')'}: {row['reason']}"
            for row in summary["checks"]
            if row["passed"] is passed
        ]

    good = told(True)
    more = [f"<details><summary>{len(good)} checks passed</summary>{_items(good)}</details>"] if good else []
    failed = _list("", told(False))
    return ["<h2>Checks</h2>", *failed, *more] if failed or more else []


def _models(summary: Mapping[str, Any]) -> list[str]:
    """One column a model: figures of one side stand beside each other."""
    models = [(kind, figures) for kind, figures in summary["models"].items() if figures]
    rows = [
        ("Data", [str(figures["dataset_version"]) for _, figures in models]),
        ("Gate", [score(figures.get("gate")) for _, figures in models]),
        ("Change against the serving model", [change(summary, kind) for kind, _ in models]),
        ("Validation", [score(figures.get("validation")) for _, figures in models]),
        ("Test", [score(figures.get("test")) for _, figures in models]),
        ("Newest months of gate and test", [score(figures.get("newest")) for _, figures in models]),
    ]
    head = ["", *(f"{kind} {figures['model_version']}" for kind, figures in models)]
    return [_table("Models", head, [[name, *cells] for name, cells in rows])] if models else []


def _table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr></thead>" if any(head) else ""
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(value)}</td>" for value in row[1:])}</tr>'
        for row in rows
    )
    return f'<h2>{escape(title)}</h2>\n<div class="wide"><table>{top}<tbody>{body}</tbody></table></div>'


def _list(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<h2>{escape(title)}</h2>" if title else "", _items(lines)] if lines else []


def _items(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _time(iso: str | None) -> str:
    return iso.replace("T", " ").replace("+00:00", " UTC") if iso else "not known"
