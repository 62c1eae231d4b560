-- Units and amounts that are spent and reserved, by budget day (in the home's timezone at the claim), account, provider, unit and currency. Never added across currencies.
SELECT
    budget_day AS day,
    account,
    provider,
    unit,
    currency,
    spent_units,
    spent_amount,
    reserved_units,
    reserved_amount,
    attempts,
    budget_timezone AS timezone
FROM _day_costs
ORDER BY day, timezone, account, provider, unit, currency
