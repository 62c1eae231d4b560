-- Units and amounts that are spent and reserved, and the cost of failures, by account, provider, unit and currency.
SELECT
    account,
    provider,
    unit,
    currency,
    CAST(sum(spent_units) AS DECIMAL(38,6)) AS spent_units,
    CAST(sum(spent_amount) AS DECIMAL(38,6)) AS spent_amount,
    CAST(sum(reserved_units) AS DECIMAL(38,6)) AS reserved_units,
    CAST(sum(reserved_amount) AS DECIMAL(38,6)) AS reserved_amount,
    CAST(sum(spent_units) + sum(reserved_units) AS DECIMAL(38,6)) AS committed_units,
    CAST(sum(amount_without_result) AS DECIMAL(38,6)) AS amount_without_result,
    CAST(sum(attempts) AS BIGINT) AS attempts,
    count(*) AS videos
FROM _video_costs
GROUP BY account, provider, unit, currency
ORDER BY account, provider, unit, currency
