CREATE TABLE invoices (
    number bigint         PRIMARY KEY,
    amount numeric(10, 2) NOT NULL CHECK (amount > 0),
    paid   numeric(10, 2) NOT NULL DEFAULT 0,
    CHECK (paid <= amount)
);
