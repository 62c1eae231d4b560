-- Expiry of paid results that are not stored yet, and of sources that still have to be extended.
WITH expiring AS (
    SELECT
        'result' AS kind,
        video_key,
        hop,
        attempt_id,
        account,
        provider,
        video_id,
        expires_at
    FROM extension_requests
    WHERE state = 'succeeded'
    UNION ALL
    SELECT
        'source' AS kind,
        video_key,
        NULL AS hop,
        NULL AS attempt_id,
        account,
        provider,
        source_video_id AS video_id,
        extendable_until AS expires_at
    FROM source_videos
    WHERE extendable_until IS NOT NULL AND state NOT IN ('complete', 'withdrawn')
)
SELECT
    *,
    CAST((epoch_ms(expires_at) - epoch_ms(now())) / 3600000.0 AS DECIMAL(12,2)) AS hours_left
FROM expiring
ORDER BY expires_at NULLS LAST, kind, video_key, hop
