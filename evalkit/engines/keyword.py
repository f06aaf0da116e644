"""A baseline that needs no model: keywords for the six shop intents (seed 003)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from evalkit.engines.building import EngineKind
from evalkit.engines.chat import text_sha256
from evalkit.errors import UserError
from evalkit.formats import Format
from evalkit.records import Completion, FinishReason, Prompt, Request, Span
from evalkit.tasks import Task

KEYWORDS: Mapping[str, tuple[str, ...]] = {
    "order_management": ("订单", "下单", "退货", "发货", "order", "return", "cancel", "shipping"),
    "payment": ("支付", "付款", "充值", "退款", "账单", "结算", "pay", "refund", "invoice", "bill"),
    "user_auth": (
        "登录",
        "注册",
        "密码",
        "账号",
        "用户名",
        "身份",
        "log in",
        "login",
        "sign",
        "password",
    ),
    "inventory": ("库存", "有货", "缺货", "补货", "数量", "stock", "available", "inventory"),
    "notification": (
        "通知",
        "提醒",
        "消息",
        "短信",
        "推送",
        "notify",
        "remind",
        "message",
        "alert",
    ),
}


class KeywordEngine:
    """Names every intent one of whose keywords stands in the input, or `none`."""

    def __init__(self, task: Task, fmt: Format) -> None:
        known = {str(label) for field in task.fields.values() for label in field.labels}
        if not known >= {*KEYWORDS, "none"}:
            raise UserError(
                f"The keyword engine knows the intents of task 'intents', not those of "
                f"'{task.name}'."
            )
        self.task = task
        self.format = fmt

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        """Yield one answer per request, in order."""
        (field,) = self.task.fields
        for request in requests:
            text = " ".join(request.inputs.values()).casefold()
            found = {name for name, words in KEYWORDS.items() if any(w in text for w in words)}
            order = [str(label) for label in self.task.fields[field].labels]
            label = tuple(name for name in order if name in found) or ("none",)
            answer = self.format.render(self.task, {field: label}, request.inputs)
            yield request.id, Completion(answer, FinishReason.STOP)

    def describe(self) -> Mapping[str, str | int]:
        """Name the kind."""
        return {"engine": "keyword"}

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the prompt before any template; there is none here."""
        return text_sha256([Span(prompt.instructions, trusted=True), *prompt.user])


ENGINE = EngineKind(
    lambda system, _: KeywordEngine(system.task, system.format),
    is_baseline=True,
    trained_elsewhere=False,
)
