-- order-passwords: lets the roles in that sql/roles.sql and sql/order/roles.sql have made; run in the container that holds the secrets
\set password `cat /run/secrets/outbox-relay-password`
ALTER ROLE outbox_relay PASSWORD :'password';
\set password `cat /run/secrets/order-service-password`
ALTER ROLE order_service PASSWORD :'password';
