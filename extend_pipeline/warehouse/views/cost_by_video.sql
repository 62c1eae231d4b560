-- Cost of each video's own extensions, failures included, and of one added second.
WITH paid AS (
    SELECT
        video_key,
        account,
        provider,
        unit,
        currency,
        coalesce(sum(units) FILTER (entry IN ('settle', 'adjust')), 0) AS spent_units,
        coalesce(sum(amount) FILTER (entry IN ('settle', 'adjust')), 0) AS spent_amount,
        coalesce(sum(units) FILTER (entry IN ('reserve', 'release')), 0) AS reserved_units,
        coalesce(sum(amount) FILTER (entry IN ('reserve', 'release')), 0) AS reserved_amount,
        count(DISTINCT attempt_id) AS attempts
    FROM charges
    GROUP BY video_key, account, provider, unit, currency
),
grown AS (
    SELECT video_key, account, unit, currency, count(*) AS extensions, sum(added_duration_s) AS added_s
    FROM completed_extensions
    GROUP BY video_key, account, unit, currency
)
SELECT
    p.video_key,
    p.account,
    p.provider,
    p.unit,
    p.currency,
    p.attempts,
    coalesce(g.extensions, 0) AS extensions,
    CAST(p.spent_units AS DECIMAL(38,6)) AS spent_units,
    CAST(p.spent_amount AS DECIMAL(38,6)) AS spent_amount,
    CAST(p.reserved_units AS DECIMAL(38,6)) AS reserved_units,
    CAST(p.reserved_amount AS DECIMAL(38,6)) AS reserved_amount,
    g.added_s,
    CAST(p.spent_amount / nullif(g.added_s, 0) AS DECIMAL(20,6)) AS amount_per_second
FROM paid AS p
LEFT JOIN grown AS g
    ON g.video_key = p.video_key AND g.account = p.account AND g.unit = p.unit AND g.currency = p.currency
ORDER BY p.video_key, p.account, p.unit, p.currency
