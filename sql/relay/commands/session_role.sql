-- session_role: the role that the session began with
SELECT session_user::text AS role
