//! The processes of a stack, by name.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// The processes of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Name {
    Postgres,
    Rabbitmq,
    OrderService,
    OutboxRelay,
    CustomerService,
    CustomerConsumer,
    DeadLetters,
    Console,
}

impl Name {
    /// Producers before consumers, services before servers, so that each stops before what it
    /// depends on.
    pub(crate) const IN_STOPPING_ORDER: [Self; 8] = [
        Self::Console,
        Self::OrderService,
        Self::OutboxRelay,
        Self::CustomerConsumer,
        Self::DeadLetters,
        Self::CustomerService,
        Self::Rabbitmq,
        Self::Postgres,
    ];

    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Rabbitmq => "rabbitmq",
            Self::OrderService => "order-service",
            Self::OutboxRelay => "outbox-relay",
            Self::CustomerService => "customer-service",
            Self::CustomerConsumer => "customer-consumer",
            Self::DeadLetters => "dead-letters",
            Self::Console => "console",
        }
    }
}
