-- Cost of one measured second of film, by account, provider, unit and currency; extensions of unknown length are counted apart.
WITH stored AS (
    SELECT
        account,
        provider,
        unit,
        currency,
        CAST(sum(extensions) AS BIGINT) AS extensions,
        CAST(sum(unmeasured_extensions) AS BIGINT) AS unmeasured_extensions,
        sum(added_s) AS added_s,
        sum(measured_units) AS measured_units,
        sum(measured_amount) AS measured_amount
    FROM _video_extensions
    GROUP BY account, provider, unit, currency
)
SELECT
    c.account,
    c.provider,
    c.unit,
    c.currency,
    coalesce(s.extensions, 0) AS extensions,
    coalesce(s.unmeasured_extensions, 0) AS unmeasured_extensions,
    s.added_s,
    c.spent_units,
    c.spent_amount,
    -- cost of the measured extensions, then with everything paid that gave no film
    CAST(s.measured_units / nullif(s.added_s, 0) AS DECIMAL(20,6)) AS units_per_second,
    CAST(s.measured_amount / nullif(s.added_s, 0) AS DECIMAL(20,6)) AS amount_per_second,
    CAST((s.measured_amount + c.amount_without_result) / nullif(s.added_s, 0) AS DECIMAL(20,6))
        AS amount_per_second_with_failures
FROM cost_by_account AS c
LEFT JOIN stored AS s
    ON s.account = c.account AND s.provider = c.provider AND s.unit = c.unit AND s.currency = c.currency
ORDER BY c.account, c.provider, c.unit, c.currency
