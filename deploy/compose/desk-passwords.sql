-- desk-passwords: sets the password of the collector's role that sql/dead-letters/roles.sql creates;
-- runs in the container that has the secret
\set password `cat /run/secrets/dead-letters-collector-password`
ALTER ROLE dead_letters_collector PASSWORD :'password';
