-- Units and amounts that are spent and reserved, and the cost of failures, by account, unit and currency.
SELECT
    c.account,
    c.provider,
    c.unit,
    c.currency,
    CAST(coalesce(sum(c.units) FILTER (c.entry IN ('settle', 'adjust')), 0) AS DECIMAL(38,6)) AS spent_units,
    CAST(coalesce(sum(c.amount) FILTER (c.entry IN ('settle', 'adjust')), 0) AS DECIMAL(38,6)) AS spent_amount,
    CAST(coalesce(sum(c.units) FILTER (c.entry IN ('reserve', 'release')), 0) AS DECIMAL(38,6)) AS reserved_units,
    CAST(coalesce(sum(c.amount) FILTER (c.entry IN ('reserve', 'release')), 0) AS DECIMAL(38,6)) AS reserved_amount,
    CAST(sum(c.units) AS DECIMAL(38,6)) AS committed_units,
    CAST(coalesce(sum(c.amount) FILTER (
        c.entry IN ('settle', 'adjust') AND r.state IN ('failed', 'result_lost', 'quarantined', 'written_off')
    ), 0) AS DECIMAL(38,6)) AS amount_without_result,
    count(DISTINCT c.attempt_id) AS attempts,
    count(DISTINCT c.video_key) AS videos
FROM charges AS c
LEFT JOIN extension_requests AS r ON r.attempt_id = c.attempt_id
GROUP BY c.account, c.provider, c.unit, c.currency
ORDER BY c.account, c.unit, c.currency
