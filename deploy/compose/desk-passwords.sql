-- desk-passwords: sets the passwords of the roles that sql/dead-letters/roles.sql creates; runs in the
-- container that has the secrets
\set password `cat /run/secrets/dead-letters-collector-password`
ALTER ROLE dead_letters_collector PASSWORD :'password';
\set password `cat /run/secrets/dead-letters-console-password`
ALTER ROLE dead_letters_console PASSWORD :'password';
