-- Units and amounts that are spent and reserved, by budget day (in the home's timezone at the claim), account, unit and currency. Never added across currencies.
SELECT
    budget_day AS day,
    account,
    provider,
    unit,
    currency,
    CAST(coalesce(sum(units) FILTER (entry IN ('settle', 'adjust')), 0) AS DECIMAL(38,6)) AS spent_units,
    CAST(coalesce(sum(amount) FILTER (entry IN ('settle', 'adjust')), 0) AS DECIMAL(38,6)) AS spent_amount,
    CAST(coalesce(sum(units) FILTER (entry IN ('reserve', 'release')), 0) AS DECIMAL(38,6)) AS reserved_units,
    CAST(coalesce(sum(amount) FILTER (entry IN ('reserve', 'release')), 0) AS DECIMAL(38,6)) AS reserved_amount,
    count(DISTINCT attempt_id) FILTER (entry = 'reserve') AS attempts,
    budget_timezone AS timezone
FROM charges
GROUP BY budget_day, budget_timezone, account, provider, unit, currency
ORDER BY day, timezone, account, unit, currency
