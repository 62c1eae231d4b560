-- How many seconds each account added, how long its extensions are, and how long they took to make.
SELECT
    account,
    provider,
    count(*) AS extensions,
    count(added_duration_s) AS measured_extensions,
    sum(added_duration_s) AS added_s,
    CAST(avg(added_duration_s) AS DECIMAL(12,3)) AS added_s_mean,
    min(added_duration_s) AS added_s_min,
    max(added_duration_s) AS added_s_max,
    max(probed_duration_s) AS longest_s,
    -- difference between the reported and the measured length; only if both are of the whole film
    CAST(max(abs(output_duration_s - probed_duration_s)) FILTER (output_kind = 'full') AS DECIMAL(12,3))
        AS reported_off_by_s_max,
    CAST(quantile_cont(CAST(wait_s AS DOUBLE), 0.5) AS DECIMAL(12,3)) AS wait_s_median,
    CAST(quantile_cont(CAST(wait_s AS DOUBLE), 0.9) AS DECIMAL(12,3)) AS wait_s_p90,
    max(wait_s) AS wait_s_max
FROM completed_extensions
GROUP BY account, provider
ORDER BY account, provider
