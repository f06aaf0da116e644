"""What reports say in each language: templates of Markdown, under the same keys.

What is filled in is made safe by `text.fill`. Names of gates, fields and values stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from evalkit.reports.markdown.text import Markdown, code, fill, safe

Lang = Literal["en", "zh"]

ENGLISH: Mapping[str, str] = {
    # punctuation and numbers
    "range": "{low} to {high}",
    "and more": "{names} and {n} more",
    "counted": "counted",
    "points": "{value} points",
    "list": ", ",
    "clauses": "; ",
    # headings
    "title.run": "Release report: {system}",
    "title.comparison": "Model comparison",
    "conclusion": "Conclusion",
    "results": "Results",
    "slices": "Per-value results",
    "gates": "Gates",
    "comparison": "Comparison",
    "errors": "Error samples",
    "contamination": "Contamination",
    "cost": "Cost",
    "configuration": "Configuration",
    "limitations": "Limitations",
    "next": "Next steps",
    "systems": "Systems",
    "headline": "Headline numbers",
    "tests": "Paired tests",
    "cost against accuracy": "Cost against accuracy",
    "differences": "What differs",
    "recommendation": "Recommendation",
    # columns
    "col.metric": "Metric",
    "col.value": "Value",
    "col.label": "Value",
    "col.n": "n",
    "col.interval": "95% interval",
    "col.gate": "Gate",
    "col.gates": "Gates",
    "col.settled": "Cases that would settle it",
    "col.needs": "Needs",
    "col.outcome": "Verdict",
    "col.all rows": "All rows",
    "col.why": "Why this bound",
    "col.failed": "Failed",
    "col.furthest": "Furthest from its bound",
    "col.precision": "Precision (95%)",
    "col.recall": "Recall (95%)",
    "col.f1": "F1 (95%)",
    "col.truth": "Right value \\ answer",
    "col.id": "Row",
    "col.expected": "Expected",
    "col.predicted": "Predicted",
    "col.rows": "Rows",
    "col.confidence": "Confidence",
    "col.this": "This run",
    "col.other": "The other",
    "col.first": "First",
    "col.second": "Second",
    "col.difference": "Difference",
    "col.p": "p",
    "col.reading": "Reading",
    "col.won lost": "Won / lost rows",
    "col.what": "What",
    "col.setting": "Setting",
    "col.system": "System",
    "col.run": "Run",
    "col.date": "Date",
    "col.speed": "Rows/s",
    "col.p50": "ms a row (p50)",
    "col.p95": "ms (p95)",
    "col.tokens": "Generated tokens",
    "col.memory": "Memory",
    # facts at the head
    "fact.run": "Run: {name}",
    "fact.date": "Date: {date} UTC",
    "fact.base": "Base: {base}",
    "fact.untrained base": "Base: {base}, without an adapter",
    "fact.no base": "Base: none; the system is no language model on local weights",
    "fact.task": "Task: {name} ({summary})",
    "fact.data": "Test rows: {rows} of {source}",
    # verdicts
    "may ship": "May ship.",
    "may not ship": "May NOT ship.",
    "no verdict": "No verdict: {why}.",
    "partial": "No verdict: only some of the tests were chosen.",
    "short.may ship": "may ship",
    "short.may not ship": "may NOT ship",
    "short.no verdict": "no verdict",
    "outcome.pass": "pass",
    "outcome.fail": "fail",
    "outcome.inconclusive": "inconclusive",
    "counts": "Gates: {all} in all, {passed} passed, {failed} failed, {open} inconclusive.",
    "failed gates": "What failed, by gate:",
    "of": "{part} of {all}",
    "part value": "{part}: {value}",
    "not judged": "Not judged: {names}.",
    "fault": "Fault in the evidence: {fault}.",
    "regression": (
        "Worse than the baseline run at {gate}: {value} against {before}, {difference} "
        "(95% {span}; {p} after Holm's correction)."
    ),
    "is better": "Better than {other} at {metric}: {difference} (95% {span}, {p}).",
    "is worse": "Worse than {other} at {metric}: {difference} (95% {span}, {p}).",
    "is not shown": (
        "No difference from {other} is shown at {metric}: {difference} (95% {span}, {p})."
    ),
    "gate verdict": "{gate} {bound}: {outcome}",
    "tilde": (
        "~ the 95% interval crosses the threshold; the measured value alone decided. "
        "Intervals of percentages are in percent, those of differences in points."
    ),
    # slices
    "lowest recall": (
        "Lowest recall: {value}, {recall} ({right} of {n} rows), most often read as {other} "
        "({times} rows)."
    ),
    "most frequent errors": "The most frequent wrong answers:",
    "out of enum": "out of enum",
    "out of enum value": "out of enum: {text}",
    "missing": "missing",
    "unreadable": "unreadable",
    "unreadable answer": "unreadable: {text}",
    "no rows": "No row can be counted.",
    # comparisons
    "tests in gates": "Comparisons among the gates",
    "against base": "Against its base: {system}",
    "against earlier": "Against the run before: {system}, {date} UTC",
    "against other": "Against {system}, {date} UTC",
    "pair": "{first} / {second}",
    "pair run": "Run {run}: {verdict}. What differs: {differences}.",
    "reading.better": "better",
    "reading.worse": "worse",
    "reading.open": "not shown",
    "test note": (
        "Paired tests on the same rows, on those that both were not trained on: McNemar's for "
        "shares, a paired bootstrap for the rest. Differences are the first less the second, in "
        "points where the number is a percentage. p is two-sided and not corrected for the "
        "number of tests."
    ),
    "untestable": "No paired test with {other}: {why}",
    "nothing": "nothing that is recorded",
    "no others": "No other run was given to compare with.",
    # errors
    "errors of": "{field}: {wrong} of {n} rows wrong",
    "most confident": "The {shown} wrong answers that the system was surest of:",
    "first ones": "The first {shown} wrong answers; the system gives no confidence:",
    # contamination
    "untrained": "The system has no training of its own.",
    "unknown": "Unknown: {why}",
    "seen": (
        "Test rows that repeat one of {trained} training rows: {seen} of {n}{kinds}. Such rows "
        "count in no accuracy."
    ),
    "kinds": " ({kinds})",
    "not looked for": "It was not looked for.",
    # cost
    "cost.rows_per_second": "Rows per second",
    "cost.seconds_per_row_p50": "Milliseconds a row, median",
    "cost.seconds_per_row_p95": "Milliseconds a row, 95th percentile",
    "cost.prompt_tokens": "Prompt tokens",
    "cost.generated_tokens": "Generated tokens",
    "cost.memory": "Peak memory ({where})",
    "cost.load": "Seconds to load",
    "cost.answer": "Seconds to answer",
    "reused": (
        "{reused} of {n} answers were known from earlier runs. Times a row are those of the first "
        "computation; speed, memory, loading and answering are of the rest alone."
    ),
    "gigabytes": "{gigabytes} GB",
    # configuration
    "set.base": "Base weights",
    "set.weights_sha256": "SHA-256 of the base weights",
    "set.trained": "SHA-256 of {name}",
    "set.quantization": "Quantization",
    "set.format": "Answer format",
    "set.task": "Task",
    "set.fields": "Values of {field}",
    "set.task_sha256": "SHA-256 of the task",
    "set.prompt_sha256": "SHA-256 of the prompt",
    "set.data": "SHA-256 of the test rows",
    "set.label_mappings": "Label mapping of {field}",
    "set.engine": "Engine",
    "set.packages": "Packages",
    "set.machine": "Machine",
    "set.commit": "Commit",
    "set.predictions": "SHA-256 of the predictions",
    "dirty": "{commit}, with changes that were not committed",
    # limitations
    "limit.not judged": "No gate spoke on: {names}. Nothing is known of these.",
    "limit.excused": "Does not apply, as {why}: {names}.",
    "limit.few": "{gate} is inconclusive: {n} cases, and the gate needs {needed}.",
    "limit.not shown": (
        "{gate} is inconclusive: {value} (95% {span}, {n} rows) does not show what is needed, "
        "{bound}."
    ),
    "limit.open": "{gate} is inconclusive: {note}.",
    "limit.crossing": (
        "The intervals of these gates cross their thresholds. Where the number of cases that "
        "would settle it is known, it holds if the value stays:"
    ),
    "limit.unanswered": "Rows that were not answered, and are in no number: {n}.",
    "limit.left out": "Rows of the test data that were left out of this run: {n}.",
    "limit.skipped": "Rows of the test data that could not be read, and were skipped: {n}.",
    "limit.seen": (
        "Rows that repeat training rows: {seen} of {n}; numbers of being right are of the others."
    ),
    "limit.unknown": (
        "It is not known which test rows the system was trained on, so its accuracy may be too "
        "good."
    ),
    "limit.note": "Note of the run: {note}.",
    "limit.unjudged": "The run has no verdicts: {why}.",
    "no limits": "None that the record knows of.",
    # next steps
    "step.value": (
        "Field {field}: raise the recall of {value} first. It is {recall} ({right} of {n} rows), "
        "and {times} of these rows are read as {other}: check the labels and training rows of "
        "these two against each other."
    ),
    "step.unread": (
        "Field {field}: raise the recall of {value} first. It is {recall} ({right} of {n} rows), "
        "and {times} of these rows have no valid answer ({other}): look at these answers first."
    ),
    "step.gate": "Gate {gate}: {value}, needs {bound}.",
    "step.gates": (
        "Gate {gate}: {failed} of {all} parts failed; {part} is furthest from its bound: {value}, "
        "needs {bound}."
    ),
    "step.detail": " In detail: {detail}.",
    "step.serves": " Failed gates that rest on this: {gates}.",
    "step.more": "{gate}: measure on {settled} cases or more ({n} now); that settles it.",
    "step.few": "{gate}: measure on at least {needed} cases ({n} now).",
    "step.not judged": "Have judged what was not: {names}.",
    "step.fault": "Mend the evidence: {fault}.",
    "step.regression": "Find what made {gate} worse than in the baseline run.",
    "step.judge": "Judge the run: {command}.",
    "step.seen": "Make known what the system was trained on: {why}",
    "no steps": "No gate failed, and every value of every field is read right.",
    # several runs
    "ship.none": "None of the {n} systems may ship.",
    "ship.some": "May ship: {names}.",
    "ship.not": "May not ship: {names}.",
    "ship.open": "Without a verdict: {names}.",
    "better than": "{first} is significantly better than {second} at {metric}: {difference} "
    "(95% {span}, {p} after Holm's correction).",
    "worse than": "{first} is significantly worse than {second} at {metric}: {difference} "
    "(95% {span}, {p} after Holm's correction).",
    "not apart": "{first} and {second} are not shown to differ at {metric}: {difference} "
    "(95% {span}, {p} after Holm's correction).",
    "recommend.none": "By these verdicts, release none of them.",
    "recommend.one": "By these verdicts, only {name} can be released.",
    "recommend.first": (
        "Among them, {first} is significantly better than {names} in at least one headline number "
        "and worse in none."
    ),
    "other reused": "{name}: {reused} of {n} answers were known from earlier runs, so its speed "
    "and memory do not count.",
    "recommend.several": "By these verdicts, any of these can be released: {names}.",
    "headline note": "With 95% intervals; numbers of being right are of rows the system was not "
    "trained on.",
    "other criteria": "Judged under other bounds in these runs, so not alike: {gates}.",
    "tests of first": "{first} against each of the others.",
    "one run": "There is one run only.",
    "other data": "Not all of these runs are of the same test rows: compare their numbers with "
    "care.",
    "other machines": "Times are comparable only where machine and engine are the same.",
    "failed of": "{failed} of {all} failed",
    "same record": "Nothing that the records name.",
    "diff.base": "base weights",
    "diff.weights_sha256": "content of the base weights",
    "diff.trained_sha256": "what training left",
    "diff.quantization": "quantization",
    "diff.format": "answer format",
    "diff.task_sha256": "task",
    "diff.prompt_sha256": "prompt",
    "diff.data": "test rows",
    "diff.engine": "engine",
    "diff.packages": "packages",
    "diff.machine": "machine",
    "diff.commit": "commit",
    # metrics, by the end of their names
    "metric.all fields right": "all fields right",
    "metric.accuracy": "accuracy",
    "metric.macro-F1": "macro-F1",
    "metric.mean absolute error": "mean absolute error (levels)",
    "metric.quadratic kappa": "quadratic kappa",
    "metric.high read as low": "high read as low",
    "metric.partial match": "partial match",
    "metric.Jaccard": "Jaccard",
    "metric.micro-F1": "micro-F1",
    "metric.calibration error": "calibration error (ECE)",
    "metric.Brier score": "Brier score",
    "metric.accuracy at 50% coverage": "accuracy on the surest 50%",
    "metric.accuracy at 80% coverage": "accuracy on the surest 80%",
    "metric.format violations": "format violations",
    "metric.parse failures": "parse failures",
    "metric.out of enum": "out of enum",
    "metric.missing fields": "missing fields",
    "recall of": "recall of {value}",
}

CHINESE: Mapping[str, str] = {
    "range": "{low} 至 {high}",
    "and more": "{names}，另有 {n} 项",
    "counted": "计数",
    "points": "{value} 个百分点",
    "list": "、",
    "clauses": "；",
    "title.run": "发布评测报告：{system}",
    "title.comparison": "模型对比",
    "conclusion": "结论",
    "results": "测试结果",
    "slices": "各取值细分",
    "gates": "门禁明细",
    "comparison": "对比",
    "errors": "错误样本",
    "contamination": "数据污染",
    "cost": "运行开销",
    "configuration": "配置",
    "limitations": "局限",
    "next": "下一步",
    "systems": "参评系统",
    "headline": "主要指标",
    "tests": "配对检验",
    "cost against accuracy": "开销与准确率",
    "differences": "配置差异",
    "recommendation": "建议",
    "col.metric": "指标",
    "col.value": "数值",
    "col.label": "取值",
    "col.n": "样本数",
    "col.interval": "95% 置信区间",
    "col.gate": "门禁",
    "col.gates": "门禁",
    "col.settled": "得出定论所需样本数",
    "col.needs": "要求",
    "col.outcome": "判定",
    "col.all rows": "全部样本",
    "col.why": "阈值依据",
    "col.failed": "未通过",
    "col.furthest": "离阈值最远的一项",
    "col.precision": "精确率（95% 区间）",
    "col.recall": "召回率（95% 区间）",
    "col.f1": "F1（95% 区间）",
    "col.truth": "期望 \\ 预测",
    "col.id": "样本",
    "col.expected": "期望",
    "col.predicted": "预测",
    "col.rows": "条数",
    "col.confidence": "置信度",
    "col.this": "本次",
    "col.other": "对照",
    "col.first": "前者",
    "col.second": "后者",
    "col.difference": "差值",
    "col.p": "p 值",
    "col.reading": "解读",
    "col.won lost": "胜 / 负条数",
    "col.what": "项目",
    "col.setting": "设置",
    "col.system": "系统",
    "col.run": "运行",
    "col.date": "日期",
    "col.speed": "条/秒",
    "col.p50": "单条耗时中位数（毫秒）",
    "col.p95": "单条耗时 P95（毫秒）",
    "col.tokens": "生成 token 数",
    "col.memory": "内存",
    "fact.run": "运行：{name}",
    "fact.date": "日期：{date} UTC",
    "fact.base": "基础模型：{base}",
    "fact.untrained base": "基础模型：{base}，不带适配器",
    "fact.no base": "基础模型：无（该系统不是基于本地权重的语言模型）",
    "fact.task": "任务：{name}（{summary}）",
    "fact.data": "测试样本：{rows} 条，来自 {source}",
    "may ship": "可以发布。",
    "may not ship": "不可发布。",
    "no verdict": "没有发布结论：{why}。",
    "partial": "没有发布结论：本次只选跑了部分测试。",
    "short.may ship": "可以发布",
    "short.may not ship": "不可发布",
    "short.no verdict": "无结论",
    "outcome.pass": "通过",
    "outcome.fail": "未通过",
    "outcome.inconclusive": "无定论",
    "counts": "共 {all} 项门禁：通过 {passed} 项，未通过 {failed} 项，无定论 {open} 项。",
    "failed gates": "未通过的门禁：",
    "of": "{part} / {all}",
    "part value": "{part}：{value}",
    "not judged": "未评判：{names}。",
    "fault": "证据有问题：{fault}。",
    "regression": (
        "{gate} 比基线运行显著变差：{value}，基线为 {before}，差值 {difference}"
        "（95% 区间 {span}；Holm 校正后 {p}）。"
    ),
    "is better": "{metric}：优于 {other}，{difference}（95% 区间 {span}，{p}）。",
    "is worse": "{metric}：不如 {other}，{difference}（95% 区间 {span}，{p}）。",
    "is not shown": ("{metric}：与 {other} 没有显著差异，{difference}（95% 区间 {span}，{p}）。"),
    "gate verdict": "{gate} {bound}：{outcome}",
    "tilde": (
        "~ 表示 95% 区间跨过阈值，判定只依据实测值。"
        "百分比指标的区间单位为 %，差值的区间单位为百分点。"
    ),
    "lowest recall": (
        "召回率最低的取值：{value}，{recall}（{n} 条中对 {right} 条），最常被判为 {other}"
        "（{times} 条）。"
    ),
    "most frequent errors": "最常见的错误：",
    "out of enum": "枚举外",
    "out of enum value": "枚举外：{text}",
    "missing": "缺失",
    "unreadable": "无法解析",
    "unreadable answer": "无法解析：{text}",
    "no rows": "没有可统计的样本。",
    "tests in gates": "门禁中的对比",
    "against base": "与基础模型对比：{system}",
    "against earlier": "与上一次运行对比：{system}，{date} UTC",
    "against other": "与 {system} 对比，{date} UTC",
    "pair": "{first} / {second}",
    "pair run": "对照运行 {run}：{verdict}。配置差异：{differences}。",
    "reading.better": "更好",
    "reading.worse": "更差",
    "reading.open": "不显著",
    "test note": (
        "在相同样本上做配对检验，只用双方都没有训练过的样本："
        "比例用 McNemar 检验，其余用配对自助法。差值为前者减后者，"
        "百分比指标以百分点计。p 值为双侧，未做多重检验校正。"
    ),
    "untestable": "无法与 {other} 做配对检验：{why}",
    "nothing": "记录中没有差异",
    "no others": "没有提供可对比的其他运行。",
    "errors of": "{field}：{n} 条中错 {wrong} 条",
    "most confident": "置信度最高的 {shown} 条错误：",
    "first ones": "前 {shown} 条错误（该系统不提供置信度）：",
    "untrained": "该系统没有经过训练。",
    "unknown": "未知：{why}",
    "seen": (
        "{n} 条测试样本中有 {seen} 条与训练样本（共 {trained} 条）重复{kinds}。"
        "重复的样本不计入任何准确率。"
    ),
    "kinds": "（{kinds}）",
    "not looked for": "没有检查。",
    "cost.rows_per_second": "每秒处理条数",
    "cost.seconds_per_row_p50": "单条耗时中位数（毫秒）",
    "cost.seconds_per_row_p95": "单条耗时 P95（毫秒）",
    "cost.prompt_tokens": "提示 token 数",
    "cost.generated_tokens": "生成 token 数",
    "cost.memory": "内存峰值（{where}）",
    "cost.load": "加载耗时（秒）",
    "cost.answer": "作答耗时（秒）",
    "reused": (
        "{n} 条答案中有 {reused} 条沿用此前的结果。单条耗时取自首次计算；速度、内存、加载和作答耗时"
        "只反映其余样本。"
    ),
    "gigabytes": "{gigabytes} GB",
    "set.base": "基础权重",
    "set.weights_sha256": "基础权重 SHA-256",
    "set.trained": "{name} 的 SHA-256",
    "set.quantization": "量化",
    "set.format": "输出格式",
    "set.task": "任务",
    "set.fields": "{field} 的取值",
    "set.task_sha256": "任务 SHA-256",
    "set.prompt_sha256": "提示词 SHA-256",
    "set.data": "测试样本 SHA-256",
    "set.label_mappings": "{field} 的标签映射",
    "set.engine": "推理引擎",
    "set.packages": "软件包",
    "set.machine": "机器",
    "set.commit": "代码提交",
    "set.predictions": "预测结果 SHA-256",
    "dirty": "{commit}，另有未提交的改动",
    "limit.not judged": "以下门禁没有给出判定，相应能力未知：{names}。",
    "limit.excused": "不适用（{why}）：{names}。",
    "limit.few": "{gate} 无定论：只有 {n} 条样本，至少需要 {needed} 条。",
    "limit.not shown": (
        "{gate} 无定论：{value}（95% 区间 {span}，{n} 条样本）不足以证明达到要求 {bound}。"
    ),
    "limit.open": "{gate} 无定论：{note}。",
    "limit.crossing": "以下门禁的区间跨过阈值；能估算时，列出数值不变时得出定论所需的样本数：",
    "limit.unanswered": "{n} 条样本没有得到回答，不计入任何数字。",
    "limit.left out": "测试数据中有 {n} 条未纳入本次运行。",
    "limit.skipped": "测试数据中有 {n} 条无法读取，已跳过。",
    "limit.seen": "{n} 条样本中有 {seen} 条与训练样本重复；准确率类指标只统计其余样本。",
    "limit.unknown": "不清楚哪些测试样本曾用于训练，准确率可能偏高。",
    "limit.note": "运行备注：{note}。",
    "limit.unjudged": "该运行没有门禁判定：{why}。",
    "no limits": "记录中没有已知局限。",
    "step.value": (
        "字段 {field}：先提高 {value} 的召回率。目前为 {recall}（{n} 条中对 {right} 条），"
        "其中 {times} 条被判为 {other}：请对照检查这两个取值的标注和训练样本。"
    ),
    "step.unread": (
        "字段 {field}：先提高 {value} 的召回率。目前为 {recall}（{n} 条中对 {right} 条），"
        "其中 {times} 条没有有效答案（{other}）：请先查看这些输出。"
    ),
    "step.gate": "门禁 {gate}：{value}，要求 {bound}。",
    "step.gates": (
        "门禁 {gate}：{all} 项中有 {failed} 项未通过，离阈值最远的是 {part}，{value}，"
        "要求 {bound}。"
    ),
    "step.detail": "细节：{detail}。",
    "step.serves": "相关的未通过门禁：{gates}。",
    "step.more": "{gate}：增加到 {settled} 条样本以上再测（现有 {n} 条），即可得出定论。",
    "step.few": "{gate}：至少用 {needed} 条样本再测（现有 {n} 条）。",
    "step.not judged": "补做未评判的项目：{names}。",
    "step.fault": "先修复证据：{fault}。",
    "step.regression": "查明 {gate} 为何比基线运行差。",
    "step.judge": "对该运行做门禁判定：{command}。",
    "step.seen": "查明该系统的训练数据：{why}",
    "no steps": "没有未通过的门禁，各字段的所有取值均判断正确。",
    "ship.none": "{n} 个系统均不可发布。",
    "ship.some": "可以发布：{names}。",
    "ship.not": "不可发布：{names}。",
    "ship.open": "没有发布结论：{names}。",
    "better than": (
        "{metric}：{first} 显著优于 {second}，{difference}（95% 区间 {span}，Holm 校正后 {p}）。"
    ),
    "worse than": (
        "{metric}：{first} 显著不如 {second}，{difference}（95% 区间 {span}，Holm 校正后 {p}）。"
    ),
    "not apart": (
        "{metric}：{first} 与 {second} 没有显著差异，{difference}"
        "（95% 区间 {span}，Holm 校正后 {p}）。"
    ),
    "recommend.none": "按以上判定，均不建议发布。",
    "recommend.one": "按以上判定，只有 {name} 可以发布。",
    "recommend.first": (
        "其中 {first} 至少有一项主要指标显著优于 {names}，且没有任何一项显著更差。"
    ),
    "other reused": "{name}：{n} 条答案中有 {reused} 条沿用此前的结果，速度和内存不作数。",
    "recommend.several": "按以上判定，可从以下系统中任选其一发布：{names}。",
    "headline note": "括号内为 95% 区间；准确率类指标只统计该系统没有训练过的样本。",
    "other criteria": "以下门禁在各次运行中的阈值不同，不可直接比较：{gates}。",
    "tests of first": "{first} 与其余各系统逐一对比。",
    "one run": "只有一次运行。",
    "other data": "这些运行的测试样本不完全相同，数字不宜直接比较。",
    "other machines": "只有机器和推理引擎相同时，耗时才可比较。",
    "failed of": "{all} 项中 {failed} 项未通过",
    "same record": "记录中没有差异。",
    "diff.base": "基础权重",
    "diff.weights_sha256": "基础权重内容",
    "diff.trained_sha256": "训练产物",
    "diff.quantization": "量化",
    "diff.format": "输出格式",
    "diff.task_sha256": "任务",
    "diff.prompt_sha256": "提示词",
    "diff.data": "测试样本",
    "diff.engine": "推理引擎",
    "diff.packages": "软件包",
    "diff.machine": "机器",
    "diff.commit": "代码提交",
    "metric.all fields right": "全部字段正确率",
    "metric.accuracy": "准确率",
    "metric.macro-F1": "宏平均 F1",
    "metric.mean absolute error": "平均绝对误差（级）",
    "metric.quadratic kappa": "二次加权 kappa",
    "metric.high read as low": "高等级误判为低等级的比例",
    "metric.partial match": "部分匹配率",
    "metric.Jaccard": "Jaccard 系数",
    "metric.micro-F1": "微平均 F1",
    "metric.calibration error": "校准误差（ECE）",
    "metric.Brier score": "Brier 分数",
    "metric.accuracy at 50% coverage": "最有把握的 50% 样本准确率",
    "metric.accuracy at 80% coverage": "最有把握的 80% 样本准确率",
    "metric.format violations": "格式违规率",
    "metric.parse failures": "解析失败率",
    "metric.out of enum": "枚举外取值率",
    "metric.missing fields": "字段缺失率",
    "recall of": "{value} 的召回率",
}

PHRASES: Mapping[Lang, Mapping[str, str]] = {"en": ENGLISH, "zh": CHINESE}

_RECORDED_IN_CHINESE = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        # Why a criterion does not apply.
        (r"^it only repeats recorded answers$", "只能重放已记录的答案"),
        (r"^it reads no prompt$", "不读取提示词"),
        (r"^it is no adapter on a base$", "不是基础模型上的适配器"),
        (r"^it could only choose among the task's values$", "只能在任务给定的取值中选择"),
        (r"^it is the TF-IDF baseline itself$", "它就是 TF-IDF 基线本身"),
        # Why a run has no verdict, and what its record notes.
        (r"^it was not judged$", "尚未评判"),
        (r"^only some tests were chosen$", "本次只选跑了部分测试"),
        (r"^the interval crosses the threshold$", "区间跨过阈值"),
        (
            r"^all answers were known from earlier; --fresh computes them again$",
            "全部答案沿用此前的结果；加 --fresh 可重新计算",
        ),
        (
            r"^([\d,]+) of ([\d,]+) answers were known from earlier; --fresh computes them again$",
            r"\2 条答案中有 \1 条沿用此前的结果；加 --fresh 可重新计算",
        ),
        (
            r"^(.+): five-level labels mapped to (\d+) levels "
            r"\((\d+) of (\d+) are outside (\d+-\d+)\)$",
            r"\1：五级标签已映射为 \2 级（\4 条中有 \3 条超出 \5）",
        ),
        # The two sides of a comparison of the same rows asked in two ways.
        (r"^changed$", "改动后"),
        (r"^as it stands$", "原样"),
    )
)
_DETAILS_IN_CHINESE = tuple(
    (re.compile(pattern), said)
    for pattern, said in (
        (
            r"most often (.+) read as out of enum: (.+) \((\d+)\)$",
            r"最常见的是 \1 被判为枚举外的 \2（\3 次）",
        ),
        (r"most often (.+) read as (.+) \((\d+)\)$", r"最常见的是 \1 被判为 \2（\3 次）"),
        (r"most often (.+) became (.+) \((\d+)\)$", r"最常见的是 \1 变为 \2（\3 次）"),
        (r"; and (\d+) more$", r"；另有 \1 条"),
        (r"(\d+) lost, (\d+) won", r"变错 \1 条，变对 \2 条"),
        (r"([\d.]+%) after ([\d.]+%)", r"由 \2 变为 \1"),
        (r"out of enum: ", "枚举外："),
        (r", margin (\d+\.\d+)", r"，差距 \1"),
        (r"\bunreadable\b", "无法解析"),
    )
)


class Words:
    """What a report says, in one language."""

    def __init__(self, lang: Lang) -> None:
        self.lang: Lang = lang
        self._phrases = PHRASES[lang]

    def __call__(self, key: str, **values: object) -> Markdown:
        """A phrase with its values."""
        return fill(self._phrases[key], **values)

    def gates(self, names: Sequence[str], most: int | None = None) -> Markdown:
        """Names of gates in a row; of many, the first and how many more there are."""
        shown = self.listed([code(name) for name in names[:most]])
        if most is None or len(names) <= most:
            return shown
        return self("and more", names=shown, n=Markdown(f"{len(names) - most:,}"))

    def listed(self, parts: list[Markdown]) -> Markdown:
        """Names in a row."""
        return Markdown(self._phrases["list"].join(parts))

    def clauses(self, parts: list[Markdown]) -> Markdown:
        """Half-sentences in a row."""
        return Markdown(self._phrases["clauses"].join(parts))

    def recorded(self, text: str) -> Markdown:
        """A sentence that evalkit put in a record or verdict, where its wording is known."""
        return self._known(text.rstrip("."), _RECORDED_IN_CHINESE)

    def detail(self, text: str) -> Markdown:
        """What a gate says of the rows behind its number, where its wording is known."""
        return self._known(text, _DETAILS_IN_CHINESE)

    def _known(self, text: str, patterns: Sequence[tuple[re.Pattern[str], str]]) -> Markdown:
        if self.lang == "zh":
            for pattern, said in patterns:
                text = pattern.sub(said, text)
        return safe(text, 1000)

    def metric(self, name: str, fields: Mapping[str, object]) -> Markdown:
        """A metric's name: its field, and what is measured."""
        field = next((f for f in fields if name.startswith(f"{f} ")), "")
        what = name.removeprefix(f"{field} ") if field else name
        if what.startswith("recall of "):
            shown = self("recall of", value=what.removeprefix("recall of "))
        elif f"metric.{what}" in self._phrases:
            shown = self(f"metric.{what}")
        else:
            return safe(name)
        return Markdown(f"{safe(field)} {shown}") if field else shown
