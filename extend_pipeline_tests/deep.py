"""The list of deep tests: slow ones that walk many crashes, faults and seeds, or repeat a quicker test on PostgreSQL,
with another provider or in a real Dagster. `make test` leaves them out, `make test-deep` runs them and nothing else.

The slowest kinds come first and run first, because a test process that begins one last keeps the others waiting.
"""

from __future__ import annotations

import re
from typing import Final

import pytest

MARKER: Final = "deep"

DEEP: Final = (
    # a minute of kills and faults, and what a naive client pays in it
    "chaos/test_chaos.py",
    # the slice of the matrix, by provider, and its specials
    "faults/test_matrix.py::test_a_kill_while_a_fault_is_armed",
    "faults/test_matrix.py::test_races_losses_and_lies",
    "faults/test_matrix.py::test_what_is_left_out_for_want_of_a_field",
    # the state machine, on both ledgers
    "machine/test_machine.py",
    # the demo through a real Dagster, in a checkout and from the wheel
    "cli/test_demo.py::test_the_demo_ends_by_itself",
    # Dagster's UI, and the report, in a browser
    "dagster_defs/ui/test_ui.py",
    "report/test_in_browser.py",
    # a run of a real Dagster that is killed
    "dagster_defs/jobs/test_killed_runs.py",
    "dagster_defs/jobs/test_alive.py::test_a_run_that_others_have_ended_learns_it",
    # Dagster's commands as processes, a DAGSTER_HOME that is lost, five thousand videos in one edit
    "dagster_defs/shell/test_without_daemon.py",
    "dagster_defs/shell/test_lost_dagster_home.py",
    "dagster_defs/sensors/test_many_new_videos.py",
    "cli/test_installed.py::test_demo_and_dev",
    # a webserver with a code server
    "dagster_defs/jobs/test_launchpad.py",
    # kills at every failpoint
    "engine/fetch/test_lost_processes.py::test_what_a_killed",
    "engine/chains/test_crash_walk.py::test_a_process_killed_around_a_fetch",
    "engine/chains/test_crash_walk.py::test_a_kill_around_a_submit",
    "engine/chains/test_crash_walk.py::test_the_command_itself_is_killed",
    "engine/chains/test_crash_walk_without_key.py",
    "engine/chains/test_home_of_0009.py::test_it_goes_on",
    "engine/reconcile/test_reconcile_crashes.py::test_a_kill_costs_a_comparison",
    # every fault of the sandbox at every place
    "engine/chains/test_every_fault.py::test_no_fault_at",
    "engine/doubt/test_doubts_without_key.py::test_a_lost_response",
    "engine/submit/test_hostile_texts.py::test_a_hostile_url",
    "engine/guards/test_clock_an_hour_off.py",
    # disks that are full at each place, races of twenty processes, floods, statements of fifty thousand tasks
    "engine/submit/test_full_disk.py",
    "ledger/test_budget_race.py",
    "engine/reconcile/test_statement_amounts.py::test_fifty_thousand_tasks",
    "engine/chains/test_crash_walk.py::test_a_chain_of_processes",
    "ledger/test_handover.py::test_a_kill_at_any_step",
    "warehouse/test_verify.py::test_every_difference_is_reported",
    "warehouse/test_readers.py::test_readers_at_any_moment",
    "engine/submit/test_stopped_before_post.py",
    # what takes some seconds, beside quicker tests of the same
    "engine/fetch/test_lost_processes.py::test_one_transaction_renews",
    "media/test_prober.py::test_a_film_does_not_wait",
    "alerts/test_command_receiver.py::test_a_command_that_hangs",
    "dagster_defs/assets/test_pages.py::test_tables_stay_fresh",
    "dagster_defs/assets/test_tables.py::test_a_run_goes_on_while",
    "dagster_defs/checks/test_needs_person.py::test_a_page_lists",
    "dagster_defs/checks/test_needs_person.py::test_a_doubt_whose_video_left",
    "dagster_defs/mounting/test_build_defs.py::test_a_run_and_the_ticks",
    "dagster_defs/mounting/test_one_ledger.py::test_two_machines",
    "dagster_defs/sensors/test_catalogue_changes.py::test_an_emptied_catalogue",
    "dagster_defs/sensors/test_tick_logs.py",
    "dagster_defs/time_travel/test_budget_days.py",
    "engine/submit/test_read_only_and_locked_ledger.py",
    "engine/submit/test_two_processes.py",
    "engine/submit/test_processes_at_a_silent_account.py",
    "engine/guards/test_clock_was_wrong.py",
    "engine/chains/test_every_fault.py",
    "engine/reconcile/test_billed_amounts.py::test_tasks_that_the_balance_paid",
    "warehouse/test_publish_crashes.py",
    "warehouse/test_publish.py::test_many_small_publishes",
    "ledger/test_claims.py::test_twenty_processes",
    "ledger/test_transitions.py::test_only_the_moves",
    "ledger/transactions/test_readers_and_writers.py::test_numbers_of_events",
    "webhooks/test_command.py",
    # names of any script and edits, from the files to the ledger
    "dagster_defs/test_partitions_of_any_script.py",
    "engine/plan/test_names_of_any_script.py",
    "engine/network/test_behind_pgbouncer.py",
    "engine/reconcile/test_shared_accounts.py",
    "engine/plan/test_lost_ledger_and_changes.py",
    "engine/reconcile/test_statement_amounts.py",
    "engine/polling/test_deductions.py",
    "cli/verbs/test_approve.py",
    "engine/guards/test_files_with_mistakes.py",
    "engine/guards/test_keys_of_processes.py",
    "config/test_digest_and_schema.py::test_canonical_json",
    "media/test_assemble.py::test_damaged_frames",
    "engine/fetch/test_unprobed.py",
    "warehouse/test_readers.py::test_a_query_can_neither",
    "media/join/test_joined_audio.py",
    "base/test_names.py::test_a_valid_name_is",
    "dagster_defs/assets/test_tables.py::test_advance_job_publishes_itself",
    # each part of the benchmark, as small as it can be
    "benchmarks/test_parts.py",
    # a network of its own
    "engine/network/test_private_gateway.py",
    # secrets in outputs and files, and permissions
    "engine/guards/test_permissions.py",
    "engine/guards/test_secrets.py",
    "dagster_defs/test_secrets.py",
    # Dagster's own processes, large catalogues, workers that are killed, properties
    "dagster_defs/sensors/test_retention_and_reconciliation.py::test_the_daily_job",
    "dagster_defs/assets/test_tables.py::test_the_tables_are_published_once",
    "dagster_defs/time_travel/test_automation.py",
    "config/files/test_files.py::test_ten_thousand_entries",
    "dagster_defs/jobs/test_nightly_backfill.py",
    "dagster_defs/jobs/test_approve_job.py",
    "dagster_defs/jobs/test_advance_job.py::test_work_of_the_command_line",
    "dagster_defs/assets/test_tables.py::test_checks_report_a_warehouse",
    "cli/test_installed.py::test_dagster_loads",
    "cli/test_home_lock.py::test_dev_and_demo_at_once",
    "cli/verbs/test_work.py::test_one_signal_ends",
    "cli/verbs/test_work.py::test_a_second_signal_ends",
    "cli/screens/test_showing.py::test_a_terminal_sees_a_table",
    "cli/test_walk.py::test_a_long_walk",
    "cli/screens/test_screens.py::test_every_screen",
    "cli/screens/test_csv_for_spreadsheets.py",
    "engine/store/test_assembled_films.py::test_an_assembled_film_is_made_again",
    "engine/store/test_deep_check.py::test_an_interrupted_deep_check",
    "engine/store/test_missing_store.py::test_a_missing_store",
    "engine/guards/test_disk_space.py::test_nothing_is_bought_without_room",
    "engine/guards/test_disk_space.py::test_a_folder_that_became_read_only",
    "engine/reconcile/test_reconcile_crashes.py::test_three_at_once",
    "engine/submit/test_hostile_texts.py::test_prompts_come_through",
    "engine/fetch/test_expired_urls.py::test_an_outage_past_the_expiry",
    "engine/fetch/test_resume.py::test_a_process_killed_in_a_download",
    "engine/fetch/test_result_hosts.py::test_vidus_host",
    "engine/doubt/test_recover.py::test_a_process_that_slept",
    "cli/verbs/test_media_store.py::test_doctor_deep",
    "dagster_defs/test_definitions.py::test_the_workspace_validates",
    "dagster_defs/mounting/test_component.py::test_dg_works",
    "dagster_defs/assets/test_pages.py::test_a_shell_materializes",
    "dagster_defs/assets/test_synced.py::test_a_new_code_version",
    "dagster_defs/assets/test_synced.py::test_a_run_that_changes_nothing",
    "dagster_defs/assets/test_synced.py::test_a_video_on_its_way",
    "dagster_defs/assets/test_synced.py::test_a_video_whose_second_hop_failed",
    "dagster_defs/assets/test_synced.py::test_runs_by_hand",
    "dagster_defs/assets/test_synced.py::test_what_a_killed_run",
    "dagster_defs/assets/test_synced.py::test_two_hundred",
    "benchmarks/test_hop_times.py::test_the_times_of_each_hop",
    "benchmarks/test_hop_times.py::test_a_request_that_is_open",
    "media/test_turned_films.py::test_a_reencoded_film",
    "media/test_assemble.py::test_parts_that_do_not_fit",
    "media/test_prober.py::test_a_worker_killed",
    "media/test_hostile_files.py::test_a_film_whose_frames_take_more_cpu_time",
    "engine/plan/test_plan_properties.py",
    "providers/kling/parse/test_any_body.py::test_no_body_makes",
    "providers/wire/test_callback_body.py::test_no_bytes_raise",
    # generated requests
    "webhooks/test_garbage.py::test_schemathesis_finds_nothing",
    "providers/wire/test_any_body.py::test_thousands_of_mutated_bodies",
    "providers/wire/test_any_body.py::test_mutated_bodies_that_can_be_shrunk",
)
"""Beginnings of test ids below this folder."""

WHOLE_HOMES: Final = ("engine/", "webhooks/", "cli/", "warehouse/")
"""Folders whose tests run whole homes: on PostgreSQL, and with every provider after the first, they run in the deep
target alone. The tests of the ledger are quick and always run on both."""

_PROVIDER: Final = re.compile("kling-gateway|kling|vidu|luma")

NOT_DEEP: Final = len(DEEP) + 1
_HERE: Final = "extend_pipeline_tests/"


def rank(nodeid: str) -> int:
    """Return the place of a test among the deep ones, the slowest first, or NOT_DEEP for a test of `make test`."""
    name = nodeid.removeprefix(_HERE)
    for place, beginning in enumerate(DEEP):
        if name.startswith(beginning):
            return place
    on_postgresql = name.startswith(WHOLE_HOMES) and "postgresql" in name.partition("::")[2].lower()
    return len(DEEP) if on_postgresql else NOT_DEEP


def mark_deep(items: list[pytest.Item]) -> None:
    """Mark the deep tests, and let them begin first."""
    first: dict[str, str] = {}
    for item in items:
        if rank(item.nodeid) < NOT_DEEP or _with_another_provider(item.nodeid, first):
            item.add_marker(MARKER)
    items.sort(key=lambda item: rank(item.nodeid))


def _with_another_provider(nodeid: str, first: dict[str, str]) -> bool:
    """Return whether a test runs with another provider than the first one of its function."""
    function, _, parameters = nodeid.removeprefix(_HERE).partition("[")
    provider = _PROVIDER.search(parameters)
    if provider is None or not function.startswith(WHOLE_HOMES):
        return False
    return first.setdefault(function, provider[0]) != provider[0]
