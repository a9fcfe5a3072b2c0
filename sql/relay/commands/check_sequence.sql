-- check_sequence: the sequence that generates the ids
-- $1: the outbox's oid
SELECT sequence.seqrelid::regclass::text AS name,
       sequence.seqcache AS cache,
       sequence.seqincrement AS increment,
       sequence.seqmax AS highest
FROM pg_attribute AS id
LEFT JOIN pg_attrdef AS preset ON preset.adrelid = id.attrelid AND preset.adnum = id.attnum
JOIN pg_depend AS belongs
    -- The sequence of an identity or a serial column, or one that the default names.
    ON (
        belongs.classid = 'pg_class'::regclass
        AND belongs.refclassid = 'pg_class'::regclass
        AND belongs.refobjid = id.attrelid
        AND belongs.refobjsubid = id.attnum
        AND belongs.deptype IN ('a', 'i')
    )
    OR (
        belongs.classid = 'pg_attrdef'::regclass
        AND belongs.objid = preset.oid
        AND belongs.refclassid = 'pg_class'::regclass
    )
JOIN pg_sequence AS sequence
    ON sequence.seqrelid = CASE belongs.classid WHEN 'pg_class'::regclass THEN belongs.objid ELSE belongs.refobjid END
WHERE id.attrelid = $1::oid AND id.attname = 'id'
