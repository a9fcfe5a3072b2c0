-- relay-password: lets the relay in, whose role sql/roles.sql has made; run in the container that holds the secret
\set password `cat /run/secrets/outbox-relay-password`
ALTER ROLE outbox_relay PASSWORD :'password';
