-- Orders, newest first by id: a UUIDv7 begins with its time of making.
CREATE TABLE orders (
    id                 uuid          PRIMARY KEY,
    customer_public_id uuid          NOT NULL,
    product_name       text          NOT NULL,
    quantity           integer       NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    price              numeric(10,2) NOT NULL CHECK (price >= 0),
    delivery_address   text          NOT NULL,
    status             text          NOT NULL DEFAULT 'created'
                       CHECK (status IN ('created', 'processing', 'shipped', 'delivered', 'cancelled')),
    created_at         timestamptz   NOT NULL DEFAULT now(),
    updated_at         timestamptz   NOT NULL DEFAULT now()
);

CREATE INDEX orders_by_customer ON orders (customer_public_id, id);
CREATE INDEX orders_by_status ON orders (status, id);

-- Which order an Idempotency-Key made. Written in the statement that writes the order; the order itself
-- holds the parsed body that a second request is compared with.
CREATE TABLE idempotency_keys (
    key        text        PRIMARY KEY,
    order_id   uuid        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
