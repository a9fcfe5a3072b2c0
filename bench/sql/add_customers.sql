-- add_customers: adds customers numbered from 1, whose ids contain the number
INSERT INTO customers (id, name, address)
SELECT ('00000000-0000-0000-0000-' || lpad(number::text, 12, '0'))::uuid, 'Juan', 'Bogotá'
FROM generate_series(1, $1::bigint) AS number
