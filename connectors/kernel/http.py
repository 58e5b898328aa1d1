"""One vendor asked over HTTP: signed, within its budget, tried again when it may help, and every fault named by what to do about it.

What a vendor's answer means is a table of rules, its own before DEFAULT_RULES: a code in the body says more than the status (TikTok's is always
200, Meta's rate errors are 400). Credentials go to the base URL's origin and nowhere else. Nothing said about a call holds a secret, a query
or what names a person.
"""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec
import requests
import tenacity

from conf.printing import shown
from connectors.kernel.auth import Auth, redacted
from connectors.kernel.budgets import Budget
from connectors.kernel.errors import (
    BrokenContractError,
    ConnectorError,
    CredentialsError,
    ForeignOriginError,
    NothingThereError,
    PassingError,
    RateLimitedError,
    RefusedRequestError,
    TemporaryError,
    TooMuchDataError,
)

USER_AGENT = "throughline"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
READ_BYTES = 2**16
# How much of an answer an error shows
SHOWN_LETTERS = 500
# in the order in which they are looked for: seconds to wait, or an instant
RESET_HEADERS = ("Retry-After", "RateLimit-Reset", "X-RateLimit-Reset")
# a number beyond this is an instant and no number of seconds
EPOCH_SECONDS = 1_000_000_000
ANY = frozenset[int]()
FULL_JITTER = tenacity.wait_random_exponential(multiplier=1, max=60)
# How long everybody waits after an answer that there were too many calls, and that does not say how long
PAUSE_SECONDS = 1.0


@dataclass(frozen=True)
class Rule:
    """Answers with one of the statuses (none given: any) whose body has one of the values at `path`, or a text there that has `words` in it, mean
    `verdict`, a key of ERRORS or ok."""

    verdict: str
    statuses: frozenset[int] = ANY
    path: tuple[str | int, ...] = ()
    values: frozenset[Any] = frozenset()
    words: str = ""

    def fits(self, status: int, body: object) -> bool:
        """Whether an answer is meant."""
        if self.statuses and status not in self.statuses:
            return False
        said = _hashable(at(body, self.path)) if self.path else None
        return not self.path or said in self.values or (bool(self.words) and isinstance(said, str) and self.words in said)


ERRORS: Mapping[str, tuple[type[ConnectorError], str]] = {
    "config": (CredentialsError, "look at {connection}: is the key right, not expired, and has it the scopes of this stream?"),
    "transient": (TemporaryError, "try again later"),
    "rate": (RateLimitedError, "try again later"),
    "split": (TooMuchDataError, "ask for less at once"),
    "skip": (NothingThereError, "nothing to do"),
    "fatal": (RefusedRequestError, "look at the stream's declaration"),
}
DEFAULT_RULES = (
    Rule("ok", frozenset(range(200, 300))),
    Rule("config", frozenset({401, 403})),
    Rule("rate", frozenset({429})),
    Rule("split", frozenset({413, 414, 431})),
    Rule("transient", frozenset({408, 425, *range(500, 600)})),
    Rule("fatal"),
)


@dataclass(frozen=True)
class Call:
    """One question: path below the base URL, or a whole URL that a vendor gave. body: sent as JSON; data: sent as a form."""

    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    method: str = "GET"
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Answer:
    """What came: whole, and meant as ok."""

    status: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    title: str
    url: str = field(repr=False)

    def at(self, path: Sequence[str]) -> Any:
        """What stands at a path of the body, without a look at the rest; None where nothing does. Raises BrokenContractError where it is no JSON."""
        try:
            raw: Any = msgspec.Raw(self.content)
            for key in path:
                raw = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[key]
            return msgspec.json.decode(raw)
        except (KeyError, msgspec.MsgspecError, UnicodeDecodeError):
            return at(self.json(), tuple(path))

    def json(self) -> Any:
        """The body. Raises BrokenContractError where it is no JSON."""
        try:
            return parsed(self.content)
        except ValueError:
            raise BrokenContractError(f"{self.title}: answered {self.status} with no JSON; try again, then tell the vendor") from None


@dataclass
class Client:
    """A vendor's API under one base URL, asked as one account.

    Args:
        rules: what its answers mean, before DEFAULT_RULES.
        connect_seconds, read_seconds: for a connection, and for the next bytes; answer_seconds: for a whole answer.
        deadline_seconds: for a call with all its tries and waits; tries: of a call that fails by the vendor's fault.
        most_bytes: what an answer may hold when it is unpacked.
        headers: of every call, as an API version.
        pause: the seconds for which an answer's headers say that nobody should ask, 0 for none; they count where there is a budget.
        connection: the name of what it signs with, for whoever has to look at it.
    """

    base_url: str
    auth: Auth
    budget: Budget | None = None
    rules: tuple[Rule, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    connect_seconds: float = 10.0
    read_seconds: float = 60.0
    answer_seconds: float = 300.0
    deadline_seconds: float = 900.0
    tries: int = 6
    most_bytes: int = 64 * 2**20
    wait: Callable[[tenacity.RetryCallState], float] = FULL_JITTER
    sleep: Callable[[float], None] = time.sleep
    calls: int = 0
    waited: float = 0.0
    pause: Callable[[Mapping[str, str]], float] = lambda _: 0.0
    connection: str = ""

    def __post_init__(self) -> None:
        refuse_clear(self.base_url, "base_url")
        self._session = requests.Session()
        # in place of ~/.netrc, whose words would take that of the connection's
        self._session.auth = lambda prepared: prepared

    def ask(self, call: Call) -> Answer:
        """The answer. Raises the ConnectorError that says what to do, after as many tries as may help."""
        with self._tried(call, is_whole=True) as (answer, _):
            return answer

    @contextmanager
    def opened(self, call: Call) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        """An answer of any length: its status and headers, without content, and its body block by block, unpacked. What breaks in the middle of it
        raises TemporaryError: whoever reads begins again."""
        with self._tried(call, is_whole=False) as opened:
            yield opened

    @contextmanager
    def _tried(self, call: Call, is_whole: bool) -> Iterator[tuple[Answer, Iterator[bytes]]]:
        url = self._url(call)
        title = f"{call.method} {url.partition('?')[0]}"
        retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingError),
            wait=lambda state: _asked_wait(state) or self.wait(state),
            stop=self._enough(),
            sleep=self.sleep,
            reraise=True,
        )
        stack = ExitStack()
        with stack:
            yield retry(self._ask_signed, call, url, title, stack if not is_whole else None)

    def _enough(self) -> Callable[[tenacity.RetryCallState], bool]:
        """Whether a call gets no other try: its wait would go beyond the deadline, or the vendor's fault came too often; limits are none."""
        is_late, faults = tenacity.stop_before_delay(self.deadline_seconds), 0

        def is_enough(state: tenacity.RetryCallState) -> bool:
            nonlocal faults
            faults += isinstance(state.outcome and state.outcome.exception(), TemporaryError)
            return is_late(state) or faults >= self.tries

        return is_enough

    def _url(self, call: Call) -> str:
        url = urljoin(f"{self.base_url.rstrip('/')}/", call.path.lstrip("/") if "://" not in call.path else call.path)
        # some read a host after a backslash or a user's name, others before it
        if _origin(url) != _origin(self.base_url) or "\\" in url or "@" in urlsplit(url).netloc:
            raise self._error(
                ForeignOriginError,
                f"{self.base_url}: its answer leads to {_named(url)}, where the credentials must not go; tell the vendor, or set base_url",
            )
        return url

    def _ask_signed(self, call: Call, url: str, title: str, stack: ExitStack | None) -> tuple[Answer, Iterator[bytes]]:
        """One try; a second one where the first was refused and the auth has other headers."""
        try:
            return self._ask_once(call, url, title, stack)
        except CredentialsError:
            if not self.auth.renew():
                raise
        return self._ask_once(call, url, title, stack)

    def _ask_once(self, call: Call, url: str, title: str, stack: ExitStack | None) -> tuple[Answer, Iterator[bytes]]:
        """stack: what keeps the connection of a body that is read later; a body without one, or that says what went wrong, is read at once."""
        try:
            with ExitStack() as own:
                if self.budget:
                    own.enter_context(self.budget.slot(self.deadline_seconds))
                    self.waited += self.budget.take(self.deadline_seconds)
                self.calls += 1
                # after the wait, which a token may not outlive
                headers = {"User-Agent": USER_AGENT, "Accept": "application/json", **self.headers, **self.auth.headers()}
                response = own.enter_context(
                    self._session.request(
                        call.method,
                        url,
                        params=dict(call.params),
                        json=call.body,
                        data=call.data,
                        headers=headers,
                        timeout=(self.connect_seconds, self.read_seconds),
                        allow_redirects=False,
                        stream=True,
                    )
                )
                if self.budget and (seconds := self.pause(response.headers)):
                    self.budget.pause(seconds)
                if stack is not None and response.ok:
                    stack.push(own.pop_all())
                    answer = Answer(response.status_code, response.headers, b"", self._said(title), response.url)
                    return answer, self._blocks(response, title)
                content = self._content(response, title)
        except requests.exceptions.InvalidHeader:
            raise self._error(
                CredentialsError, f"{title}: the connection or a header of the source holds a sign that no header has"
            ) from None
        except requests.RequestException as error:
            raise self._broken(error, title) from None
        answer = Answer(response.status_code, response.headers, content, self._said(title), response.url)
        self.refuse(answer)
        return answer, iter((content,))

    def _broken(self, error: requests.RequestException, title: str) -> ConnectorError:
        # its text and its cause hold the whole URL
        kind = next((one.__name__ for one in type(error).__mro__ if one.__module__.startswith("requests")), "error")
        return self._error(TemporaryError, f"{title}: no whole answer ({kind}); try again later")

    def _blocks(self, response: requests.Response, title: str) -> Iterator[bytes]:
        try:
            yield from response.iter_content(READ_BYTES)
        except requests.RequestException as error:
            raise self._broken(error, title) from None

    def _content(self, response: requests.Response, title: str) -> bytes:
        """The body, unpacked. Raises BrokenContractError beyond most_bytes, TemporaryError where it takes too long."""
        until, blocks, size = time.monotonic() + self.answer_seconds, [], 0
        for block in response.iter_content(READ_BYTES):
            size += len(block)
            if size > self.most_bytes:
                raise self._error(BrokenContractError, f"{title}: answers with more than {self.most_bytes} bytes; ask for a smaller page")
            if time.monotonic() > until:
                raise self._error(TemporaryError, f"{title}: no whole answer within {self.answer_seconds:.0f} s; try again later")
            blocks.append(block)
        return b"".join(blocks)

    def refuse(self, answer: Answer) -> None:
        """Raises what the answer means, unless it is ok."""
        verdict = classified(answer.status, answer.content, (*self.rules, *DEFAULT_RULES))
        if 300 <= answer.status < 400 and verdict == "fatal":
            place = answer.headers.get("Location", "")
            self._url(Call(place))
            raise self._error(
                RefusedRequestError, f"{answer.title}: moved to {_named(urljoin(self.base_url, place))}; set the path of the stream"
            )
        if verdict == "ok":
            return
        kind, advice = ERRORS[verdict]
        text = answer.content[: SHOWN_LETTERS * 4].decode("utf-8", "replace")[:SHOWN_LETTERS]
        advice = advice.format(connection=f"connection {self.connection}" if self.connection else "the connection")
        error = self._error(kind, f"{answer.title}: answered {answer.status} ({text}); {advice}")
        if isinstance(error, PassingError):
            is_rate = isinstance(error, RateLimitedError)
            # some vendors say on every answer when their window ends
            asked = wait_asked(answer.headers, RESET_HEADERS if is_rate else RESET_HEADERS[:1])
            error.retry_after = (self.pause(answer.headers) or None) if asked is None and is_rate else asked
            if self.budget and is_rate:
                self.budget.pause(PAUSE_SECONDS if error.retry_after is None else error.retry_after)
        raise error

    def _error(self, kind: type[ConnectorError], text: str) -> ConnectorError:
        return kind(self._said(text))

    def _said(self, text: str) -> str:
        return shown(redacted(text, self.auth.secrets()))


def refuse_clear(url: str, key: str) -> None:
    """Raises ForeignOriginError where credentials would travel in clear to another machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise ForeignOriginError(f"{key} is {shown(url)}; give an https:// URL: credentials must not travel in clear")


def form_poster(url: str, seconds: float = 30.0) -> Callable[[Mapping[str, str]], tuple[int, Mapping[str, object]]]:
    """What sends forms to a vendor's token URL, and gives the status and the JSON object that came ({} where none did).

    Raises ForeignOriginError for a URL in clear; what it gives raises TemporaryError where no whole answer comes.
    """
    refuse_clear(url, "token_url")

    def post(form: Mapping[str, str]) -> tuple[int, Mapping[str, object]]:
        headers = {"User-Agent": USER_AGENT, "Accept": "application/json"}
        try:
            response = requests.post(
                url, data=dict(form), headers=headers, auth=lambda prepared: prepared, timeout=seconds, allow_redirects=False
            )
        except requests.RequestException as error:
            raise TemporaryError(f"{_named(url)}: no whole answer for a token ({type(error).__name__}); try again later") from None
        try:
            said = parsed(response.content)
        except ValueError:
            said = None
        return response.status_code, said if isinstance(said, dict) else {}

    return post


def classified(status: int, content: bytes, rules: Iterable[Rule]) -> str:
    """The verdict of the first rule that fits an answer, whose body is read where a rule asks for it."""
    body: object = None
    is_read = False
    for rule in rules:
        if rule.path and not is_read and (not rule.statuses or status in rule.statuses):
            is_read = True
            with suppress(ValueError):
                body = parsed(content)
        if rule.fits(status, body):
            return rule.verdict
    raise AssertionError("the last rule fits all")


def parsed(content: bytes) -> Any:
    """A JSON body, with long numbers whole; what is no text in it is replaced. Raises ValueError."""
    try:
        return msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        # it takes no surrogate that stands alone, which some vendors' cut texts end with
        return json.loads(content.decode("utf-8", "replace"), strict=False)


def wait_asked(headers: Mapping[str, str], names: Sequence[str] = RESET_HEADERS, now: Callable[[], float] = time.time) -> float | None:
    """The seconds that an answer asks to wait: a number of them, an instant in seconds since 1970, or a date of HTTP (RFC 9110, 10.2.3); None
    where it asks for none."""
    text = next((value for name in names if (value := headers.get(name))), None)
    if text is None:
        return None
    try:
        number = float(text)
        seconds = number - now() if number >= EPOCH_SECONDS else number
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(text).timestamp() - now()
        except ValueError:
            return None
    return max(seconds, 0.0) if seconds < float("inf") else None


def _asked_wait(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome and state.outcome.exception()
    return error.retry_after if isinstance(error, PassingError) else None


def at(body: object, path: tuple[str | int, ...]) -> object:
    """What stands at a path of a JSON body; None where nothing does."""
    for part in path:
        if isinstance(part, str) and isinstance(body, dict):
            body = body.get(part)
        elif isinstance(part, int) and isinstance(body, list) and part < len(body):
            body = body[part]
        else:
            return None
    return body


def _hashable(value: object) -> object:
    return value if isinstance(value, str | int | float | bool) else None


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def _named(url: str) -> str:
    """A URL's origin as text: user, path and query may hold anything."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
