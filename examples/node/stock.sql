CREATE TABLE stock (
    item    text    PRIMARY KEY,
    on_hand integer NOT NULL CHECK (on_hand >= 0)
);

CREATE TABLE picks (
    order_number text    PRIMARY KEY, -- an order is picked once
    item         text    NOT NULL REFERENCES stock,
    quantity     integer NOT NULL CHECK (quantity > 0)
);
