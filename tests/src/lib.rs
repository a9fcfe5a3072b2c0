//! Set-up that the suites in `tests/` share.

pub mod authority;
pub mod consumer;
pub mod counting;
pub mod customer_api;
pub mod customer_stub;
pub mod deliveries;
pub mod enqueued;
pub mod example;
pub mod frozen;
pub mod held_up;
pub mod load;
pub mod order_api;
pub mod outbox;
pub mod pipeline;
pub mod pooler;
pub mod published;
pub mod rabbitmqctl;
pub mod relay_command;
pub mod relay_role;
pub mod relays;
pub mod resident;
pub mod seed;
pub mod terminal;
pub mod turn;
pub mod writers;
