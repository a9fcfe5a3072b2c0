-- session_role: the role that the session began with, and whether it may take another
-- $1: the other role; NULL for none
SELECT session_user::text AS role,
       $1::text IS NULL
       OR EXISTS (
           SELECT
           FROM pg_roles
           WHERE rolname = $1
             -- From PostgreSQL 16 on a member may be kept from it.
             AND pg_has_role(
                 session_user,
                 oid,
                 CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END
             )
       ) AS may_take
