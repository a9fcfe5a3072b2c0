-- scan_due: failed events that are due again, and scheduled ones that are due, a page of each kind in
-- the order of their times: of those that no scan has read yet, and of those that were read before
-- and are still due; all that were read, with a mark on those that may be sent, so that others (of
-- other relays' lanes, or paused) never fill all pages
-- $1: lanes, one bit each; $2: rows of a page; $3: whether an event that failed holds back those
-- behind it; $4: also one that is stuck; $5, $6, $7, $8: for each page whether it is of failed events,
-- whether it is of unread ones, and the time and the id of the row that it begins behind; $9, $10:
-- where it ends; $11: up to which id scheduled events are wanted: those above come in the order of
-- their ids; $12, $13, $14: the aggregate_type, the aggregate_id and the event_type of each pause
WITH pauses AS MATERIALIZED (
    SELECT aggregate_type, aggregate_id, event_type
    FROM unnest($12::text[], $13::text[], $14::text[]) AS pause (aggregate_type, aggregate_id, event_type)
)
SELECT page.has_failed,
       page.is_unread,
       to_json(candidate.next_attempt_at) #>> '{}' AS due_at,
       candidate.id,
       candidate.key,
       candidate.size,
       CASE
           WHEN ((1::bigint << (candidate.key & 63)::integer) & $1::bigint <> 0) IS NOT TRUE THEN false
           WHEN NOT page.has_failed AND candidate.id > $11::bigint THEN false
           WHEN EXISTS (SELECT FROM pauses) AND {pause_kind} > 0 THEN false
           ELSE NOT ($3::boolean AND {is_held_back})
       END AS is_wanted
FROM unnest($5::boolean[], $6::boolean[], $7::text[], $8::bigint[], $9::text[], $10::bigint[])
    AS page (has_failed, is_unread, after_time, after_id, last_time, last_id)
CROSS JOIN LATERAL (
    SELECT id,
           aggregate_type,
           aggregate_id,
           event_type,
           hashtextextended(aggregate_id, hashtextextended(aggregate_type, 0)) AS key,
           (
               pg_column_size(payload)::bigint * CASE WHEN pg_column_compression(payload) IS NULL THEN 1 ELSE 16 END
               + coalesce(pg_column_size(headers)::bigint * CASE WHEN pg_column_compression(headers) IS NULL THEN 1 ELSE 16 END, 0)
           ) AS size,
           next_attempt_at
    FROM {outbox}
    WHERE published_at IS NULL
      AND next_attempt_at IS NOT NULL
      AND ((attempts > 0) IS TRUE) = page.has_failed
      AND (next_attempt_at, id) >= (page.after_time::timestamptz, page.after_id)
      -- Behind the row where the page begins; but no place precedes the lowest id of all.
      AND (
          next_attempt_at > page.after_time::timestamptz
          OR id > page.after_id
          OR id = -9223372036854775808
      )
      AND (next_attempt_at, id) <= (least(page.last_time::timestamptz, now()), page.last_id)
    ORDER BY next_attempt_at, id
    LIMIT $2::bigint
) AS candidate
ORDER BY page.has_failed, page.is_unread, candidate.next_attempt_at, candidate.id
