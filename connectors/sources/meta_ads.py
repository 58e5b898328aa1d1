"""Meta's Marketing API: insights by reports that it makes while one waits, campaigns as they are. Its version stands in the path, and what an
error means in a code: a rate limit comes as 400 too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from connectors.kernel.api import Api
from connectors.kernel.errors import NothingThereError, TooMuchDataError
from connectors.kernel.http import Call, Client, Rule, parsed
from connectors.kernel.jobs import FailedJobError, Jobs, jobs_of
from connectors.kernel.paginate import Page, pages, with_params
from connectors.kernel.slices import Window
from connectors.kernel.streams import Account, Stream

CODE, SUBCODE, MESSAGE = ("error", "code"), ("error", "error_subcode"), ("error", "message")
TOO_MUCH = 1487534
# said of a report that is not there yet, or not any more; elsewhere of what somebody may not see
MISSING = Rule("skip", path=SUBCODE, values=frozenset({33}))
MOST_MISSING = 5
# what an account has in it, the largest first
LEVELS = ("campaign", "adset", "ad")
USAGES = ("x-business-use-case-usage", "x-app-usage", "x-ad-account-usage", "x-fb-ads-insights-throttle")
SHARES = ("call_count", "total_time", "total_cputime", "acc_id_util_pct", "app_id_util_pct")
MOST_PERCENT, PAUSE_SECONDS = 95, 60.0
KINDS = {"insights": b"insight", "campaigns": b"campaign"}


class MetaAds(Api):
    keys = frozenset({"report"})
    rules = (
        Rule("split", path=SUBCODE, values=frozenset({TOO_MUCH})),
        Rule("split", path=MESSAGE, words="reduce the amount of data"),
        Rule("rate", path=CODE, values=frozenset({4, 17, 32, 613, *range(80000, 80007), 80008})),
        Rule("transient", path=CODE, values=frozenset({2})),
        Rule("transient", path=("error", "is_transient"), values=frozenset({True})),
        Rule("transient", path=SUBCODE, values=frozenset({99, 104, 960})),
        Rule("config", path=CODE, values=frozenset({10, 102, 190, *range(200, 300)})),
        Rule("config", path=SUBCODE, values=frozenset({33})),
        Rule("config", path=MESSAGE, words="Missing permission"),
    )

    def pause(self, headers: Mapping[str, str]) -> float:
        """Beyond MOST_PERCENT of a limit until some of it is regained; a header tells one usage, or by business a list of them."""
        waits = [0.0]
        # a header that says something else is no reason to stop
        with suppress(ValueError, TypeError, AttributeError):
            for name in USAGES:
                said = parsed(headers.get(name, "{}").encode())
                for usage in [one for some in said.values() if isinstance(some, list) for one in some] or [said]:
                    if max(float(usage.get(key, 0)) for key in SHARES) > MOST_PERCENT:
                        minutes = float(usage.get("estimated_time_to_regain_access", 0))
                        waits.append(float(usage.get("reset_time_duration", 0)) or 60 * minutes or PAUSE_SECONDS)
        return max(waits)

    def pages(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        """Each record beside its account, which alone says in what currency and time zone it is: {"account": …, "insight": …}."""
        own = Call(f"{stream.source.api_version}/act_{account.values['id']}", {"fields": "id,currency,timezone_name"})
        said = client.ask(own).content
        for page in self._found(client, stream, account, window):
            joined = (b'{"account":%b,"%b":%b}' % (said, KINDS[stream.name], record) for record in page.records)
            yield replace(page, records=tuple(joined))

    def settled(self, stream: Stream, account: Account, window: Window) -> None:
        if "report" in stream.said:
            _jobs(stream, account).forget(window.slice_id)

    def _found(self, client: Client, stream: Stream, account: Account, window: Window) -> Iterator[Page]:
        # a check asks for a page at once
        if "report" not in stream.said or "limit" in stream.said["params"]:
            yield from super().pages(client, stream, account, window)
            return
        reports = Reports(client, stream, _jobs(stream, account))
        # of several days the kernel asks for fewer first
        levels = LEVELS if not window.days else ()
        for call in self.calls(stream, account, window):
            for number, page in enumerate(reports.pages(call, window.slice_id, levels), 1):
                yield replace(page, number=number)


@dataclass(frozen=True)
class Reports:
    """The reports of one window."""

    client: Client
    stream: Stream
    jobs: Jobs

    def pages(self, call: Call, name: str, levels: tuple[str, ...]) -> Iterator[Page]:
        """A report's pages; where it is too much, those of a report about each campaign, ad set or ad in its place."""
        try:
            report = self._made(call, name)
        except TooMuchDataError:
            if not levels:
                raise
            for part in self._parts(call, levels[0]):
                path = f"{self.stream.source.api_version}/{part}/insights"
                yield from self.pages(replace(call, path=path), f"{name}/{part}", levels[1:])
            return
        yield from self._all(Call(f"{self.stream.source.api_version}/{report}/insights"))

    def _made(self, call: Call, name: str) -> str:
        """The id of a report that is ready."""
        looking = replace(self.client, rules=(MISSING, *self.client.rules), calls=0)
        missing = Counter[str]()

        def submit() -> str:
            return str(self.client.ask(replace(call, method="POST", params={}, data=call.params)).json()["report_run_id"])

        def poll(report: str) -> bool:
            title, fields = f"{self.jobs.title}: report {report} of {name}", "async_status,async_percent_completion,error_subcode"
            try:
                said = looking.ask(Call(f"{self.stream.source.api_version}/{report}", {"fields": fields})).json()
            except NothingThereError:
                missing[report] += 1
                if missing[report] >= MOST_MISSING:
                    raise FailedJobError(f"{title} is not there; try again later") from None
                return False
            if said.get("error_subcode") == TOO_MUCH:
                raise TooMuchDataError(f"{title} is too much; ask for less at once")
            if (status := said.get("async_status")) in ("Job Failed", "Job Skipped"):
                raise FailedJobError(f"{title}: {status}; try again later")
            return bool(status == "Job Completed")

        try:
            return self.jobs.done(name, submit, poll, lambda _: None)
        finally:
            self.client.calls += looking.calls

    def _parts(self, call: Call, level: str) -> list[str]:
        """The ids of what had any figures."""
        found = self._all(with_params(call, {"level": level, "fields": f"{level}_id"}))
        return [str(parsed(record)[f"{level}_id"]) for page in found for record in page.records]

    def _all(self, call: Call) -> Iterator[Page]:
        said, sized = self.stream.said, with_params(call, {"limit": self.stream.said["report"]["limit"]})
        return pages(self.client, sized, self.stream.turn, self.stream.records, size=said["page_size"])


def _jobs(stream: Stream, account: Account) -> Jobs:
    said = stream.said["report"]
    return jobs_of(stream.source.source, account.name, stream.name, said["most_seconds"], said["fresh_seconds"])


CONNECTOR = MetaAds()
