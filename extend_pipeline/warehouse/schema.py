"""The warehouse's tables and columns. The file, Dagster's metadata and the documentation are generated from them."""

from typing import Final

from extend_pipeline.warehouse.columns import (
    AMOUNT,
    SECONDS,
    UNITS,
    Column,
    TableSchema,
    amount,
    day,
    decimal_of,
    derived,
    flag,
    integer,
    locator,
    moment,
    of_view,
    prompt,
    seconds,
    seconds_of,
    text,
    units,
    unsigned,
    zone_of_day,
)

STORAGE_VERSION: Final = "v1.2.0"
"""The oldest DuckDB that opens the file."""

# by the videos' keys too: rows of a video lie together, so that DuckDB skips most of the others without reading them
CHANGED_VIDEOS: Final = "video_key IN (SELECT video_key FROM changed_videos)"
CHANGED_ATTEMPTS: Final = f"{CHANGED_VIDEOS} AND attempt_id IN (SELECT attempt_id FROM changed_attempts)"  # noqa: S608 - our own
_CHANGED_ATTEMPTS: Final = (
    "video_key IN (SELECT video_key FROM staged) AND attempt_id IN (SELECT attempt_id FROM staged)"
)

_LENGTHS: Final = ("attempts.probed_duration_ms", "attempts.parent_duration_ms", "attempts.output_kind")
_UNITS_BASIS: Final = (
    "basis of the settlement: reported by the provider, estimated from the prediction, or billed; later corrections"
    " have one of their own in charges"
)

SOURCE_VIDEOS: Final = TableSchema(
    name="source_videos",
    description="One row a video of the catalogue: its source, its target, and its progress.",
    key="video_key",
    changed="video_key IN (SELECT video_key FROM staged)",
    rows="staged AS videos",
    columns=(
        text("videos.video_key", "key of the catalogue entry, and Dagster's partition key"),
        text("videos.account", "account that made the source and pays for every extension"),
        text("videos.provider", "protocol of the account, as accounts.yaml names it"),
        locator("videos.source_video_id", "the provider's id or URL of the source; empty for a branch"),
        text("videos.branch_of", "video whose hop is the source of this one, if it is a branch"),
        integer("videos.branch_hop", "hop of that video"),
        text("videos.model", "model that made the source"),
        text("videos.mode", "mode that the source was made in"),
        moment("videos.source_created_at", "when the source was made", name="created_at"),
        moment("videos.extendable_until", "after this moment the provider refuses to extend the source"),
        seconds("videos.source_duration_ms", "length of the source, as declared", name="duration_s"),
        seconds("videos.target_ms", "requested length, if the target is a length", name="target_s"),
        integer("videos.target_steps", "requested number of extensions, if the target is a number"),
        text("videos.state", "new, working, waiting, blocked, complete or withdrawn"),
        text("videos.state_reason", "why it is in this state, as a code"),
        text("videos.state_detail", "why it is in this state, as a sentence"),
        integer("videos.hops_done", "extensions that are stored"),
        seconds("videos.current_duration_ms", "length reached so far", name="current_duration_s"),
        moment("videos.declared_at", "when the entry was declared in its present form"),
    ),
)

EXTENSION_REQUESTS: Final = TableSchema(
    name="extension_requests",
    description="One row an attempt, in any state: one paid submit at most.",
    key="attempt_id",
    changed=_CHANGED_ATTEMPTS,
    rows="staged AS attempts",
    columns=(
        text("attempts.attempt_id", "id of the attempt"),
        text("attempts.video_key", "video that is extended"),
        integer("attempts.hop", "which extension of the video, from 1"),
        integer("attempts.generation", "rises when an extension may be paid for again"),
        integer("attempts.try_no", "which try of this generation"),
        text("attempts.account", "account that pays"),
        text("attempts.provider", "protocol of the account"),
        text("attempts.submit_class", "how a submit without a clear response can be resolved: A, B, C or D"),
        text("attempts.state", "state of the attempt"),
        text("attempts.external_task_id", "our own id of the task, the same on every try"),
        text("attempts.task_id", "the provider's id of the task"),
        locator("attempts.root_video_id", "the provider's id or URL of the source at the root of the chain"),
        text("attempts.parent_attempt_id", "attempt whose result is extended; empty where it is the source itself"),
        locator("attempts.parent_video_id", "the provider's id or URL of the video that is extended"),
        seconds("attempts.parent_duration_ms", "length of the video that is extended", name="parent_duration_s"),
        locator("attempts.video_id", "the provider's id or URL of the result"),
        text("attempts.mode", "mode that the price depends on"),
        prompt("attempts.params", "prompt of this extension"),
        unsigned("attempts.params", "all parameters of the extension, as JSON, without the queries of URLs"),
        unsigned("attempts.request", "the request that is sent, without the queries of URLs; status shows it exactly"),
        text("attempts.unit", "what the account is charged in"),
        units("attempts.predicted_micros", "units that were reserved", name="predicted_units"),
        units("attempts.settled_micros", "units that were booked when it ended", name="settled_units"),
        text("attempts.units_basis", _UNITS_BASIS),
        units("attempts.unit_price_micros", "price of one unit in the currency", name="unit_price"),
        text("attempts.currency", "currency of the account"),
        day("attempts.budget_day", "day whose budget the attempt counts for, in the home's timezone at that time"),
        text("attempts.failed_tasks_charged", "whether the account pays for failed tasks: yes, no or unknown"),
        moment("attempts.claimed_at", "when the units were reserved"),
        moment("attempts.sending_at", "when the first byte of the request may have left"),
        moment("attempts.in_doubt_at", "when it became unclear whether a task exists"),
        moment("attempts.submitted_at", "when a task was known to exist"),
        moment("attempts.completed_at", "when the task was seen to be finished"),
        moment("attempts.stored_at", "when the file was checked and in the media store"),
        moment("attempts.finished_at", "when the attempt ended"),
        moment("attempts.expires_at", "until when the provider keeps the result"),
        integer("attempts.absences", "how often the provider reported that it knows no such task"),
        flag("attempts.resubmit_allowed", "whether an operator allowed to pay for this extension again"),
        text("attempts.error_reason", "kind of the failure"),
        text("attempts.error_code", "the provider's code"),
        text("attempts.error_message", "the provider's error message"),
    ),
)

CHARGES: Final = TableSchema(
    name="charges",
    description="One row a charge entry of the ledger. The sum of all entries of an attempt is committed for it now; "
    "the sum of its settle and adjust entries is spent. Currencies and units are never added to each other.",
    key="charge_id",
    changed="video_key IN (SELECT video_key FROM staged) AND charge_id IN (SELECT charge_id FROM staged)",
    rows="staged AS charges",
    columns=(
        text("charges.charge_id", "id of the entry"),
        text("charges.attempt_id", "attempt that it belongs to"),
        text("charges.video_key", "video of the attempt"),
        text("charges.account", "account that pays"),
        text("charges.provider", "protocol of the account"),
        text("charges.entry", "reserve (+), release (-), settle (+) or adjust (+ or -)"),
        text("charges.unit", "what the account is charged in"),
        units("charges.micros", "units, signed", name="units"),
        text("charges.basis", "predicted, estimated, reported or billed"),
        text("charges.currency", "currency of the amount"),
        amount("charges.amount_micros", "units times unit price, signed", name="amount"),
        moment("charges.at", "when it was booked"),
        day("charges.budget_day", "day whose budget it counts for, in the home's timezone at that time"),
        zone_of_day("budget_timezone", "charges.budget_day", "that timezone, by its IANA name"),
    ),
)

COMPLETED_EXTENSIONS: Final = TableSchema(
    name="completed_extensions",
    description="One row a stored extension: the file, how long it is, what it cost.",
    key="attempt_id",
    changed=_CHANGED_ATTEMPTS,
    rows="(FROM staged WHERE state = 'stored') AS attempts",
    columns=(
        text("attempts.attempt_id", "attempt that made it"),
        text("attempts.video_key", "video that was extended"),
        integer("attempts.hop", "which extension of the video, from 1"),
        text("attempts.account", "account that paid"),
        text("attempts.provider", "protocol of the account"),
        text("attempts.task_id", "the provider's id of the task"),
        locator("attempts.parent_video_id", "the provider's id or URL of the video that was extended"),
        locator("attempts.video_id", "the provider's id or URL of the result"),
        seconds("attempts.parent_duration_ms", "length of the video that was extended", name="parent_duration_s"),
        derived(
            "added_duration_s",
            SECONDS,
            "length that was added, measured; empty where it is not known whether the file holds its parent too",
            seconds_of(
                "CASE attempts.output_kind WHEN 'segment' THEN attempts.probed_duration_ms"
                " WHEN 'full' THEN attempts.probed_duration_ms - attempts.parent_duration_ms END"
            ),
            *_LENGTHS,
        ),
        derived(
            "output_duration_s",
            SECONDS,
            "length as the provider reported it, else as measured",
            seconds_of("coalesce(attempts.reported_duration_ms, attempts.probed_duration_ms)"),
            "attempts.reported_duration_ms",
            "attempts.probed_duration_ms",
        ),
        seconds("attempts.probed_duration_ms", "length of the file, measured", name="probed_duration_s"),
        text(
            "attempts.output_kind",
            "what the file holds: full (with its parent), segment (only the new part) or unknown",
        ),
        text("attempts.unit", "what the account is charged in"),
        derived(
            "units",
            UNITS,
            "units that were spent on it, with later corrections",
            decimal_of("attempts.paid_micros", UNITS),
            "charges.micros",
        ),
        text("attempts.units_basis", _UNITS_BASIS),
        derived(
            "amount",
            AMOUNT,
            "amount of those units",
            decimal_of("attempts.paid_amount_micros", AMOUNT),
            "charges.amount_micros",
        ),
        text("attempts.currency", "currency of the amount"),
        derived(
            "path",
            "VARCHAR",
            "place of the full film in the media store",
            "coalesce(attempts.film_path, attempts.path)",
            "attempts.film_path",
            "attempts.path",
        ),
        derived(
            "sha256",
            "VARCHAR",
            "SHA-256 of the full film, and its name",
            "coalesce(attempts.film_sha256, attempts.sha256)",
            "attempts.film_sha256",
            "attempts.sha256",
        ),
        seconds("attempts.film_duration_ms", "length of the assembled film, where one was", name="film_duration_s"),
        text("attempts.film_note", "how the film was assembled from its parent and the new part, or why it was not"),
        text("attempts.path", "place of the file as received", name="file_path"),
        text("attempts.sha256", "SHA-256 of the file as received", name="file_sha256"),
        integer("attempts.bytes", "size in bytes of the file as received"),
        integer("attempts.width", "width in pixels as displayed, after the file's rotation"),
        integer("attempts.height", "height in pixels as displayed, after the file's rotation"),
        text("attempts.codec", "video codec"),
        derived(
            "seam_psnr_db",
            "DECIMAL(8,2)",
            "similarity (PSNR) of the result's beginning to its parent, in decibel",
            "CAST(CAST(attempts.seam_psnr_centi_db AS DECIMAL(8,0)) * CAST('0.01' AS DECIMAL(3,2)) AS DECIMAL(8,2))",
            "attempts.seam_psnr_centi_db",
        ),
        flag("attempts.parent_is_prefix", "whether the result begins with its parent, by its video frames"),
        text("attempts.poster_path", "place of the poster in the media store"),
        moment("attempts.submitted_at", "when a task was known to exist"),
        moment("attempts.completed_at", "when the task was seen to be finished"),
        moment("attempts.stored_at", "when the file was checked and in the media store"),
        derived(
            "wait_s",
            SECONDS,
            "seconds from submitted_at to completed_at",
            seconds_of("attempts.completed_at - attempts.submitted_at"),
            "attempts.completed_at",
            "attempts.submitted_at",
        ),
    ),
)

_WITH_DEPTHS: Final = """(
    SELECT r.*, c.output_kind, c.probed_duration_s, c.film_duration_s, depths.depth
    FROM depths
    JOIN extension_requests AS r ON r.attempt_id = depths.attempt_id
    JOIN completed_extensions AS c ON c.attempt_id = depths.attempt_id
) AS made"""


def _made(source: str, description: str) -> Column:
    """Return a column that `extension_requests` has already."""
    name = source.partition(".")[2]
    return derived(name, "VARCHAR", description, f"made.{name}", source)


LINEAGE: Final = TableSchema(
    name="lineage",
    description="One row a stored extension: the video that it extends, and the root of its chain.",
    key="attempt_id",
    changed=CHANGED_ATTEMPTS,
    rows=_WITH_DEPTHS,
    columns=(
        _made("attempts.video_key", "video that was extended"),
        derived("hop", "BIGINT", "which extension of the video, from 1", "made.hop", "attempts.hop"),
        _made("attempts.root_video_id", "the provider's id or URL of the source at the root of the chain"),
        _made("attempts.parent_video_id", "the provider's id or URL of the video that was extended"),
        _made("attempts.video_id", "the provider's id or URL of the result"),
        derived(
            "depth",
            "BIGINT",
            "extensions between the root source and the result, through branches too",
            "made.depth",
            "attempts.parent_attempt_id",
        ),
        _made("attempts.attempt_id", "attempt that made it"),
        _made("attempts.parent_attempt_id", "attempt that made the parent; empty where that is the source itself"),
        _made("attempts.account", "account that paid"),
        _made("attempts.provider", "protocol of the account"),
        derived("prompt", "VARCHAR", "prompt of this extension", "made.prompt", "attempts.params"),
        derived(
            "duration_before_s",
            SECONDS,
            "length of the film before the extension",
            "made.parent_duration_s",
            "attempts.parent_duration_ms",
        ),
        derived(
            "duration_after_s",
            SECONDS,
            "length of the film after the extension, with its parent if the file holds only the new part",
            "coalesce(made.film_duration_s, CASE made.output_kind WHEN 'segment'"
            " THEN made.probed_duration_s + made.parent_duration_s ELSE made.probed_duration_s END)",
            *_LENGTHS,
            "attempts.film_duration_ms",
        ),
    ),
)

_RECONCILIATION_ID: Final = "{0}.account || '/' || {0}.source || '/' || {0}.task_id"

RECONCILIATIONS: Final = TableSchema(
    name="reconciliations",
    description="One row a task on a statement: how the ledger and that statement agreed when they were last compared.",
    key="reconciliation_id",
    changed="reconciliation_id IN (SELECT " + _RECONCILIATION_ID.format("staged") + " FROM staged)",  # noqa: S608
    rows="staged AS reconciliations",
    columns=(
        derived(
            "reconciliation_id",
            "VARCHAR",
            "account, statement and task",
            _RECONCILIATION_ID.format("reconciliations"),
            "reconciliations.account",
            "reconciliations.source",
            "reconciliations.task_id",
        ),
        text("reconciliations.account", "account that was compared"),
        text("reconciliations.source", "the provider's statement: list, billing or invoice"),
        text("reconciliations.task_id", "the provider's id of the task; attempt:… where none is known"),
        text(
            "reconciliations.verdict",
            "matched, different_amount, ledger_only, upstream_only, open, other (no extension) or accepted",
        ),
        text("reconciliations.attempt_id", "attempt that has the task; empty if none does"),
        text("reconciliations.unit", "what the account is charged in"),
        units("reconciliations.ledger_micros", "units that were booked before the comparison", name="ledger_units"),
        units("reconciliations.upstream_micros", "units that the provider shows", name="upstream_units"),
        text("reconciliations.note", "what was found, and what was changed"),
        moment("reconciliations.at", "when this result was first found", name="compared_at"),
    ),
)

TABLES: Final[tuple[TableSchema, ...]] = (
    SOURCE_VIDEOS,
    EXTENSION_REQUESTS,
    CHARGES,
    COMPLETED_EXTENSIONS,
    LINEAGE,
    RECONCILIATIONS,
)
"""The tables that users read."""

_ADDED: Final = "completed_extensions.added_duration_s"
_WAIT: Final = "completed_extensions.wait_s"

DURATION_METRICS: Final[tuple[Column, ...]] = (
    of_view("account", "VARCHAR", "account that made the extensions", "completed_extensions.account"),
    of_view("provider", "VARCHAR", "protocol of the account", "completed_extensions.provider"),
    of_view("extensions", "BIGINT", "stored extensions", "completed_extensions.attempt_id"),
    of_view("measured_extensions", "BIGINT", "those of them whose added length is known", _ADDED),
    of_view("added_s", "DECIMAL(38,3)", "seconds that were added in all, measured", _ADDED),
    of_view("added_s_mean", SECONDS, "seconds that an extension adds on average", _ADDED),
    of_view("added_s_min", SECONDS, "seconds that the shortest extension added", _ADDED),
    of_view("added_s_max", SECONDS, "seconds that the longest extension added", _ADDED),
    of_view("longest_s", SECONDS, "length of the longest file, measured", "completed_extensions.probed_duration_s"),
    of_view(
        "reported_off_by_s_max",
        SECONDS,
        "largest difference between the reported and the measured length of a full film",
        "completed_extensions.output_duration_s",
        "completed_extensions.probed_duration_s",
        "completed_extensions.output_kind",
    ),
    of_view("wait_s_median", SECONDS, "seconds that half of the extensions took to make, at most", _WAIT),
    of_view("wait_s_p90", SECONDS, "seconds that nine of ten extensions took to make, at most", _WAIT),
    of_view("wait_s_max", SECONDS, "seconds that the slowest extension took to make", _WAIT),
)
"""The columns of the view `duration_metrics`. They are listed because SQL records neither a description nor the lineage
of an aggregate."""

META_COLUMNS: Final[tuple[tuple[str, str, str], ...]] = (
    ("ledger_seq", "BIGINT", "number of the last ledger event that is in this file"),
    ("ledger_event", "VARCHAR", "SHA-256 of that event, which distinguishes this ledger from another one"),
    ("published_at", "TIMESTAMPTZ", "when the rows were read from the ledger"),
    ("schema_version", "VARCHAR", "digest of the tables' and views' definitions"),
    ("storage_version", "VARCHAR", "the oldest DuckDB that opens the file"),
    ("package_version", "VARCHAR", "version of extend_pipeline that wrote the file"),
    ("duckdb_version", "VARCHAR", "version of DuckDB that wrote the file"),
)
