-- count_without_cause: how many failed events have no cause, as a relay of an older release noted
-- them, and whether there may be more: scheduled events have none either, and are looked at as well
-- $1: how many events to look at
SELECT count(*) FILTER (WHERE attempts > 0), count(*) >= $1::bigint
FROM (
    SELECT attempts
    FROM {outbox}
    WHERE published_at IS NULL
      AND next_attempt_at IS NOT NULL
      AND error_kind IS NULL
      AND error_fingerprint IS NULL
    -- In the order of the one index that is meant.
    ORDER BY error_kind, error_fingerprint, left(event_type, 255), id
    -- In a subquery: the planner would expect that a plain number of rows is read, and sort.
    LIMIT (SELECT $1::bigint)
) AS event
