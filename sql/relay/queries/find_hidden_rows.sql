-- find_hidden_rows: for which commands row-level security lets the role reach some rows only, and
-- by which policies; none: it reaches all
-- A policy that is literally true is the only one that is known to let every row pass. Permissive
-- policies add up: one of them is enough. Each restrictive one counts.
-- $1: whether the role has to delete
WITH command (place, name, letter) AS (
    VALUES (1, 'SELECT', 'r'), (2, 'UPDATE', 'w'), (3, 'DELETE', 'd')
),
applied AS (
    SELECT command.name AS command, policy.polname::text AS policy, policy.polpermissive AS is_permissive,
           -- A restrictive policy without USING hides nothing, a permissive one shows nothing.
           coalesce(pg_get_expr(policy.polqual, policy.polrelid), (NOT policy.polpermissive)::text) = 'true'
               -- Without WITH CHECK the condition of USING holds for changed rows too.
               AND (command.name <> 'UPDATE' OR coalesce(pg_get_expr(policy.polwithcheck, policy.polrelid), 'true') = 'true') AS is_true
    FROM command
    JOIN pg_policy AS policy ON policy.polcmd IN ('*', command.letter::"char")
    WHERE policy.polrelid = '{outbox}'::regclass
      AND EXISTS (SELECT FROM unnest(policy.polroles) AS role WHERE role = 0 OR pg_has_role(role, 'USAGE'))
)
SELECT current_user::text AS role,
       (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = '{outbox}'::regclass) AS is_owner,
       command.name AS command,
       ARRAY(
           SELECT policy
           FROM applied
           WHERE applied.command = command.name AND NOT is_true AND (NOT is_permissive OR NOT shown.all_rows)
           ORDER BY policy
       ) AS policies
FROM command
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE is_permissive AND is_true) > 0 AS all_rows,
           count(*) FILTER (WHERE NOT is_permissive AND NOT is_true) > 0 AS is_restricted
    FROM applied
    WHERE applied.command = command.name
) AS shown
WHERE row_security_active('{outbox}'::regclass)
  AND (command.name <> 'DELETE' OR $1::boolean)
  AND (NOT shown.all_rows OR shown.is_restricted)
ORDER BY command.place
