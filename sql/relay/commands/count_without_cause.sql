-- count_without_cause: how many failed events have no cause, as a relay of an older release noted
-- them
-- $1: where counting stops
SELECT count(*)
FROM (
    SELECT
    FROM {outbox}
    WHERE published_at IS NULL
      AND next_attempt_at IS NOT NULL
      AND error_kind IS NULL
      AND error_fingerprint IS NULL
      AND attempts > 0
    LIMIT $1::bigint
) AS event
