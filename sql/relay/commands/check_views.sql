-- check_views: the views that read a column, views that read such views last; each with the
-- statements that create it again
-- $1: the table's oid; $2: the column
WITH RECURSIVE reader (view, depth) AS (
    SELECT ev_class, 1
    FROM pg_depend
    JOIN pg_rewrite ON pg_rewrite.oid = objid
    WHERE classid = 'pg_rewrite'::regclass
      AND refclassid = 'pg_class'::regclass
      AND refobjid = $1::oid
      AND refobjsubid IN (0, (SELECT attnum FROM pg_attribute WHERE attrelid = $1::oid AND attname = $2::text))
      AND ev_class <> $1::oid
    UNION
    SELECT ev_class, depth + 1
    FROM reader
    JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = view
    JOIN pg_rewrite ON pg_rewrite.oid = objid
    WHERE ev_class <> view
)
SELECT class.oid::regclass::text AS name,
       concat_ws(
           E'\n',
           format(
               'CREATE VIEW %s%s AS%s%s',
               class.oid::regclass,
               ' WITH (' || array_to_string(reloptions, ', ') || ')',
               E'\n',
               pg_get_viewdef(class.oid)
           ),
           format('ALTER VIEW %s OWNER TO %I;', class.oid::regclass, pg_get_userbyid(relowner)),
           (
               SELECT string_agg(
                   format(
                       'GRANT %s ON %s TO %s%s;',
                       privilege_type,
                       class.oid::regclass,
                       CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
                       CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
                   ),
                   E'\n'
                   ORDER BY grantee, privilege_type
               )
               FROM aclexplode(relacl)
               WHERE grantee <> relowner
           )
       ) AS statements
FROM (SELECT view, max(depth) AS depth FROM reader GROUP BY view) AS last
JOIN pg_class AS class ON class.oid = view
WHERE relkind = 'v'
ORDER BY depth, name
