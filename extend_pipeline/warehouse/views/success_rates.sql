-- How the attempts of each account ended. Released attempts, which made no task, are not in the rate.
SELECT
    account,
    provider,
    count(*) AS attempts,
    count(*) FILTER (state = 'stored') AS stored,
    count(*) FILTER (state = 'failed') AS failed,
    count(*) FILTER (state = 'rejected') AS rejected,
    count(*) FILTER (state IN ('result_lost', 'quarantined', 'written_off')) AS lost,
    count(*) FILTER (state = 'released') AS released,
    count(*) FILTER (state = 'in_doubt') AS in_doubt,
    count(*) FILTER (state IN ('claimed', 'sending', 'submitted', 'processing', 'succeeded')) AS open,
    CAST(
        count(*) FILTER (state = 'stored')
        / nullif(count(*) FILTER (state IN (
            'stored', 'failed', 'rejected', 'result_lost', 'quarantined', 'written_off'
        )), 0)
        AS DECIMAL(6,4)
    ) AS success_rate
FROM extension_requests
GROUP BY account, provider
ORDER BY account, provider
