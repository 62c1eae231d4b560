-- What people asked of the warehouse of schema 0009: every table and view by its columns, and some joins.

SELECT
    ledger_seq, ledger_event, published_at, schema_version, storage_version, package_version, duckdb_version
FROM _meta;

SELECT
    charge_id, attempt_id, video_key, account, provider, entry, unit, units, basis, currency, amount, "at",
    budget_day, budget_timezone
FROM charges;

SELECT
    attempt_id, video_key, hop, account, provider, task_id, parent_video_id, video_id, parent_duration_s,
    added_duration_s, output_duration_s, probed_duration_s, output_kind, unit, units, units_basis, amount, currency,
    path, sha256, film_duration_s, film_note, file_path, file_sha256, bytes, width, height, codec, seam_psnr_db,
    parent_is_prefix, poster_path, submitted_at, completed_at, stored_at, wait_s
FROM completed_extensions;

SELECT
    attempt_id, video_key, hop, generation, try_no, account, provider, submit_class, state, external_task_id,
    task_id, root_video_id, parent_attempt_id, parent_video_id, parent_duration_s, video_id, mode, prompt, params,
    request, unit, predicted_units, settled_units, units_basis, unit_price, currency, budget_day,
    failed_tasks_charged, claimed_at, sending_at, in_doubt_at, submitted_at, completed_at, stored_at, finished_at,
    expires_at, absences, resubmit_allowed, error_reason, error_code, error_message
FROM extension_requests;

SELECT
    video_key, hop, root_video_id, parent_video_id, video_id, depth, attempt_id, parent_attempt_id, account,
    provider, prompt, duration_before_s, duration_after_s
FROM lineage;

SELECT
    reconciliation_id, account, source, task_id, verdict, attempt_id, unit, ledger_units, upstream_units, note,
    compared_at
FROM reconciliations;

SELECT
    video_key, account, provider, source_video_id, branch_of, branch_hop, model, mode, created_at, extendable_until,
    duration_s, target_s, target_steps, state, state_reason, state_detail, hops_done, current_duration_s,
    declared_at
FROM source_videos;

SELECT
    account, provider, unit, currency, spent_units, spent_amount, reserved_units, reserved_amount, committed_units,
    amount_without_result, attempts, videos
FROM cost_by_account;

SELECT
    day, account, provider, unit, currency, spent_units, spent_amount, reserved_units, reserved_amount, attempts,
    timezone
FROM cost_by_day;

SELECT
    video_key, account, provider, unit, currency, attempts, extensions, spent_units, spent_amount, reserved_units,
    reserved_amount, added_s, amount_per_second
FROM cost_by_video;

SELECT
    account, provider, unit, currency, extensions, unmeasured_extensions, added_s, spent_units, spent_amount,
    units_per_second, amount_per_second, amount_per_second_with_failures
FROM cost_per_second;

SELECT
    account, provider, extensions, measured_extensions, added_s, added_s_mean, added_s_min, added_s_max, longest_s,
    reported_off_by_s_max, wait_s_median, wait_s_p90, wait_s_max
FROM duration_metrics;

SELECT
    "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd",
    "ChargePeriodStart", "ChargePeriodEnd", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "ListUnitPrice", "ContractedUnitPrice",
    "ConsumedQuantity", "ConsumedUnit", "PricingQuantity", "PricingUnit", "PricingCurrency",
    "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingCurrencyContractedUnitPrice",
    "PricingCategory", "ProviderName", "PublisherName", "InvoiceIssuerName", "ServiceCategory",
    "ServiceSubcategory", "ServiceName", "ResourceId", "ResourceName", "ResourceType", "SkuId", "SkuPriceId",
    "x_ChargeId", "x_AttemptId", "x_TaskId", "x_Basis"
FROM focus_1_2;

SELECT
    video_key, hop, attempt_id, account, provider, submit_class, external_task_id, unit, exposure_units, currency,
    exposure_amount, sending_at, in_doubt_at, age_hours, absences, error_reason, error_message, request
FROM in_doubt;

SELECT
    kind, video_key, hop, attempt_id, account, provider, video_id, expires_at, hours_left
FROM retention;

SELECT
    account, provider, attempts, stored, failed, rejected, lost, released, in_doubt, open, success_rate
FROM success_rates;

SELECT v.video_key, l.hop, l.depth, l.prompt, e.sha256, c.units, c.amount, c.currency
FROM source_videos AS v
JOIN lineage AS l USING (video_key)
JOIN completed_extensions AS e USING (attempt_id)
JOIN charges AS c USING (attempt_id)
WHERE c.entry = 'settle'
ORDER BY v.video_key, l.hop;

SELECT account, state, count(*) AS attempts, sum(predicted_units) AS units
FROM extension_requests
WHERE state IN ('stored', 'in_doubt', 'submitted', 'succeeded', 'rejected')
GROUP BY ALL
ORDER BY ALL;

SELECT r.account, r.task_id, r.verdict, r.note, e.video_key
FROM reconciliations AS r
LEFT JOIN extension_requests AS e USING (attempt_id)
WHERE r.verdict IN ('accepted', 'upstream_only', 'ledger_only', 'different_amount', 'matched');
