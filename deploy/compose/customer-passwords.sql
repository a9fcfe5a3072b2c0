-- customer-passwords: lets the roles in that sql/customer/roles.sql has made; run in the container that holds the secrets
\set password `cat /run/secrets/customer-api-password`
ALTER ROLE customer_api PASSWORD :'password';
\set password `cat /run/secrets/customer-consumer-password`
ALTER ROLE customer_consumer PASSWORD :'password';
