-- check_settings: settings stored for the database, for the role, or for this role in this database
SELECT setting,
       concat_ws(
           ' in ',
           CASE WHEN setrole <> 0 THEN format('the role %s', pg_get_userbyid(setrole)) END,
           CASE WHEN setdatabase <> 0 THEN format('the database %s', current_database()) END
       ) AS scope
FROM pg_db_role_setting
CROSS JOIN unnest(setconfig) AS setting
WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user))
ORDER BY setting
