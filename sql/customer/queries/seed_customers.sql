-- seed_customers: inserts the seed data; existing customers stay unchanged
INSERT INTO customers (id, name, address)
VALUES ('11111111-1111-1111-1111-111111111111', 'Juan Perez', 'Cra 7 #12-34, Bogotá'),
       ('22222222-2222-2222-2222-222222222222', 'Maria Gomez', 'Calle 123 #45-67, Medellín'),
       ('33333333-3333-3333-3333-333333333333', 'Carlos Ruiz', 'Av 10 #20-30, Cali')
ON CONFLICT (id) DO NOTHING
