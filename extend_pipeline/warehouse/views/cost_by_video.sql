-- Cost of each video's own extensions, failures included, and of one added second.
SELECT
    p.video_key,
    p.account,
    p.provider,
    p.unit,
    p.currency,
    p.attempts,
    coalesce(g.extensions, 0) AS extensions,
    p.spent_units,
    p.spent_amount,
    p.reserved_units,
    p.reserved_amount,
    g.added_s,
    CAST(p.spent_amount / nullif(g.added_s, 0) AS DECIMAL(20,6)) AS amount_per_second
FROM _video_costs AS p
LEFT JOIN _video_extensions AS g
    ON g.video_key = p.video_key
    AND g.account = p.account
    AND g.provider = p.provider
    AND g.unit = p.unit
    AND g.currency = p.currency
ORDER BY p.video_key, p.account, p.provider, p.unit, p.currency
