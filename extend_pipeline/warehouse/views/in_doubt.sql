-- Attempts in doubt, of which it is unknown whether a task exists: their exposure, age and request, without the queries of URLs.
SELECT
    r.video_key,
    r.hop,
    r.attempt_id,
    r.account,
    r.provider,
    r.submit_class,
    r.external_task_id,
    r.unit,
    coalesce(c.units, 0) AS exposure_units,
    r.currency,
    coalesce(c.amount, 0) AS exposure_amount,
    r.sending_at,
    r.in_doubt_at,
    CAST((epoch_ms(now()) - epoch_ms(r.in_doubt_at)) / 3600000.0 AS DECIMAL(12,2)) AS age_hours,
    r.absences,
    r.error_reason,
    r.error_message,
    r.request
FROM extension_requests AS r
LEFT JOIN (
    SELECT attempt_id, CAST(sum(units) AS DECIMAL(38,6)) AS units, CAST(sum(amount) AS DECIMAL(38,6)) AS amount
    FROM charges
    WHERE attempt_id IN (SELECT attempt_id FROM extension_requests WHERE state = 'in_doubt')
    GROUP BY attempt_id
) AS c ON c.attempt_id = r.attempt_id
WHERE r.state = 'in_doubt'
ORDER BY r.in_doubt_at, r.attempt_id
