-- list_writers: the highest id, and then the transactions that may still add rows with ids below
-- those that come next
-- An INSERT takes its lock on the table before it draws its id. The id is read first, as one
-- statement's snapshot is older than what it sees of pg_locks.
WITH lock AS MATERIALIZED (
    SELECT locktype, virtualtransaction, transactionid, relation, mode
    FROM pg_locks
    WHERE granted
      AND pid IS DISTINCT FROM pg_backend_pid()
      AND (
          locktype = 'transactionid'
          OR (
              locktype = 'relation'
              AND relation = '{outbox}'::regclass
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND mode = 'RowExclusiveLock'
          )
      )
),
writer AS MATERIALIZED (
    SELECT relation.virtualtransaction,
           -- As 32 bits; NULL for one that has written nothing yet. The oldest is the transaction's
           -- own, the others are of savepoints.
           (
               SELECT own.transactionid::text::bigint
               FROM lock AS own
               WHERE own.locktype = 'transactionid'
                 AND own.mode = 'ExclusiveLock'
                 AND own.virtualtransaction = relation.virtualtransaction
               ORDER BY age(own.transactionid) DESC
               LIMIT 1
           ) AS xid
    FROM (SELECT DISTINCT virtualtransaction FROM lock WHERE locktype = 'relation') AS relation
)
SELECT (SELECT max(id) FROM {outbox}) AS highest,
       pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next_xid,
       coalesce(array_agg(virtualtransaction), '{}') AS virtual_ids,
       coalesce(array_agg(xid), '{}') AS xids
FROM writer
