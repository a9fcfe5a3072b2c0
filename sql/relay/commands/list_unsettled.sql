-- list_unsettled: the unsettled events by outcome and kind, each with the oldest as an example
SELECT json_build_object(
           'outcome', outcome,
           'kind', kind,
           'events', count(*),
           'since', min(confirmed_at),
           'event_id', (array_agg(event_id ORDER BY confirmed_at))[1],
           'reason', (array_agg(reason ORDER BY confirmed_at))[1]
       )::text
FROM {unsettled}
GROUP BY outcome, kind
ORDER BY outcome DESC, kind
