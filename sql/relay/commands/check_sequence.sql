-- check_sequence: the sequence that gives id its numbers
-- $1: the outbox's oid
SELECT sequence.seqrelid::regclass::text AS name, sequence.seqcache AS cache, sequence.seqincrement AS increment
FROM pg_attribute AS id
JOIN pg_depend AS belongs
    ON belongs.refclassid = 'pg_class'::regclass
    AND belongs.refobjid = id.attrelid
    AND belongs.refobjsubid = id.attnum
    AND belongs.classid = 'pg_class'::regclass
    AND belongs.deptype IN ('a', 'i')
JOIN pg_sequence AS sequence ON sequence.seqrelid = belongs.objid
WHERE id.attrelid = $1::oid AND id.attname = 'id'
