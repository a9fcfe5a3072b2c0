-- order-passwords: sets the passwords of the roles that sql/roles.sql and sql/order/roles.sql
-- create; runs in the container that has the secrets
\set password `cat /run/secrets/outbox-relay-password`
ALTER ROLE outbox_relay PASSWORD :'password';
\set password `cat /run/secrets/order-service-password`
ALTER ROLE order_service PASSWORD :'password';
\set password `cat /run/secrets/outbox-console-password`
ALTER ROLE outbox_console PASSWORD :'password';
