-- list_published_page: of some rows in the order of their ids, those that were published within a
-- time; how many rows there were, the id of the last of them, and when the first was published
-- $1: above which id, NULL: from the first; $2: how many rows to read; $3, $4: published since, and
-- before
WITH page AS MATERIALIZED (
    SELECT id, event_id, event_type, published_at
    FROM {outbox}
    WHERE $1::bigint IS NULL OR id > $1
    ORDER BY id
    LIMIT $2::bigint
)
SELECT json_build_object(
           'rows', (SELECT count(*) FROM page),
           'last_id', (SELECT max(id) FROM page),
           'oldest_published_at', (SELECT min(published_at) FROM page WHERE isfinite(published_at)),
           'published', coalesce(
               (
                   SELECT json_agg(
                              json_build_object('event_id', event_id, 'event_type', event_type, 'published_at', published_at)
                              ORDER BY id
                          )
                   FROM page
                   WHERE published_at >= $3::text::timestamptz AND published_at < $4::text::timestamptz
               ),
               '[]'
           )
       )::text
