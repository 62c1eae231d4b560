"""The ledger's tables, for SQLite and PostgreSQL. Times are integer milliseconds of UTC, units integers of a millionth.

`videos`, `attempts`, `missing_files`, `charges`, `accounts`, `account_days`, `reconciliations`, `step_choices`,
`statements` (when each of a provider's statements was last read) and `lower_charges` (prices that were charged below
the prediction) are projections of `events`.

`declared_catalogue` tells which catalogue the videos were last compared with, so that an unchanged one isn't compared
again, and which home had it, so that another home doesn't withdraw them; without its row the next comparison is of
every video. `earlier_catalogues` are those that it has named before: a home that still has one of them is behind.

`schedule`, `backoff`, `contacts` and `inbox` are hints (when to look again, which worker is looking, when a provider
last replied, what callbacks reported): losing them costs a poll, never a task or a credit, so they are not in the
events.

The indexes with a condition are in `migrations/partial_indexes.py`.
"""

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, MetaData, Table, Text, text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
    }
)

ledger_head = Table(
    "ledger_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("ledger_id", Text),
    Column("standing", Text, nullable=False, server_default="open"),
    Column("origin_id", Text),
    Column("origin_seq", BigInteger),
    Column("origin_url", Text),
    Column("moved_to_id", Text),
    Column("moved_to_url", Text),
    Column("moved_at", BigInteger),
    Column("program", Text),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("attempt_id", Text),
    Column("video_key", Text),
    Column("account", Text),
    Column("data", Text, nullable=False),
    Index("ix_events_attempt_id", "attempt_id"),
)

videos = Table(
    "videos",
    metadata,
    Column("video_key", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("definition_digest", Text, nullable=False),
    Column("source_video_id", Text),
    Column("branch_of", Text),
    Column("branch_hop", Integer),
    Column("model", Text),
    Column("mode", Text),
    Column("source_created_at", BigInteger),
    Column("extendable_until", BigInteger),
    Column("source_duration_ms", BigInteger),
    Column("source_sha256", Text),
    Column("source_path", Text),
    Column("source_probed_ms", BigInteger),
    Column("source_fault", Text),
    Column("source_fault_at", BigInteger),
    Column("earlier_source_sha256", Text),
    Column("first_key", Text),
    Column("target_ms", BigInteger),
    Column("target_steps", Integer),
    Column("state", Text, nullable=False),
    Column("state_reason", Text, nullable=False),
    Column("state_detail", Text, nullable=False),
    Column("hops_done", Integer, nullable=False),
    Column("current_duration_ms", BigInteger),
    Column("declared_at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index("ix_videos_state_video_key", "state", "video_key"),
    Index("ix_videos_source_video_id", "source_video_id"),
    Index("ix_videos_seq", "seq"),
    Index("ix_videos_source_folder", text("substr(source_sha256, 1, 2)")),
)

declared_catalogue = Table(
    "declared_catalogue",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("keys_seq", BigInteger, nullable=False),
    Column("home_mark", Text),
    Column("home_name", Text),
    Column("seen_at", BigInteger),
    Column("left_over_since", BigInteger),
)

earlier_catalogues = Table("earlier_catalogues", metadata, Column("digest", Text, primary_key=True))

attempts = Table(
    "attempts",
    metadata,
    Column("attempt_id", Text, primary_key=True),
    Column("video_key", Text, nullable=False),
    Column("hop", Integer, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("try_no", Integer, nullable=False),
    Column("chain_digest", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("submit_class", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("external_task_id", Text, nullable=False),
    Column("task_id", Text),
    Column("root_video_id", Text),
    Column("parent_attempt_id", Text),
    Column("parent_video_id", Text, nullable=False),
    Column("parent_duration_ms", BigInteger),
    Column("params", Text, nullable=False),
    Column("request", Text, nullable=False),
    Column("mode", Text),
    Column("unit", Text, nullable=False),
    Column("predicted_micros", BigInteger, nullable=False),
    Column("unit_price_micros", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("budget_day", Text, nullable=False),
    Column("failed_tasks_charged", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("lease_until", BigInteger, nullable=False),
    Column("claimed_at", BigInteger, nullable=False),
    Column("sending_at", BigInteger),
    Column("in_doubt_at", BigInteger),
    Column("submitted_at", BigInteger),
    Column("completed_at", BigInteger),
    Column("finished_at", BigInteger),
    Column("stored_at", BigInteger),
    Column("absences", Integer, nullable=False),
    Column("last_absent_at", BigInteger),
    Column("error_reason", Text),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("evidence", Text),
    Column("resubmit_allowed", Boolean, nullable=False),
    Column("video_id", Text),
    Column("url", Text),
    Column("watermark_url", Text),
    Column("parent_url", Text),
    Column("reported_duration_ms", BigInteger),
    Column("expires_at", BigInteger),
    Column("settled_micros", BigInteger),
    Column("units_basis", Text),
    Column("sha256", Text),
    Column("path", Text),
    Column("bytes", BigInteger),
    Column("width", Integer),
    Column("height", Integer),
    Column("codec", Text),
    Column("probed_duration_ms", BigInteger),
    Column("output_kind", Text),
    Column("seam_psnr_centi_db", Integer),
    Column("parent_is_prefix", Boolean),
    Column("poster_path", Text),
    Column("film_sha256", Text),
    Column("film_path", Text),
    Column("film_duration_ms", BigInteger),
    Column("film_note", Text),
    Column("callback_digest", Text),
    Column("words", Text),
    Column("purchase", Text),
    Column("seq", BigInteger, nullable=False),
    Index("ix_attempts_state", "state"),
    Index("ix_attempts_video_key_hop", "video_key", "hop"),
    Index("ix_attempts_account_claimed_at", "account", "claimed_at"),
    Index("ix_attempts_purchase", "purchase"),
    Index("ix_attempts_external_task_id", "external_task_id"),
    Index("ix_attempts_callback_digest", "callback_digest"),
    Index("ix_attempts_video_id", "video_id"),
    Index("ix_attempts_seq", "seq"),
    # the folder of the media store in which a file lies, so that one folder's files are read without all the others
    Index("ix_attempts_file_folder", text("substr(sha256, 1, 2)")),
    Index("ix_attempts_film_folder", text("substr(film_sha256, 1, 2)")),
)

missing_files = Table(
    "missing_files",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("role", Text, primary_key=True),
    Column("video_key", Text, nullable=False),
    Column("hop", Integer),
    Column("account", Text, nullable=False),
    Column("path", Text),
    Column("cause", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("tried_at", BigInteger),
    Column("message", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
)

charges = Table(
    "charges",
    metadata,
    Column("charge_id", Text, primary_key=True),
    Column("attempt_id", Text, ForeignKey("attempts.attempt_id"), nullable=False),
    Column("video_key", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("provider", Text, nullable=False),
    Column("entry", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("basis", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("budget_day", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index("ix_charges_attempt_id", "attempt_id"),
    Index("ix_charges_video_key", "video_key"),
    Index("ix_charges_seq", "seq"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("committed_micros", BigInteger, nullable=False),
    Column("in_flight", Integer, nullable=False),
    Column("paused", Boolean, nullable=False),
    Column("stopped_reason", Text),
    Column("stopped_message", Text),
    Column("stopped_at", BigInteger),
    Column("first_name", Text),
    Column("refused_keys", Text),
    Column("silent_submits", Integer, nullable=False, server_default="0"),
    Column("seq", BigInteger, nullable=False),
)

account_days = Table(
    "account_days",
    metadata,
    Column("account", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    Column("committed_micros", BigInteger, nullable=False),
)

reconciliations = Table(
    "reconciliations",
    metadata,
    Column("account", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
    Column("verdict", Text, nullable=False),
    Column("attempt_id", Text),
    Column("unit", Text, nullable=False),
    Column("ledger_micros", BigInteger),
    Column("upstream_micros", BigInteger),
    Column("note", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Index("ix_reconciliations_seq", "seq"),
    Index("ix_reconciliations_verdict", "verdict"),
)

step_choices = Table(
    "step_choices",
    metadata,
    Column("video_key", Text, primary_key=True),
    Column("chain_digest", Text, primary_key=True),
    Column("stands_for", Text, nullable=False),
    Column("hop", Integer, nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
)
"""The decision about an edited step: the paid step that it stands for, or itself if it is bought anew."""

statements = Table(
    "statements",
    metadata,
    Column("account", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("read_at", BigInteger),
    Column("unread_since", BigInteger),
    Column("unread_message", Text),
    Column("others", Integer, nullable=False),
    Column("others_newest_at", BigInteger),
    Column("seq", BigInteger, nullable=False),
)

lower_charges = Table(
    "lower_charges",
    metadata,
    Column("account", Text, primary_key=True),
    Column("price_key", Text, primary_key=True),
    Column("charged_micros", BigInteger, primary_key=True),
    Column("predicted_micros", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    Column("attempt_id", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("attempt_id", Text, ForeignKey("attempts.attempt_id"), nullable=False),
    Column("account", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
    Column("task_id", Text),
    Column("looked_at", BigInteger),
    Column("note", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_inbox_attempt_id", "attempt_id"),
    Index("ix_inbox_task_id", "task_id"),
)

schedule = Table(
    "schedule",
    metadata,
    Column("attempt_id", Text, ForeignKey("attempts.attempt_id"), primary_key=True),
    Column("account", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("note", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("cause", Text),
    Column("refusals", Integer, nullable=False, server_default="0"),
    Column("refused_since", BigInteger),
    Column("sha256", Text),
    Index("ix_schedule_due_at", "due_at"),
)

backoff = Table(
    "backoff",
    metadata,
    Column("account", Text, primary_key=True),
    Column("not_before", BigInteger, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("note", Text, nullable=False),
)

contacts = Table(
    "contacts",
    metadata,
    Column("account", Text, primary_key=True),
    Column("replied_at", BigInteger),
    Column("silences", Integer, nullable=False),
    Column("ask_at", BigInteger, nullable=False),
)

PROJECTED: Final[tuple[Table, ...]] = (
    videos,
    attempts,
    missing_files,
    charges,
    accounts,
    account_days,
    reconciliations,
    step_choices,
    statements,
    lower_charges,
)
"""The tables that a replay of `events` must reproduce row for row."""

ALL_ACCOUNTS: Final = "*"
"""The account name that a pause of all accounts is stored under."""
