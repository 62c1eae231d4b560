"""The receivers of alerts: a webhook that is sent signed JSON, and a command that reads it."""

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, unquote_plus

from extend_pipeline.alerts.delivery import Delivered, Delivery, Receiver, Undelivered
from extend_pipeline.alerts.message import Message, encoded
from extend_pipeline.base.scrub import scrub
from extend_pipeline.config.digest import digest
from extend_pipeline.config.load import Configuration
from extend_pipeline.config.model.alerts import Alerts
from extend_pipeline.providers.http.client import HttpClient
from extend_pipeline.providers.http.guard import AddressFault, parse_url
from extend_pipeline.providers.http.results import NoResponse, NotSent
from extend_pipeline.providers.http.route import Route
from extend_pipeline.providers.http.trust import PUBLIC
from extend_pipeline.providers.wire.credentials import SecretFault
from extend_pipeline.webhooks.signature import read_secrets, signed_headers

WEBHOOK_S: Final = 10.0
COMMAND_S: Final = 10.0
MAX_REPLY: Final = 4_096  # bytes of a response or of a command's output that are read
MAX_SHOWN: Final = 200  # characters of them in a reason
POLL_S: Final = 0.05  # until it is seen that a program has ended
KILL_S: Final = 2.0  # until a program that is killed has ended
MIN_SECRET: Final = 8  # characters of a part that may be a secret: a shorter one is none, and is found in any text

_PASSED_ON: Final = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}
    | {name for proxy in ("http", "https", "all", "no") for name in (f"{proxy}_proxy", f"{proxy}_proxy".upper())}
)
_PASSED_ON_PREFIXES: Final = ("LC_", "ALERT_COMMAND_")
"""The variables that a command gets. All others may be secrets: of accounts, of the ledger, of other homes."""

_OF_A_WEBHOOK: Final = {"secret_env", "network", "allow_local", "ca", "proxy", "proxy_login_env"}
"""The fields that decide which receiver is reached and whether it takes a message, beside its address."""

_LATER: Final = frozenset({408, 425, 429})
"""The statuses of a refusal that say nothing against the message."""


def receivers_of(configuration: Configuration) -> list[Receiver]:
    """Return the receivers of a home's alerts."""
    alerts = configuration.alerts
    if alerts is None:
        return []
    receivers: list[Receiver] = []
    if alerts.webhook is not None or alerts.webhook_env is not None:
        receivers.append(WebhookReceiver(alerts))
    if alerts.command is not None:
        receivers.append(CommandReceiver(alerts.command))
    return receivers


class _SettingFault(Exception):
    """A setting of this machine has to change before anything can be sent."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a POST needs: the path holds the query too."""

    client: HttpClient
    path: str = field(repr=False)
    signing_secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class WebhookReceiver:
    """Sends alerts by POST with the headers of Standard Webhooks, signed if there is a secret. Redirects are not
    followed. The address is never shown, because it may hold a token."""

    alerts: Alerts = field(repr=False)
    name: str = "webhook"
    deadline_s: float = WEBHOOK_S

    @property
    def settings_digest(self) -> str:
        """Return a digest of the address, and of the settings of the network and the signature."""
        return digest([self._address(), self.alerts.model_dump(mode="json", include=_OF_A_WEBHOOK)])[:16]

    def fault(self) -> str:
        """Return what keeps it from being tried, with the name of a variable that has to change; empty if nothing."""
        try:
            with closing(self._prepared().client):
                return ""
        except _SettingFault as fault:
            return str(fault)

    def deliver(self, message: Message, *, now_ms: int) -> Delivery:
        """POST the message once."""
        try:
            prepared = self._prepared()
        except _SettingFault as fault:
            return Undelivered(str(fault), is_setting=True)
        hidden = (*prepared.signing_secrets, *_parts(prepared.path))
        body = encoded(message)
        headers = signed_headers(prepared.signing_secrets, str(message["id"]), body, now_ms=now_ms)
        with closing(prepared.client) as client:
            result = client.post(prepared.path, body, headers=headers, deadline_s=self.deadline_s, body_cap=MAX_REPLY)
        if isinstance(result, NotSent | NoResponse):
            return Undelivered(scrub(result.reason, secrets=hidden, cap=2 * MAX_SHOWN))
        words = _shown(result.body, secrets=hidden)
        status = f"HTTP {result.status}{f': {words}' if words else ''}"
        if 200 <= result.status < 300:
            return Delivered(status)
        redirects = "; redirects are not followed" if 300 <= result.status < 400 else ""
        is_rejected = 400 <= result.status < 500 and result.status not in _LATER
        return Undelivered(f"{status}{redirects}", is_rejected=is_rejected)

    def _prepared(self) -> _Prepared:
        """Return what a POST needs. Raises _SettingFault."""
        alerts, variable = self.alerts, self.alerts.webhook_env
        signing_secrets = () if alerts.secret_env is None else read_secrets(alerts.secret_env)
        if isinstance(signing_secrets, SecretFault):
            raise _SettingFault(signing_secrets.message)
        address = self._address().strip()
        if not address:
            raise _SettingFault(f"the environment variable {variable} is not set; set it to the webhook's address")
        where = f"the environment variable {variable}" if variable else "webhook"
        target = parse_url(address)
        if isinstance(target, AddressFault):
            raise _SettingFault(f"{where} holds no address that can be used: {target.message}")
        route = Route(
            trust=alerts.ca or PUBLIC,
            private=alerts.network == "private",
            proxy=alerts.proxy or "none",
            login_env=alerts.proxy_login_env,
        )
        try:
            client = HttpClient(f"{target.scheme}://{target.authority}", allow_local=alerts.allow_local, route=route)
        except ValueError as error:
            reason = str(error).removeprefix("base URL: ")
            raise _SettingFault(f"{where} holds no address that can be used: {reason}") from None
        return _Prepared(client, target.target, signing_secrets)

    def _address(self) -> str:
        return self.alerts.webhook or os.environ.get(self.alerts.webhook_env or "", "")


@dataclass(frozen=True)
class CommandReceiver:
    """Runs a program without a shell for each alert, in a process group of its own that is killed when its time is
    over. It gets few variables of the environment, because others may hold secrets."""

    arguments: tuple[str, ...] = field(repr=False)  # one may be a token
    name: str = "command"
    deadline_s: float = COMMAND_S

    @property
    def settings_digest(self) -> str:
        """Return a digest of the arguments."""
        return digest(list(self.arguments))[:16]

    def fault(self) -> str:
        """Return why the program can't be started; empty if it is there."""
        return "" if shutil.which(self.arguments[0]) else f"{self.arguments[0]} is no program that can be run"

    def deliver(self, message: Message, *, now_ms: int) -> Delivery:  # noqa: ARG002 - a webhook's
        """Run the program once."""
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
        }
        try:
            process = subprocess.Popen(
                self.arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
                bufsize=0,
            )
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return Undelivered(f"{self.arguments[0]} can't be started: {reason}", is_setting=True)
        output, in_time = _converse(process, encoded(message), self.deadline_s)
        if not in_time:
            # PermissionError: it runs as another user (sudo), or only zombies are left, on macOS
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=KILL_S)
        words = _shown(output, secrets=_parts_of_arguments(self.arguments[1:]))
        said = f": {words}" if words else ""
        if process.returncode is None:
            return Undelivered(f"{self.arguments[0]} still runs after {self.deadline_s:g} s and can't be killed{said}")
        if not in_time:
            return Undelivered(f"{self.arguments[0]} was killed after {self.deadline_s:g} s{said}")
        if process.returncode:
            return Undelivered(f"{self.arguments[0]} ended with {process.returncode}{said}")
        return Delivered(f"{self.arguments[0]} ended with 0{said}")


def _converse(process: subprocess.Popen[bytes], body: bytes, limit_s: float) -> tuple[bytes, bool]:
    """Give a program its input and read what it writes until it ends, then close both. Return the first MAX_REPLY
    bytes, and whether it ended in time. It may read nothing, and a child that it leaves behind may hold its output
    open."""
    assert process.stdin is not None
    assert process.stdout is not None
    output, until = b"", time.monotonic() + limit_s
    with process.stdin, process.stdout, selectors.DefaultSelector() as selector:
        for pipe, event in ((process.stdin, selectors.EVENT_WRITE), (process.stdout, selectors.EVENT_READ)):
            os.set_blocking(pipe.fileno(), False)
            selector.register(pipe, event)
        while time.monotonic() < until:
            has_ended = process.poll() is not None
            has_said = False
            for key, _ in selector.select(0 if has_ended else POLL_S):
                if key.fileobj is process.stdin:
                    body = body[_written(key.fd, body) :]
                    if not body:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                piece = os.read(key.fd, 65_536)
                output += piece[: MAX_REPLY - len(output)]
                has_said = bool(piece)
                if not piece:
                    selector.unregister(process.stdout)
            if has_ended and not has_said:
                return output, True
    return output, process.poll() is not None


def _written(descriptor: int, body: bytes) -> int:
    """Return how many bytes of the input need not be written any more: all if the program reads no more."""
    try:
        return os.write(descriptor, body)
    except BrokenPipeError:
        return len(body)


def _shown(output: bytes, *, secrets: tuple[str, ...] = ()) -> str:
    """Return the beginning of a reply, as a part of a sentence."""
    return scrub(" ".join(output.decode("utf-8", "replace").split()), secrets=secrets, cap=MAX_SHOWN)


def _parts(target: str) -> tuple[str, ...]:
    """Return the parts of a path with its query that may be secrets, as they are and unquoted, the longest first."""
    path, _, query = target.partition("?")
    values = (pair.partition("=")[2] or pair for pair in query.split("&"))
    parts = {target, path, query, *path.split("/"), *values}
    parts |= {plain for part in parts for plain in (unquote(part), unquote_plus(part))}
    return _longest_first(parts)


def _parts_of_arguments(arguments: Iterable[str]) -> tuple[str, ...]:
    """Return the arguments of a command, and the parts of them, that may be secrets, the longest first: programs such
    as `ntfy` print what they were given."""
    parts = {part for argument in arguments for part in (argument, *re.split(r"[\s/=?&]+", argument))}
    return _longest_first(parts)


def _longest_first(parts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted((part for part in parts if len(part) >= MIN_SECRET), key=len, reverse=True))
