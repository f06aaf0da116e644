"""From a failed gate to its rows, where they are none of the run's own."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from evalkit.evaluation.stability import attack_success_rate, flip_rate
from evalkit.gates import Policy, conclude, judge
from evalkit.reports.html.run_page import run_page
from evalkit.reports.judged import JudgedRun, read_judged
from evalkit.reports.verdicts import release_from_json, verdicts_to_json
from judged_runs import TASK, write_judged_run

POLICIES = {"flips": Policy(max_value=0.1, min_cases=5, why="x")}


def test_a_flip_shows_before_and_after_and_an_attack_its_order(tmp_path: Path) -> None:
    run = read_judged(write_judged_run(tmp_path, right=12))
    after = read_judged(write_judged_run(tmp_path / "other", right=4)).evaluation
    asked = replace(after, record=after.record.having(part="changed-typo"))
    verdict = judge("flips", POLICIES["flips"], flip_rate(run.evaluation, asked), slice_name="typo")
    # Rows 4 to 11 were right and are not any more.
    assert [case.id for case in verdict.cases] == [str(n) for n in range(4, 12)]
    first = verdict.cases[0]
    assert (first.right, first.before, first.said) == ("Work, medium", "Work, medium", "Work, low")
    wanted = {str(n): {"priority": 1} for n in range(20)}
    (attacked, *_) = attack_success_rate(run.evaluation, asked, wanted).cases
    assert (attacked.context, attacked.said) == ("the order: priority low", "Work, low")

    release = conclude("mine", TASK.family, [verdict], POLICIES)
    content = json.loads(json.dumps(verdicts_to_json(release, run.evaluation, "c")))
    back = release_from_json(content, run.evaluation)
    assert back.verdicts[0].cases == verdict.cases
    page = run_page(JudgedRun(run.folder, run.evaluation, back))
    (place,) = set(re.findall(r'href="#(cases-[^"]+)"', page))
    rows = page.partition(f'id="{place}"')[2].partition("</details>")[0]
    assert rows.count("<tr>") == 9
    assert "Before" in rows
