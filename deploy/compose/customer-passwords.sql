-- customer-passwords: sets the passwords of the roles that sql/customer/roles.sql creates; runs in
-- the container that has the secrets
\set password `cat /run/secrets/customer-api-password`
ALTER ROLE customer_api PASSWORD :'password';
\set password `cat /run/secrets/customer-consumer-password`
ALTER ROLE customer_consumer PASSWORD :'password';
\set password `cat /run/secrets/customer-inbox-password`
ALTER ROLE customer_inbox PASSWORD :'password';
