-- skip_pending: the id above which events are pending, as far as probes between the lowest pending
-- id and $1 tell: an event that was published between later ones that are pending may be missed
-- $1: an id from which all events up to some higher one are pending
WITH RECURSIVE bisected AS (
    SELECT 0 AS step, (SELECT min(id) FROM {outbox} WHERE published_at IS NULL) AS low, $1::bigint AS high
    UNION ALL
    SELECT step + 1,
           CASE WHEN probe.has_published THEN middle.id ELSE low END,
           CASE WHEN probe.has_published THEN high ELSE middle.id END
    FROM bisected
    -- As numeric, since the sum of two ids need not be a bigint.
    CROSS JOIN LATERAL (SELECT floor((low::numeric + high) / 2)::bigint AS id) AS middle
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(published_at IS NOT NULL), false) AS has_published
        FROM (
            SELECT published_at
            FROM {outbox} AS outbox
            WHERE outbox.id <= middle.id
            ORDER BY outbox.id DESC
            LIMIT 100
        ) AS neighbours
    ) AS probe
    WHERE high - low::numeric > 100
)
SELECT high FROM bisected ORDER BY step DESC LIMIT 1
